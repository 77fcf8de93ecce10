//! What a member shows beside a password, if they want to: a one-time password of an app, or a recovery
//! code instead.
//!
//! Both are good once: whatever is shown is used by a compare-and-set in the vault, wherever it is
//! shown. An app is asked for only after it has shown one password, so that nobody locks themselves
//! out. Accounts at providers have none of this: there the provider asks.

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::{ActorId, TenantId};
use domain::member::Term;
use domain::personal::Digest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vault::{Changes, Committed, Keyring, Known, RecordKind, TenantKeys};

use super::attempts::{CROWDED_RETRY_AFTER, TRIES_MAX};
use super::beside::{Beside, Code};
use super::recovery::{self, Plain};
use super::totp::{Enrolment, Secret, Step};
use super::{
    AccountFault, Accounts, LoginName, Proof, StoredAccount, Unproved, Unset, Whose, read, written,
};

/// How many one-time passwords in a row may be wrong: 100, as NIST SP 800-63B allows. Then only a
/// recovery code helps, or an invite. Whoever does not know the password counts towards nothing.
const WRONG_MAX: u32 = 100;

/// How many may be wrong while an app is set up: 5.
const WRONG_WHILE_PENDING_MAX: u32 = 5;

/// How long an app may be set up for. In minutes: 10.
const PENDING_LASTS: TimeDelta = TimeDelta::minutes(10);

/// Why an app is not asked for from now on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unconfirmed {
    /// Nobody has begun to set it up, or too long ago, or too often it has shown something else.
    #[error("no app is being set up, or not any more")]
    NotBegun,
    /// It shows something else.
    #[error("the app should show another password")]
    Wrong,
    /// Others change the same.
    #[error("others are changing the same")]
    Busy,
    /// For the operator.
    #[error(transparent)]
    Fault(#[from] AccountFault),
}

/// What is known of a second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SecondFactor {
    /// How many recovery codes were not used.
    pub(crate) recovery_codes_left: usize,
}

/// A second factor, as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// For which time they are a member: it is asked for in no other.
    term: Term,
    active: Option<Active>,
    pending: Option<Pending>,
}

/// What is asked for.
#[derive(Serialize, Deserialize)]
struct Active {
    /// Which second factor it is: another one for each that is confirmed.
    factor: Uuid,
    secret: Secret,
    /// The last step whose password was shown. None before is good any more.
    last: Step,
    /// How many were wrong since.
    wrong: u32,
    recovery: Vec<Digest>,
}

/// What has shown nothing yet.
#[derive(Serialize, Deserialize)]
struct Pending {
    /// With which password it was begun: it goes with no other.
    password: Uuid,
    secret: Secret,
    ends_at: DateTime<Utc>,
    wrong: u32,
}

/// An app that is being set up for an account, with the password that is its present one.
struct Begun {
    term: Term,
    password: Uuid,
    pending: Pending,
    /// What is stored beside it.
    stored: Stored,
    known: Known,
}

/// What became of showing something.
enum Tried {
    /// It is none that could be, and nothing changes.
    Nothing,
    /// It is wrong.
    Wrong,
    /// It is right, and used up; of which second factor it was.
    Right(Uuid),
}

impl Active {
    /// Whether no one-time password is taken any more.
    fn is_exhausted(&self) -> bool {
        self.wrong >= WRONG_MAX
    }

    /// Uses a one-time password up, if it is one.
    fn use_password(&mut self, password: &str, now: DateTime<Utc>) -> Tried {
        if self.is_exhausted() {
            return Tried::Nothing;
        }
        match self.secret.step(password, now).filter(|it| *it > self.last) {
            Some(step) => {
                (self.last, self.wrong) = (step, 0);
                Tried::Right(self.factor)
            }
            None => {
                self.wrong = self.wrong.saturating_add(1);
                Tried::Wrong
            }
        }
    }

    /// Uses a recovery code up, if it is one.
    fn use_recovery_code(&mut self, code: Digest) -> Tried {
        let Some(index) = self.recovery.iter().position(|it| *it == code) else {
            return Tried::Nothing;
        };
        self.recovery.swap_remove(index);
        // Whoever has it may try to show one-time passwords again.
        self.wrong = 0;
        Tried::Right(self.factor)
    }
}

