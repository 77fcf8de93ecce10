//! What a member shows beside a password, if they want to: a one-time password of an app, or a recovery
//! code instead.
//!
//! Both are good once: whatever is shown is used by a compare-and-set in the vault, wherever it is
//! shown. An app is asked for only after it has shown one password, so that nobody locks themselves
//! out. Accounts at providers have none of this: there the provider asks.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::{ActorId, TenantId};
use domain::member::{Method, Term};
use domain::personal::Digest;
use serde::{Deserialize, Serialize};
use vault::{Changes, Committed, Keyring, Known, RecordKind, TenantKeys};
use zeroize::Zeroizing;

use super::attempts::{CROWDED_RETRY_AFTER, TRIES_MAX};
use super::recovery::{self, Plain};
use super::totp::{Enrolment, Secret, Step};
use super::{AccountFault, Accounts, Proved, Unproved, Unset, Whose, read, written};

/// How many one-time passwords in a row may be wrong: 100, as NIST SP 800-63B allows. Then only a
/// recovery code helps, or an invite. Whoever does not know the password counts towards nothing.
const WRONG_MAX: u32 = 100;

/// How many may be wrong while an app is set up: 5.
const WRONG_WHILE_PENDING_MAX: u32 = 5;

/// How long an app may be set up for. In minutes: 10.
const PENDING_LASTS: TimeDelta = TimeDelta::minutes(10);

/// What somebody shows beside a password. It has no text form for logs.
#[derive(Clone)]
pub(crate) enum Code {
    /// The one-time password that their app shows.
    App(Zeroizing<String>),
    /// One of their recovery codes.
    Recovery(Zeroizing<String>),
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::App(_) => "App(…)",
            Self::Recovery(_) => "Recovery(…)",
        })
    }
}

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
    secret: Secret,
    ends_at: DateTime<Utc>,
    wrong: u32,
}

impl Active {
    /// Uses a one-time password up; whether it was one.
    fn use_password(&mut self, password: &str, now: DateTime<Utc>) -> bool {
        let shown = self.secret.step(password, now).filter(|it| *it > self.last);
        let shown = shown.filter(|_| self.wrong < WRONG_MAX);
        match shown {
            Some(step) => (self.last, self.wrong) = (step, 0),
            None => self.wrong = self.wrong.saturating_add(1),
        }
        shown.is_some()
    }

