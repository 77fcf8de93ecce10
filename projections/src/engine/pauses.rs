//! How long whoever follows the log pauses after something failed, before it is tried again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// How long it pauses at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What is done one after the other. Each may fail, and what comes later has never been tried then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// The database says how far the tables are.
    Tables,
    /// The log shows the last record that was applied.
    Log,
    /// The log shows what comes next, which may be waited for.
    Next,
    /// That is applied.
    Apply,
}

/// The pauses of one worker: ever longer while the same fails again and again.
#[derive(Debug)]
pub(crate) struct Pauses {
    next: Duration,
    /// Where it failed, as long as it has not got further since.
    failed: Option<Step>,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: PAUSE_MIN, failed: None }
    }
}

impl Pauses {
    /// The first of which is so long.
    #[cfg(test)]
    pub(crate) fn beginning_at(next: Duration) -> Self {
        Self { next, failed: None }
    }

    /// How long to pause, now that `step` has failed.
    pub(crate) fn failed(&mut self, step: Step) -> Duration {
        let pause = self.next;
        self.next = (self.next * 2).min(PAUSE_MAX);
        self.failed = Some(step);
        pause
    }

    /// Notes that `step` went well, and answers whether what had failed answers again: if it fails
    /// once more, that is another failure.
    pub(crate) fn went_well(&mut self, step: Step) -> bool {
        let is_back = self.failed.is_some_and(|it| it <= step);
        if is_back {
            *self = Self::default();
        }
        is_back
    }

    /// Notes that it was waited so long for what comes next before that failed. Whoever waits
    /// longer than it would pause was not refused at once.
    pub(crate) fn waited(&mut self, time: Duration) {
        if time >= self.next {
            self.went_well(Step::Next);
        }
    }
}

/// Ends the pauses of all workers of a process as soon as one of them hears that something which
/// was away is there again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Back(Arc<Notify>);

impl Back {
    /// Something is there again.
    pub(crate) fn tell(&self) {
        self.0.notify_waiters();
    }

    /// Waits until something is there again that was not when this was called.
    pub(crate) fn heard(&self) -> Notified<'_> {
        self.0.notified()
    }
}

#[cfg(test)]
mod tests;