impl Accounts {
    /// The second factor of an account, if it has one.
    ///
    /// # Errors
    ///
    /// A fault of the vault.
    pub(crate) async fn second_factor(
        &self,
        tenant: TenantId,
        member: ActorId,
        term: Term,
    ) -> Result<Option<SecondFactor>, AccountFault> {
        let keys = self.keys(&Whose::Tenant(tenant)).await?;
        let stored = self.factor(&keys, member, term).await?;
        let active = stored.and_then(|(it, _)| it.active);
        Ok(active.map(|it| SecondFactor { recovery_codes_left: it.recovery.len() }))
    }

    /// Which second factor is asked for beside the password of an account.
    ///
    /// # Errors
    ///
    /// A fault of the vault.
    pub(super) async fn asked_beside(
        &self,
        tenant: TenantId,
        member: ActorId,
        term: Term,
    ) -> Result<Option<Uuid>, AccountFault> {
        let keys = self.keys(&Whose::Tenant(tenant)).await?;
        let stored = self.factor(&keys, member, term).await?;
        Ok(stored.and_then(|(it, _)| it.active).map(|it| it.factor))
    }

    /// Begins to set up an app for who has proved who they are, and shows what to put into it. What
    /// was asked for so far is until [`Self::confirm`].
    ///
    /// # Errors
    ///
    /// [`Unset::Used`] if something else is asked for by now, [`Unset::Busy`], or a fault of the vault.
    pub(crate) async fn enrol(
        &self,
        tenant: TenantId,
        proof: &Proof,
        issuer: &str,
    ) -> Result<Enrolment, Unset> {
        let secret = Secret::random();
        let begun = |active: Option<Active>| {
            let ends_at = self.clock.now() + PENDING_LASTS;
            let (secret, password) = (secret.clone(), proof.password);
            let pending = Some(Pending { password, secret, ends_at, wrong: 0 });
            (Stored { term: proof.term, active, pending }, ())
        };
        self.change_factor(tenant, proof, begun).await?;
        Ok(secret.enrolment(issuer, proof.login.as_str()))
    }

    /// For which time somebody is a member whose app is being set up and shows this password now. It changes and
    /// counts nothing.
    ///
    /// # Errors
    ///
    /// A fault of the vault.
    pub(crate) async fn would_confirm(
        &self,
        tenant: TenantId,
        login: &LoginName,
        member: ActorId,
        shown: &str,
    ) -> Result<Option<Term>, AccountFault> {
        let whose = Whose::Tenant(tenant);
        let keys = self.keys(&whose).await?;
        let begun = self.begun(&keys, &whose, login, member).await?;
        let now = self.clock.now();
        let begun = begun.filter(|it| it.pending.secret.step(shown, now).is_some());
        Ok(begun.map(|it| it.term))
    }

    /// Has an app be asked for from now on that shows this password now. The recovery codes, which are
    /// nowhere else, and what proves from now on who the member is.
    ///
    /// # Errors
    ///
    /// [`Unconfirmed`]; then the same is asked for as before.
    pub(crate) async fn confirm(
        &self,
        tenant: TenantId,
        login: &LoginName,
        member: ActorId,
        shown: &str,
    ) -> Result<(Vec<Plain>, Proof), Unconfirmed> {
        let whose = Whose::Tenant(tenant);
        let keys = self.keys(&whose).await?;
        for _ in 0..TRIES_MAX {
            let begun = self.begun(&keys, &whose, login, member).await?;
            let Begun { term, password, mut pending, mut stored, known } =
                begun.ok_or(Unconfirmed::NotBegun)?;
            let ((codes, recovery), factor) = (recovery::draw(&keys), Uuid::new_v4());
            let step = pending.secret.step(shown, self.clock.now());
            match step {
                Some(last) => {
                    let secret = pending.secret;
                    stored.active = Some(Active { factor, secret, last, wrong: 0, recovery });
                }
                None => {
                    pending.wrong += 1;
                    stored.pending = Some(pending).filter(|it| it.wrong < WRONG_WHILE_PENDING_MAX);
                }
            }
            let changes = stored.put(Changes::of(&keys), member, Some(&known));
            match (self.commit(&changes).await?, step) {
                (Committed::Whole, Some(_)) => {
                    let (login, beside) = (login.clone(), Beside::App(factor));
                    return Ok((codes, Proof { member, term, beside, login, password }));
                }
                (Committed::Whole, None) => return Err(Unconfirmed::Wrong),
                (Committed::Conflict, _) => {}
            }
        }
        Err(Unconfirmed::Busy)
    }