    /// Uses a recovery code up; whether it was one.
    fn use_recovery_code(&mut self, code: Digest) -> bool {
        let found = self.recovery.iter().position(|it| *it == code);
        if let Some(index) = found {
            self.recovery.swap_remove(index);
            // Whoever has it may try to show one-time passwords again.
            self.wrong = 0;
        }
        found.is_some()
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

    /// Begins to set up an app for who has proved who they are, and shows what to put into it. What
    /// was asked for so far is until [`Self::confirm`].
    ///
    /// # Errors
    ///
    /// [`Unset::Busy`], or a fault of the vault.
    pub(crate) async fn enrol(
        &self,
        tenant: TenantId,
        proved: &Proved,
        issuer: &str,
    ) -> Result<Enrolment, Unset> {
        let secret = Secret::random();
        let begun = |active: Option<Active>| {
            let ends_at = self.clock.now() + PENDING_LASTS;
            let pending = Some(Pending { secret: secret.clone(), ends_at, wrong: 0 });
            Some((Stored { term: proved.term, active, pending }, ()))
        };
        self.change_factor(tenant, proved, begun).await?.ok_or(Unset::Used)?;
        Ok(secret.enrolment(issuer, proved.login.as_str()))
    }

    /// Has an app be asked for from now on that shows this password now. The recovery codes, which are
    /// nowhere else.
    ///
    /// # Errors
    ///
    /// [`Unconfirmed`]; then the same is asked for as before.
    pub(crate) async fn confirm(
        &self,
        tenant: TenantId,
        (member, term): (ActorId, Term),
        password: &str,
    ) -> Result<Vec<Plain>, Unconfirmed> {
        let keys = self.keys(&Whose::Tenant(tenant)).await?;
        for _ in 0..TRIES_MAX {
            let now = self.clock.now();
            let found = self.factor(&keys, member, term).await?;
            let (mut stored, known) = found.ok_or(Unconfirmed::NotBegun)?;
            let pending = stored.pending.take().filter(|it| now < it.ends_at);
            let mut pending = pending.ok_or(Unconfirmed::NotBegun)?;
            let (codes, recovery) = recovery::draw(&keys);
            let confirmed = pending.secret.step(password, now);
            match confirmed {
                Some(last) => {
                    let secret = pending.secret;
                    stored.active = Some(Active { secret, last, wrong: 0, recovery });
                }
                None => {
                    pending.wrong += 1;
                    stored.pending = Some(pending).filter(|it| it.wrong < WRONG_WHILE_PENDING_MAX);
                }
            }
            let changes = stored.put(Changes::of(&keys), member, Some(&known));
            match (self.commit(&changes).await?, confirmed) {
                (Committed::Whole, Some(_)) => return Ok(codes),
                (Committed::Whole, None) => return Err(Unconfirmed::Wrong),
                (Committed::Conflict, _) => {}
            }
        }
        Err(Unconfirmed::Busy)
    }

    /// Replaces the recovery codes of who has proved who they are; none if nothing is asked for beside
    /// the password.
    ///
    /// # Errors
    ///
    /// [`Unset::Busy`], or a fault of the vault.
    pub(crate) async fn renew_recovery_codes(
        &self,
        tenant: TenantId,
        proved: &Proved,
    ) -> Result<Option<Vec<Plain>>, Unset> {
        let keys = self.keys(&Whose::Tenant(tenant)).await.map_err(Unset::Fault)?;
        let renewed = |active: Option<Active>| {
            let (codes, recovery) = recovery::draw(&keys);
            let active = Active { recovery, ..active? };
            Some((Stored { term: proved.term, active: Some(active), pending: None }, codes))
        };
        self.change_factor(tenant, proved, renewed).await
    }

    /// Asks who has proved who they are for nothing beside the password from now on. Whether anything was
    /// asked for.
    ///
    /// # Errors
    ///
    /// [`Unset::Busy`], or a fault of the vault.
    pub(crate) async fn remove_second_factor(
        &self,
        tenant: TenantId,
        proved: &Proved,
    ) -> Result<bool, Unset> {
        let removed = |active: Option<Active>| {
            active.map(|_| (Stored { term: proved.term, active: None, pending: None }, ()))
        };
        Ok(self.change_factor(tenant, proved, removed).await?.is_some())
    }

    /// Changes the second factor of who has proved who they are, unless there is nothing to change.
    async fn change_factor<T>(
        &self,
        tenant: TenantId,
        proved: &Proved,
        change: impl Fn(Option<Active>) -> Option<(Stored, T)>,
    ) -> Result<Option<T>, Unset> {
        let keys = self.keys(&Whose::Tenant(tenant)).await?;
        for _ in 0..TRIES_MAX {
            let known = self.factor_record(&keys, proved.member).await?;
            let active = match known.as_ref().map(read::<Stored>).transpose()? {
                Some(stored) if stored.term == proved.term => stored.active,
                Some(_) | None => None,
            };
            let Some((stored, told)) = change(active) else { return Ok(None) };
            let changes = stored.put(Changes::of(&keys), proved.member, known.as_ref());
            if self.commit(&changes).await? == Committed::Whole {
                return Ok(Some(told));
            }
        }
        Err(Unset::Busy)
    }

    /// Uses a recovery code up, if it is one of this account's. Whoever has one is delayed by nothing that
    /// others do; so it is used even if the password turns out to be wrong.
    pub(super) async fn use_recovery_code(
        &self,
        keys: &TenantKeys,
        account: Option<(ActorId, Term)>,
        code: &str,
    ) -> Result<bool, Unproved> {
        let code = recovery::digest(keys, code);
        // There is as much to do for nobody's account.
        let (member, term) = account.unwrap_or((ActorId::SYSTEM, Term::default()));
        let used = |it: &mut Active| it.use_recovery_code(code).then_some(true);
        Ok(self.try_factor(keys, member, term, used).await? == Some(true))
    }

    /// How who knows the password of an account has proved who they are, who shows `code`. A recovery code
    /// was used before, if it was one.
    pub(super) async fn beside_password(
        &self,
        keys: &TenantKeys,
        (member, term): (ActorId, Term),
        code: Option<&Code>,
        is_recovered: bool,
    ) -> Result<BTreeSet<Method>, Unproved> {
        let stored = self.factor(keys, member, term).await?;
        let is_asked_for = stored.is_some_and(|(it, _)| it.active.is_some());
        match code {
            _ if is_recovered => Ok([Method::Pwd, Method::Mfa].into()),
            _ if !is_asked_for => Ok([Method::Pwd].into()),
            None => Err(Unproved::CodeMissing),
            Some(Code::Recovery(_)) => Err(Unproved::CodeWrong),
            Some(Code::App(password)) => {
                let now = self.clock.now();
                let used = |it: &mut Active| Some(it.use_password(password, now));
                match self.try_factor(keys, member, term, used).await? {
                    Some(true) => Ok([Method::Pwd, Method::Otp, Method::Mfa].into()),
                    Some(false) | None => Err(Unproved::CodeWrong),
                }
            }
        }
    }

    /// Tries something at what is asked for, and stores what it has become, if that was worth storing.
    async fn try_factor(
        &self,
        keys: &TenantKeys,
        member: ActorId,
        term: Term,
        attempt: impl Fn(&mut Active) -> Option<bool>,
    ) -> Result<Option<bool>, Unproved> {
        for _ in 0..TRIES_MAX {
            let Some((mut stored, known)) = self.factor(keys, member, term).await? else {
                return Ok(None);
            };
            let Some(active) = &mut stored.active else { return Ok(None) };
            let Some(has_succeeded) = attempt(active) else { return Ok(None) };
            let changes = stored.put(Changes::of(keys), member, Some(&known));
            if self.commit(&changes).await? == Committed::Whole {
                return Ok(Some(has_succeeded));
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
        let stored: Stored = read(&known)?;
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
