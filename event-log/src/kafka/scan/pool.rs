//! Consumers to read with, of which only so many are in use at a time, as long as nobody waits too
//! long for one.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;

use super::{Consumer, listen, make};
use crate::port::LogError;

/// How many partitions are read at a time. Those that are to be read beside them wait: a process
/// that starts looks at all of a log at once, and each consumer costs threads and connections.
pub(super) const SCANS_MAX: usize = 4;

/// Consumers with the same settings, of which each reads one partition at a time.
pub(super) struct Pool {
    settings: ClientConfig,
    wait_max: Duration,
    lent: Mutex<Lent>,
    given_back: Condvar,
}

#[derive(Default)]
struct Lent {
    /// How many are in use.
    count: usize,
    /// Those that are not.
    idle: Vec<Consumer>,
}

impl Pool {
    /// Who has waited for `wait_max` gets one more.
    pub(super) fn new(settings: ClientConfig, wait_max: Duration) -> Self {
        Self { settings, wait_max, lent: Mutex::default(), given_back: Condvar::new() }
    }

    /// Lends a consumer, which is only kept if nothing went wrong with it.
    ///
    /// Who had to wait for it asks first whether the broker still `answers` that has what is to be
    /// read: those before may have waited for the same one in vain, and others wait meanwhile.
    pub(super) fn with<T>(
        &self,
        answers: impl FnOnce() -> Result<(), LogError>,
        work: impl FnOnce(&Consumer) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let is_full = |it: &mut Lent| it.count >= SCANS_MAX;
        let mut lent = self.lent();
        let has_waited = is_full(&mut lent);
        let waited = self.given_back.wait_timeout_while(lent, self.wait_max, is_full);
        (lent, _) = waited.unwrap_or_else(PoisonError::into_inner);
        lent.count += 1;
        let idle = lent.idle.pop();
        drop(lent);
        let asked = if has_waited { answers() } else { Ok(()) };
        let made = asked.and_then(|()| idle.map_or_else(|| make(&self.settings), Ok));
        let done = made.and_then(|it| Ok((work(&it)?, it)));
        let mut lent = self.lent();
        lent.count -= 1;
        let done = done.map(|(done, consumer)| {
            listen(&consumer);
            if lent.idle.len() < SCANS_MAX {
                lent.idle.push(consumer);
            }
            done
        });
        drop(lent);
        self.given_back.notify_one();
        done
    }

    fn lent(&self) -> MutexGuard<'_, Lent> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
