//! How a password is set: with something that may be used once, or with the one that is good.
//!
//! What may be used once is used by the transaction of the vault that writes the account. So of
//! two who use it at the same time one is refused, and whoever is refused has used nothing.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::{ActorId, TenantId};
use domain::member::Term;
use uuid::Uuid;
use vault::{Changes, Committed, RecordKind, TenantKeys, Version};

use super::attempts::TRIES_MAX;
use super::{
    AccountFault, Accounts, LoginName, Password, Proof, StoredAccount, StoredName, Unset, Whose,
    read, written,
};
use crate::doors::ClientAddress;

/// How long the mark that an invite was used outlasts it, for clocks that differ. In hours: 1.
pub(super) const USED_MARK_OUTLASTS: TimeDelta = TimeDelta::hours(1);

/// Words that are known about every account, beside those of its tenant.
const KNOWN_WORDS: [&str; 2] = ["callboard", "operator"];

/// How many login names may be tried with one invite: 10. Whoever has one could ask for any which others
/// have.
const TRIES_PER_INVITE_MAX: u32 = 10;

/// What sets a password for a member.
#[derive(Clone, Debug)]
pub(crate) struct Grant<'a> {
    /// In which tenant.
    pub(crate) tenant: TenantId,
    /// Whose password it is.
    pub(crate) member: ActorId,
    /// For which time they are a member.
    pub(crate) term: Term,
    /// What is used for it.
    pub(crate) once: Once<'a>,
}

/// What may be used once. It has no text form for logs: whoever has an invite uses it.
#[derive(Clone, Copy)]
pub(crate) enum Once<'a> {
    /// An invite, by its text, and until when it might be good.
    Invite(&'a str, DateTime<Utc>),
    /// The setup token, by the state of its record in which it was found to be good.
    Setup(Version),
}

impl fmt::Debug for Once<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invite(..) => "Invite(…)",
            Self::Setup(_) => "Setup(…)",
        })
    }
}

/// A password that is taken, hashed, and the login name that it goes with.
pub(crate) struct Hashed {
    login: LoginName,
    hash: String,
}

impl Accounts {
    /// The hash of a password, if it is one that is taken for this login name, by who knows `names`.
    ///
    /// # Errors
    ///
    /// [`Unset`].
    pub(crate) async fn hash(
        &self,
        tenant: TenantId,
        login: LoginName,
        password: Password,
        names: Vec<String>,
        from: ClientAddress,
    ) -> Result<Hashed, Unset> {
        password.check_length()?;
        let place = self.hashing.enter(&Whose::Tenant(tenant).share(), from).ok_or(Unset::Busy)?;
        let names: Vec<_> = names.into_iter().chain(KNOWN_WORDS.map(str::to_owned)).collect();
        let known = login.clone();
        let hash = place.hash(password, move |it| it.check(&known, &names)).await?;
        Ok(Hashed { login, hash })
    }

