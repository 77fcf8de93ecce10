//! Members by what identity providers say of them.
//!
//! A provider's name for somebody leads to the member only whom it was linked with, in the tenant and at the
//! provider for which that was done. An e-mail address leads to nobody.

use chrono::{DateTime, Utc};
use domain::id::{ActorId, ProviderId, TenantId};
use domain::member::Term;
use serde::{Deserialize, Serialize};
use vault::{Changes, Committed, Keyring, RecordKind, TenantKeys};

use super::attempts::TRIES_MAX;
use super::setting::USED_MARK_OUTLASTS;
use super::{AccountFault, Accounts, StoredAccount, StoredName, Whose, read, written};

/// The most identities a member may sign in with: 10.
const IDENTITIES_MAX: usize = 10;

/// Somebody of whom a provider speaks. Its parts hold no character that ends a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Which provider.
    pub(crate) provider: ProviderId,
    /// As whom it has signed.
    pub(crate) issuer: String,
    /// What it calls them.
    pub(crate) subject: String,
}

impl Identity {
    fn name(&self) -> String {
        format!("{}\n{}\n{}", self.provider, self.issuer, self.subject)
    }
}

/// Which member an identity is, as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredIdentity {
    member: ActorId,
    /// For which time they are a member: it is good for no other.
    term: Term,
}

/// As whom a member can sign in, as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredIdentities {
    term: Term,
    all: Vec<Identity>,
}

/// By what right somebody is linked with a member.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Right<'a> {
    /// The invite of this text, which might be good until then. Whatever proved before who the member
    /// is does no longer.
    Invite(&'a str, DateTime<Utc>),
    /// The member's own session.
    Session,
}

/// Why somebody was not linked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unlinked {
    /// They are another member already.
    #[error("they are another member already")]
    Taken,
    /// The invite was used.
    #[error("the invite was used before")]
    Used,
    /// The member has as many identities as they may, or others change them.
    #[error("the member has too many identities, or others are changing them")]
    Busy,
    /// For the operator.
    #[error(transparent)]
    Fault(#[from] AccountFault),
}

impl Accounts {
    /// The member whom this identity was linked with, and for which time they are one.
    ///
    /// # Errors
    ///
    /// A fault of the vault.
    pub(crate) async fn identified(
        &self,
        tenant: TenantId,
        identity: &Identity,
    ) -> Result<Option<(ActorId, Term)>, AccountFault> {
        let keys = self.keys(&Whose::Tenant(tenant)).await?;
        let known = self.get(&keys, (RecordKind::Identity, &identity.name())).await?;
        let known = known.as_ref().map(read::<StoredIdentity>).transpose()?;
        Ok(known.map(|it| (it.member, it.term)))
    }

    /// Has an identity be this member, for the time for which they are one. That of somebody who, as
    /// `belongs` says, is no member for that time any more is nobody's.
    ///
    /// # Errors
    ///
    /// [`Unlinked`]; then nothing was changed, and nothing used.
    pub(crate) async fn link(
        &self,
        tenant: TenantId,
        (member, term): (ActorId, Term),
        identity: &Identity,
        right: Right<'_>,
        belongs: impl Fn(ActorId, Term) -> bool,
    ) -> Result<(), Unlinked> {
        let keys = self.keys(&Whose::Tenant(tenant)).await?;
        let (name, of_member) = (identity.name(), member.to_string());
        let (place, of) = ((RecordKind::Identity, &*name), (RecordKind::IdentitiesOf, &*of_member));
        for _ in 0..TRIES_MAX {
            let there = self.get(&keys, place).await?;
            if let Some(there) = &there {
                let theirs = read::<StoredIdentity>(there)?;
                if theirs.member != member && belongs(theirs.member, theirs.term) {
                    return Err(Unlinked::Taken);
                }
            }
            let before = self.get(&keys, of).await?;
            let known: Option<StoredIdentities> = before.as_ref().map(read).transpose()?;
            let mut known = known.unwrap_or(StoredIdentities { term, all: Vec::new() });
            let mut changes = Changes::of(&keys);
            if let Right::Invite(text, ends_at) = right {
                let used = (RecordKind::UsedInvite, text);
                if self.get(&keys, used).await?.is_some() {
                    return Err(Unlinked::Used);
                }
                changes = changes.put(used, None, b"", Some(ends_at + USED_MARK_OUTLASTS));
                changes = self.without_password(changes, &keys, member).await?;
                changes = self.without_second_factor(changes, &keys, member).await?;
            }
            if known.term != term || matches!(right, Right::Invite(..)) {
                known.all.retain(|it| it != identity);
                changes = self.without(changes, &keys, member, &known.all).await?;
                known = StoredIdentities { term, all: Vec::new() };
            }
            if !known.all.contains(identity) {
                known.all.push(identity.clone());
            }
            if known.all.len() > IDENTITIES_MAX {
                return Err(Unlinked::Busy);
            }
            let stored = written(&StoredIdentity { member, term });
            changes = changes.put(place, there.map(|it| it.version), &stored, None).put(
                of,
                before.map(|it| it.version),
                &written(&known),
                None,
            );
            if self.commit(&changes).await? == Committed::Whole {
                return Ok(());
            }
        }
        Err(Unlinked::Busy)
    }