    /// The app that is being set up for the account of `member` with this login name.
    async fn begun(
        &self,
        keys: &TenantKeys,
        whose: &Whose,
        login: &LoginName,
        member: ActorId,
    ) -> Result<Option<Begun>, AccountFault> {
        let account = self.account(whose, login).await?.filter(|(it, _)| it.member == member);
        let Some((StoredAccount { term, password, .. }, _)) = account else { return Ok(None) };
        let found = self.factor(keys, member, term).await?;
        let Some((mut stored, known)) = found else { return Ok(None) };
        let pending = stored.pending.take().filter(|it| it.password == password);
        Ok(pending.map(|pending| Begun { term, password, pending, stored, known }))
    }

    /// Replaces the recovery codes of who has shown that there are some.
    ///
    /// # Errors
    ///
    /// [`Unset::Used`] if something else is asked for by now, [`Unset::Busy`], or a fault of the vault.
    pub(crate) async fn renew_recovery_codes(
        &self,
        tenant: TenantId,
        proof: &Proof,
    ) -> Result<Vec<Plain>, Unset> {
        let keys = self.keys(&Whose::Tenant(tenant)).await?;
        let renewed = |active: Option<Active>| {
            let (codes, recovery) = recovery::draw(&keys);
            let active = active.map(|it| Active { recovery, ..it });
            (Stored { term: proof.term, active, pending: None }, codes)
        };
        self.change_factor(tenant, proof, renewed).await
    }

    /// Asks for nothing beside the password from now on. What proves from now on who the member is.
    ///
    /// # Errors
    ///
    /// [`Unset::Used`] if something else is asked for by now, [`Unset::Busy`], or a fault of the vault.
    pub(crate) async fn remove_second_factor(
        &self,
        tenant: TenantId,
        proof: &Proof,
    ) -> Result<Proof, Unset> {
        let nothing = |_| (Stored { term: proof.term, active: None, pending: None }, ());
        self.change_factor(tenant, proof, nothing).await?;
        Ok(Proof { beside: Beside::Nothing, ..proof.clone() })
    }

    /// Changes the second factor of who has shown it, or that there is none.
    async fn change_factor<T>(
        &self,
        tenant: TenantId,
        proof: &Proof,
        change: impl Fn(Option<Active>) -> (Stored, T),
    ) -> Result<T, Unset> {
        let keys = self.keys(&Whose::Tenant(tenant)).await?;
        for _ in 0..TRIES_MAX {
            let known = self.factor_record(&keys, proof.member).await?;
            let active = match known.as_ref().map(read::<Stored>).transpose()? {
                Some(stored) if stored.term == proof.term => stored.active,
                Some(_) | None => None,
            };
            // Whoever has not shown what is asked for says nothing about it.
            if active.as_ref().map(|it| it.factor) != proof.beside.factor() {
                return Err(Unset::Used);
            }
            let (stored, told) = change(active);
            let changes = stored.put(Changes::of(&keys), proof.member, known.as_ref());
            if self.commit(&changes).await? == Committed::Whole {
                return Ok(told);
            }
        }
        Err(Unset::Busy)
    }

    /// Uses a recovery code up, if it is one of this account's; of which second factor it was. Whoever has
    /// one is delayed by nothing that others do; so it is used even if the password turns out to be wrong.
    pub(super) async fn use_recovery_code(
        &self,
        keys: &TenantKeys,
        account: Option<(ActorId, Term)>,
        code: &str,
    ) -> Result<Option<Uuid>, Unproved> {
        let code = recovery::digest(keys, code);
        // There is as much to do for nobody's account.
        let whose = account.unwrap_or((ActorId::SYSTEM, Term::default()));
        match self.try_factor(keys, whose, |it| it.use_recovery_code(code)).await? {
            Tried::Right(factor) => Ok(Some(factor)),
            Tried::Wrong | Tried::Nothing => Ok(None),
        }
    }

