//! Attempts to sign in: remembered in the vault, so that it does not matter which process is asked.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::TenantId;
use vault::{Changes, Committed, Known, RecordKind, TenantKeys, Version};

use super::delays::{ADDRESS, ANYWHERE, Attempts, FROM_ADDRESS, Pace, SUCCESSES};
use super::{AccountFault, Accounts, LoginName, Unproved, read, written};
use crate::doors::ClientAddress;

/// How often something is tried anew that others have changed meanwhile.
pub(super) const TRIES_MAX: usize = 8;

/// When to try again where others try as often as they can. In seconds: 1.
pub(super) const CROWDED_RETRY_AFTER: Duration = Duration::from_secs(1);

/// An attempt at one account, and what it counts towards.
pub(super) struct Attempt {
    /// Those at the account from its address; none if that tells nobody from another.
    here: Option<String>,
    /// Those at the account, and those from the address.
    others: Vec<(String, Pace)>,
    /// Those at the account that have succeeded.
    successes: String,
}

impl fmt::Debug for Attempt {
    /// Shows neither whose account it is nor from where.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").finish_non_exhaustive()
    }
}

/// Whether attempts that have failed before make another one wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delays {
    /// They do.
    Hold,
    /// They do not: whoever tries has what nobody guesses.
    Spare,
}

/// How an attempt has ended that has not failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Somebody is in.
    In,
    /// Somebody is not in yet, whose password was right: it is too soon, or they are asked for more. What
    /// has failed before still counts: they may be guessing the rest.
    Halfway,
}

/// What is remembered of some attempts.
struct Count {
    name: String,
    pace: Pace,
    attempts: Attempts,
    version: Option<Version>,
}

/// What is remembered for an attempt.
struct Remembered {
    keys: TenantKeys,
    here: Option<Count>,
    others: Vec<Count>,
    successes: Count,
}

impl Remembered {
    /// Whether the account has signed in from there lately. Then what others do does not delay it, and
    /// it delays nobody.
    fn is_known(&self, now: DateTime<Utc>) -> bool {
        self.here.as_ref().is_some_and(|it| it.attempts.is_known(now))
    }

    /// What the attempt counts towards.
    fn counting(self, now: DateTime<Utc>) -> Vec<Count> {
        let others = if self.is_known(now) { Vec::new() } else { self.others };
        self.here.into_iter().chain(others).collect()
    }
}

impl Attempt {
    /// An attempt at an account that may not exist, which makes no difference.
    pub(super) fn of(whose: &str, login: &LoginName, from: ClientAddress) -> Self {
        // None of the parts has this character.
        let account = format!("{whose}\n{}", login.as_str());
        let here = from.0.map(|it| format!("{account}\n{it}"));
        // No account is called like these.
        let successes = format!("\n{account}");
        let address = from.0.map(|it| (format!("\n\n{it}"), ADDRESS));
        let others = std::iter::once((account, ANYWHERE)).chain(address).collect();
        Self { here, others, successes }
    }

    /// Counts it as one that has failed, if it is time for it. How long somebody has to wait all the
    /// same whose password is right, if they have to, since so many have come in.
    ///
    /// # Errors
    ///
    /// [`Unproved::Later`] if it is not.
    pub(super) async fn begin(
        &self,
        accounts: &Accounts,
        delays: Delays,
    ) -> Result<Option<Duration>, Unproved> {
        for _ in 0..TRIES_MAX {
            let now = accounts.clock.now();
            let remembered = self.remembered(accounts).await?;
            let mut changes = Changes::of(&remembered.keys);
            let paced = remembered.successes.attempts.delay(SUCCESSES, now).map(seconds);
            let counting = remembered.counting(now);
            let left = counting.iter().filter_map(|it| it.attempts.delay(it.pace, now)).max();
            if let Some(left) = left.filter(|_| delays == Delays::Hold) {
                return Err(Unproved::Later(seconds(left)));
            }
            for count in counting {
                let another = count.attempts.with_another(count.pace, now);
                changes = count.put(changes, another);
            }
            if accounts.commit(&changes).await? == Committed::Whole {
                return Ok(paced.filter(|_| delays == Delays::Hold));
            }
        }
        Err(Unproved::Later(CROWDED_RETRY_AFTER))
    }

    /// It has not failed: nothing delays who comes from there, and what others did counts as before.
    pub(super) async fn end(&self, accounts: &Accounts, ended: Ended) -> Result<(), AccountFault> {
        for _ in 0..TRIES_MAX {
            let now = accounts.clock.now();
            let remembered = self.remembered(accounts).await?;
            let (mut changes, is_known) = (Changes::of(&remembered.keys), remembered.is_known(now));
            if let Some(here) = remembered.here {
                let attempts = match ended {
                    Ended::In => Attempts::succeeded(now),
                    Ended::Halfway => here.attempts.with_one_less(),
                };
                changes = here.put(changes, attempts);
            }
            for count in remembered.others.into_iter().filter(|_| !is_known) {
                let less = count.attempts.with_one_less();
                changes = count.put(changes, less);
            }
            if ended == Ended::In {
                let another = remembered.successes.attempts.with_another(SUCCESSES, now);
                changes = remembered.successes.put(changes, another);
            }
            if accounts.commit(&changes).await? == Committed::Whole {
                break;
            }
        }
        Ok(())
    }

    async fn remembered(&self, accounts: &Accounts) -> Result<Remembered, AccountFault> {
        // Those of the installation for all: a tenant that does not exist has none.
        let keys = accounts.keyring.existing(TenantId::SYSTEM).await?;
        let here = self.here.as_deref().map(|it| (it, FROM_ADDRESS));
        let others = self.others.iter().map(|(name, pace)| (name.as_str(), *pace));
        let asked = std::iter::once((self.successes.as_str(), SUCCESSES)).chain(here).chain(others);
        let asked: Vec<_> = asked.collect();
        let names: Vec<_> = asked.iter().map(|it| (RecordKind::Attempts, it.0)).collect();
        let found = accounts.keyring.records().get_all(&keys, &names, accounts.clock.now()).await?;
        let counts = asked.into_iter().zip(found);
        let mut counts = counts.map(|((name, pace), found)| Count::of(name, pace, found));
        let successes = counts.next().expect("they were asked for")?;
        let here = counts.by_ref().take(here.iter().count()).next().transpose()?;
        Ok(Remembered { here, others: counts.collect::<Result<_, _>>()?, successes, keys })
    }
}

impl Count {
    fn of(name: &str, pace: Pace, found: Option<Known>) -> Result<Self, AccountFault> {
        let attempts = found.as_ref().map(read).transpose()?.unwrap_or_default();
        Ok(Self { name: name.to_owned(), pace, attempts, version: found.map(|it| it.version) })
    }

    /// And what is remembered is this.
    fn put(&self, changes: Changes, attempts: Attempts) -> Changes {
        let (value, ends_at) = (written(&attempts), attempts.ends_at(self.pace));
        changes.put((RecordKind::Attempts, &self.name), self.version, &value, Some(ends_at))
    }
}

/// Whole seconds, rounded up.
fn seconds(delay: TimeDelta) -> Duration {
    let whole = delay.num_seconds() + i64::from(delay.subsec_nanos() > 0);
    Duration::from_secs(u64::try_from(whole).unwrap_or(0).max(1))
}