    /// Counts a try to use an invite; whether there may be another. It ends with the invite, whose end
    /// this is at the latest.
    ///
    /// # Errors
    ///
    /// A fault of the vault.
    pub(crate) async fn may_try(
        &self,
        tenant: TenantId,
        invite: &str,
        ends_at: DateTime<Utc>,
    ) -> Result<bool, AccountFault> {
        let keys = self.keyring.existing(tenant).await?;
        let name = (RecordKind::Attempts, invite);
        for _ in 0..TRIES_MAX {
            let known = self.get(&keys, name).await?;
            let tried: u32 = known.as_ref().map(read).transpose()?.unwrap_or_default();
            if tried >= TRIES_PER_INVITE_MAX {
                return Ok(false);
            }
            let before = known.map(|it| it.version);
            let changes =
                Changes::of(&keys).put(name, before, &written(&(tried + 1)), Some(ends_at));
            if self.commit(&changes).await? == Committed::Whole {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether an invite was used.
    ///
    /// # Errors
    ///
    /// A fault of the vault.
    pub(crate) async fn is_used(
        &self,
        tenant: TenantId,
        invite: &str,
    ) -> Result<bool, AccountFault> {
        let keys = self.keyring.existing(tenant).await?;
        Ok(self.get(&keys, (RecordKind::UsedInvite, invite)).await?.is_some())
    }

    /// Sets the login name and the password of a member. Whatever account they had before is no
    /// more, nor is that of somebody else under this login name who, as `belongs` says, is no
    /// member for that time any more. Nor is anybody of whom a provider speaks, and nothing is asked for
    /// beside the password.
    ///
    /// # Errors
    ///
    /// [`Unset`]; then nothing was set, and nothing used.
    pub(crate) async fn set(
        &self,
        grant: &Grant<'_>,
        hashed: &Hashed,
        belongs: impl Fn(ActorId, Term) -> bool,
    ) -> Result<(), Unset> {
        let whose = Whose::Tenant(grant.tenant);
        let keys = self.keys(&whose).await?;
        let member = grant.member.to_string();
        let of_member = (RecordKind::AccountOf, member.as_str());
        let login = hashed.login.as_str();
        for _ in 0..TRIES_MAX {
            let mut changes = self.once(Changes::of(&keys), &keys, grant).await?;
            changes = self.without_identities(changes, &keys, grant.member).await?;
            changes = self.without_second_factor(changes, &keys, grant.member).await?;
            let before = self.get(&keys, of_member).await?;
            if let Some(before) = &before {
                let former = read::<StoredName>(before)?.login;
                let former = (RecordKind::Account, former.as_str());
                let known = self.get(&keys, former).await?.filter(|_| former.1 != login);
                if let Some(known) = known {
                    changes = changes.remove(former, known.version);
                }
            }
            let there = self.account(&whose, &hashed.login).await?;
            if let Some((theirs, _)) = there.as_ref().filter(|(it, _)| it.member != grant.member) {
                if belongs(theirs.member, theirs.term) {
                    return Err(Unset::Taken);
                }
                changes = self.without_name(changes, &keys, theirs.member).await?;
            }
            let account = hashed.account(grant.member, grant.term);
            let name = StoredName { login: login.to_owned() };
            let (account, name) = (written(&account), written(&name));
            let place = (RecordKind::Account, login);
            changes = changes.put(place, there.map(|(_, it)| it.version), &account, None).put(
                of_member,
                before.map(|it| it.version),
                &name,
                None,
            );
            if self.commit(&changes).await? == Committed::Whole {
                return Ok(());
            }
        }
        Err(Unset::Busy)
    }

    /// And what may be used once is used, if it is good still. Whoever has an account in the system
    /// tenant needs no setup token any more.
    async fn once(
        &self,
        changes: Changes,
        keys: &TenantKeys,
        grant: &Grant<'_>,
    ) -> Result<Changes, Unset> {
        let changes = match grant.once {
            Once::Setup(version) => return self.close_setup(changes, keys, Some(version)).await,
            Once::Invite(text, ends_at) => {
                let used = (RecordKind::UsedInvite, text);
                if self.get(keys, used).await?.is_some() {
                    return Err(Unset::Used);
                }
                changes.put(used, None, b"", Some(ends_at + USED_MARK_OUTLASTS))
            }
        };
        match grant.tenant {
            TenantId::SYSTEM => self.close_setup(changes, keys, None).await,
            _ => Ok(changes),
        }
    }

    /// Replaces the password of who has proved that they know it, unless something else is asked for by
    /// now. What proves from now on who they are.
    ///
    /// # Errors
    ///
    /// [`Unset`]; then the password is what it was.
    pub(crate) async fn replace(
        &self,
        tenant: TenantId,
        proof: &Proof,
        hashed: &Hashed,
    ) -> Result<Proof, Unset> {
        let account = hashed.account(proof.member, proof.term);
        let proof_of_it = Proof { password: account.password, ..proof.clone() };
        let account = written(&account);
        let whose = Whose::Tenant(tenant);
        let place = (RecordKind::Account, hashed.login.as_str());
        let keys = self.keys(&whose).await?;
        for _ in 0..TRIES_MAX {
            let there = self.account(&whose, &hashed.login).await?;
            let there = there.filter(|(it, _)| it.password == proof.password);
            let Some((_, known)) = there else { return Err(Unset::Used) };
            if self.asked_beside(tenant, proof.member, proof.term).await? != proof.beside.factor() {
                return Err(Unset::Used);
            }
            let changes = Changes::of(&keys).put(place, Some(known.version), &account, None);
            if self.commit(&changes).await? == Committed::Whole {
                return Ok(proof_of_it);
            }
        }
        Err(Unset::Busy)
    }

    /// And nothing says any more which account `member` has.
    async fn without_name(
        &self,
        changes: Changes,
        keys: &TenantKeys,
        member: ActorId,
    ) -> Result<Changes, AccountFault> {
        let member = member.to_string();
        let name = (RecordKind::AccountOf, member.as_str());
        let known = self.get(keys, name).await?;
        Ok(match known {
            Some(known) => changes.remove(name, known.version),
            None => changes,
        })
    }
}

impl Hashed {
    /// The account of `member` with this password.
    fn account(&self, member: ActorId, term: Term) -> StoredAccount {
        StoredAccount { member, term, password: Uuid::new_v4(), hash: self.hash.clone() }
    }
}
