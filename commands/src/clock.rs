//! What time it is, as a part that tests replace.

use std::fmt;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

pub(crate) mod outside;
#[cfg(test)]
pub(crate) mod testing;

/// How long a sleep may last before the clock is looked at again: 30 s, so that a wall clock
/// that was set forward does not delay timers for longer.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// Tells the time, and when a time has come.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync {
    /// The wall clock's time. May go backwards; the owner makes sure that recorded time does not.
    fn now(&self) -> DateTime<Utc>;

    /// A moment on a clock that nobody can set, to tell how much time has passed.
    fn steady(&self) -> Instant {
        Instant::now()
    }

    /// Returns at `at`, or earlier; who waits looks at the clock again.
    async fn wait_until(&self, at: DateTime<Utc>);
}

/// The clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    async fn wait_until(&self, at: DateTime<Utc>) {
        let left = at.signed_duration_since(self.now()).max(TimeDelta::zero());
        tokio::time::sleep(left.to_std().map_or(SLEEP_MAX, |it| it.min(SLEEP_MAX))).await;
    }
}
