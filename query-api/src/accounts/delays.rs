//! How long the next attempt to sign in has to wait after others that have failed. Pure.
//!
//! Nobody is locked out for good: each delay has an end, they do not grow without bound, and
//! failures are forgotten one after the other. An attempt counts before its password is looked at,
//! so that many at the same time are not many tries; one that succeeds is taken back.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// How delays grow and fade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// How many failures delay nothing.
    free: u32,
    /// The longest delay.
    longest: TimeDelta,
    /// After how long one failure is forgotten.
    forgotten_after: TimeDelta,
}

/// Attempts at one account from one address. The first failure delays the next attempt by a
/// second, each further one by twice as long as the last, up to 15 minutes; half an hour makes up
/// for one.
pub(super) const FROM_ADDRESS: Pace =
    Pace { free: 0, longest: TimeDelta::minutes(15), forgotten_after: TimeDelta::minutes(30) };

/// Attempts at one account from anywhere. The first ten delay nothing, and no delay is longer than
/// a minute: whoever spoils it for others has to go on and on. Two minutes make up for one failure.
pub(super) const ANYWHERE: Pace =
    Pace { free: 10, longest: TimeDelta::minutes(1), forgotten_after: TimeDelta::minutes(2) };

/// Attempts from one address, at whatever accounts: one password may be common to many. The first
/// twenty delay nothing, and no delay is longer than a minute, for an address may be a whole office's.
pub(super) const ADDRESS: Pace =
    Pace { free: 20, longest: TimeDelta::minutes(1), forgotten_after: TimeDelta::minutes(2) };

/// Attempts at one account that have succeeded. Each ends a session where there are many, and is
/// recorded for ever; nobody needs more than thirty an hour.
pub(super) const SUCCESSES: Pace =
    Pace { free: 30, longest: TimeDelta::minutes(2), forgotten_after: TimeDelta::minutes(2) };

/// For how long an address counts as one that its account signs in from. In days: 30.
const KNOWN_FOR: TimeDelta = TimeDelta::days(30);

/// The delay after the first failure that has one. In seconds: 1.
const SHORTEST: TimeDelta = TimeDelta::seconds(1);

/// What is remembered of attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempts {
    /// How many had failed at the last one.
    failures: u32,
    /// When that was.
    last: DateTime<Utc>,
    /// Until when it is known that the account signs in from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known_until: Option<DateTime<Utc>>,
}

impl Attempts {
    /// How long from `now` on the next attempt has to wait; none if not at all.
    pub(super) fn delay(&self, pace: Pace, now: DateTime<Utc>) -> Option<TimeDelta> {
        let left = self.last + pace.delay(self.failures) - now;
        // Not longer than any delay is, where the clock was set back.
        (left > TimeDelta::zero()).then(|| left.min(pace.longest))
    }

    /// With one more, which has failed until it is known to have not.
    #[must_use]
    pub(super) fn with_another(&self, pace: Pace, now: DateTime<Utc>) -> Self {
        let failures = self.remembered(pace, now).saturating_add(1).min(pace.most());
        Self { failures, last: now, known_until: self.known_until }
    }

    /// After one that was counted has not failed, elsewhere than where it counts most.
    #[must_use]
    pub(super) fn with_one_less(&self) -> Self {
        Self { failures: self.failures.saturating_sub(1), ..*self }
    }

    /// After one has succeeded.
    pub(super) fn succeeded(now: DateTime<Utc>) -> Self {
        Self { failures: 0, last: now, known_until: Some(now + KNOWN_FOR) }
    }

    /// Whether the account has signed in from there lately.
    pub(super) fn is_known(&self, now: DateTime<Utc>) -> bool {
        self.known_until.is_some_and(|it| it > now)
    }

    /// From when on there is nothing to remember.
    pub(super) fn ends_at(&self, pace: Pace) -> DateTime<Utc> {
        let forgotten = self.last + pace.forgotten_after * cast(self.failures);
        self.known_until.map_or(forgotten, |it| it.max(forgotten))
    }

    /// How many failures are not forgotten at `now`.
    fn remembered(&self, pace: Pace, now: DateTime<Utc>) -> u32 {
        let passed = (now - self.last).num_seconds().max(0);
        let forgotten = passed / pace.forgotten_after.num_seconds();
        self.failures.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}

impl Pace {
    /// The delay after so many failures.
    fn delay(&self, failures: u32) -> TimeDelta {
        let Some(counted) = failures.checked_sub(self.free + 1) else { return TimeDelta::zero() };
        let doubled = SHORTEST.num_seconds().checked_shl(counted).filter(|_| counted < 32);
        doubled.map_or(self.longest, |it| TimeDelta::seconds(it).min(self.longest))
    }

    /// The number of failures from which on none makes the delay longer.
    fn most(&self) -> u32 {
        (1..).find(|it| self.delay(*it) >= self.longest).unwrap_or(u32::MAX)
    }
}

/// A number of failures, which is small, as one that times are multiplied by.
fn cast(failures: u32) -> i32 {
    i32::try_from(failures).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