    /// And no identity is this member any more.
    pub(super) async fn without_identities(
        &self,
        changes: Changes,
        keys: &TenantKeys,
        member: ActorId,
    ) -> Result<Changes, AccountFault> {
        let of_member = member.to_string();
        let of = (RecordKind::IdentitiesOf, of_member.as_str());
        let Some(known) = self.get(keys, of).await? else { return Ok(changes) };
        let all = read::<StoredIdentities>(&known)?.all;
        self.without(changes.remove(of, known.version), keys, member, &all).await
    }

    /// And none of these is `member` any more. Some may be somebody else by now.
    async fn without(
        &self,
        changes: Changes,
        keys: &TenantKeys,
        member: ActorId,
        identities: &[Identity],
    ) -> Result<Changes, AccountFault> {
        without((&self.keyring, self.clock.now()), changes, keys, member, identities).await
    }

    /// And no password proves who this member is any more.
    async fn without_password(
        &self,
        changes: Changes,
        keys: &TenantKeys,
        member: ActorId,
    ) -> Result<Changes, AccountFault> {
        let of_member = member.to_string();
        let of = (RecordKind::AccountOf, of_member.as_str());
        let Some(known) = self.get(keys, of).await? else { return Ok(changes) };
        let login = read::<StoredName>(&known)?.login;
        let changes = changes.remove(of, known.version);
        let place = (RecordKind::Account, login.as_str());
        match self.get(keys, place).await? {
            Some(account) if read::<StoredAccount>(&account)?.member == member => {
                Ok(changes.remove(place, account.version))
            }
            _ => Ok(changes),
        }
    }
}

/// As [`Accounts::without`], at this time.
async fn without(
    (keyring, now): (&Keyring, DateTime<Utc>),
    mut changes: Changes,
    keys: &TenantKeys,
    member: ActorId,
    identities: &[Identity],
) -> Result<Changes, AccountFault> {
    for identity in identities {
        let name = identity.name();
        let place = (RecordKind::Identity, name.as_str());
        if let Some(known) = keyring.records().get(keys, place, now).await?
            && read::<StoredIdentity>(&known)?.member == member
        {
            changes = changes.remove(place, known.version);
        }
    }
    Ok(changes)
}

/// Removes all identities that `member` had up to the time `term`.
pub(super) async fn forget(
    keyring: &Keyring,
    tenant: TenantId,
    member: ActorId,
    term: Term,
) -> Result<(), AccountFault> {
    let (keys, now, records) = (keyring.existing(tenant).await?, Utc::now(), keyring.records());
    let of_member = member.to_string();
    let of = (RecordKind::IdentitiesOf, of_member.as_str());
    let Some(listed) = records.get(&keys, of, now).await? else { return Ok(()) };
    let stored = read::<StoredIdentities>(&listed)?;
    if stored.term > term {
        return Ok(());
    }
    let changes = Changes::of(&keys).remove(of, listed.version);
    let changes = without((keyring, now), changes, &keys, member, &stored.all).await?;
    // Whoever has changed one of them meanwhile knows better.
    let (Committed::Whole | Committed::Conflict) = records.commit(&changes, now).await?;
    Ok(())
}