    /// What who knows the password of an account has shown beside it, which is no recovery code of theirs.
    pub(super) async fn beside_password(
        &self,
        keys: &TenantKeys,
        (member, term): (ActorId, Term),
        code: Option<&Code>,
    ) -> Result<Beside, Unproved> {
        let stored = self.factor(keys, member, term).await?;
        let active = stored.and_then(|(it, _)| it.active);
        match (active, code) {
            (None, _) => Ok(Beside::Nothing),
            (Some(_), None) => Err(Unproved::CodeMissing),
            (Some(_), Some(Code::Recovery(_))) => Err(Unproved::CodeWrong),
            (Some(active), Some(Code::App(_))) if active.is_exhausted() => {
                Err(Unproved::CodesExhausted)
            }
            (Some(_), Some(Code::App(password))) => {
                let now = self.clock.now();
                let used = |it: &mut Active| it.use_password(password, now);
                match self.try_factor(keys, (member, term), used).await? {
                    Tried::Right(factor) => Ok(Beside::App(factor)),
                    Tried::Wrong | Tried::Nothing => Err(Unproved::CodeWrong),
                }
            }
        }
    }

    /// Tries something at what is asked for, and stores what that has become.
    async fn try_factor(
        &self,
        keys: &TenantKeys,
        (member, term): (ActorId, Term),
        attempt: impl Fn(&mut Active) -> Tried,
    ) -> Result<Tried, Unproved> {
        for _ in 0..TRIES_MAX {
            let found = self.factor(keys, member, term).await?;
            let Some((mut stored, known)) = found else { return Ok(Tried::Nothing) };
            let tried = stored.active.as_mut().map_or(Tried::Nothing, &attempt);
            if matches!(tried, Tried::Nothing) {
                return Ok(tried);
            }
            let changes = stored.put(Changes::of(keys), member, Some(&known));
            if self.commit(&changes).await? == Committed::Whole {
                return Ok(tried);
            }
        }
        Err(Unproved::Later(CROWDED_RETRY_AFTER))
    }

    /// And nothing is asked for beside a password of `member` any more.
    pub(super) async fn without_second_factor(
        &self,
        changes: Changes,
        keys: &TenantKeys,
        member: ActorId,
    ) -> Result<Changes, AccountFault> {
        let name = member.to_string();
        let known = self.factor_record(keys, member).await?;
        Ok(match known {
            Some(known) => changes.remove((RecordKind::SecondFactor, &name), known.version),
            None => changes,
        })
    }

    /// The second factor of `member` for that time, and its record.
    async fn factor(
        &self,
        keys: &TenantKeys,
        member: ActorId,
        term: Term,
    ) -> Result<Option<(Stored, Known)>, AccountFault> {
        let Some(known) = self.factor_record(keys, member).await? else { return Ok(None) };
        let mut stored: Stored = read(&known)?;
        stored.pending = stored.pending.filter(|it| self.clock.now() < it.ends_at);
        Ok((stored.term == term).then_some((stored, known)))
    }

    async fn factor_record(
        &self,
        keys: &TenantKeys,
        member: ActorId,
    ) -> Result<Option<Known>, AccountFault> {
        self.get(keys, (RecordKind::SecondFactor, &member.to_string())).await
    }
}

impl Stored {
    /// And this is what is stored of `member`'s: nothing, as soon as it says nothing.
    fn put(&self, changes: Changes, member: ActorId, before: Option<&Known>) -> Changes {
        let name = member.to_string();
        let place = (RecordKind::SecondFactor, name.as_str());
        let ends_at = match (&self.active, &self.pending) {
            (None, Some(pending)) => Some(pending.ends_at),
            (Some(_), _) => None,
            (None, None) => match before {
                Some(before) => return changes.remove(place, before.version),
                None => return changes,
            },
        };
        changes.put(place, before.map(|it| it.version), &written(self), ends_at)
    }
}

/// Removes what was asked for beside the password of `member` up to the time `term`.
pub(super) async fn forget(
    keyring: &Keyring,
    tenant: TenantId,
    member: ActorId,
    term: Term,
) -> Result<(), AccountFault> {
    let (keys, now, records) = (keyring.existing(tenant).await?, Utc::now(), keyring.records());
    let name = member.to_string();
    let place = (RecordKind::SecondFactor, name.as_str());
    let Some(known) = records.get(&keys, place, now).await? else { return Ok(()) };
    if read::<Stored>(&known)?.term > term {
        return Ok(());
    }
    // Whoever has changed it meanwhile knows better.
    let changes = Changes::of(&keys).remove(place, known.version);
    let (Committed::Whole | Committed::Conflict) = records.commit(&changes, now).await?;
    Ok(())
}
