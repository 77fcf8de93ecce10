//! Whether this process's clock agrees with one that is not its own: that of the log, where others keep
//! that.
//!
//! One that is ahead would record times that have not come, and fire timers before they are due; whoever
//! owned the partition next, with a clock that is right, could record nothing until they have. So whoever
//! disagrees decides nothing and owns nothing until it agrees again.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, LogError};
use tokio::sync::{Notify, watch};

use super::Clock;

/// How far a clock may be off before its process owns nothing. In seconds: 5.
pub(crate) const CLOCK_OFF_MAX: TimeDelta = TimeDelta::seconds(5);

/// How long to wait before the clocks are compared again. In seconds: 10.
const COMPARED_EVERY: Duration = Duration::from_secs(10);

/// How long to rest after a comparison, however many ask for another one. In seconds: 1.
const COMPARED_REST: Duration = Duration::from_secs(1);

/// What this process knows of its own clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comparison(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    is_wrong: watch::Sender<bool>,
    /// What the clock showed when it was last found to be right, and when that was.
    agreed: Mutex<Option<(DateTime<Utc>, Instant)>>,
    suspected: Notify,
    /// Whether it counts as wrong only because it was never compared.
    is_doubted: AtomicBool,
}

/// Whether to go by a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Another clock has agreed with it, and it has not been set since.
    Right,
    /// Nothing is known of any other clock.
    Alone,
    Wrong,
}

impl Comparison {
    /// Says whether the clock is wrong, as that changes.
    pub(crate) fn is_wrong(&self) -> watch::Receiver<bool> {
        self.0.is_wrong.subscribe()
    }

    /// Whether to go by `clock`, which shows `now`. One that has been set since it was compared is
    /// compared again at once, and is wrong until then.
    pub(crate) fn judge(&self, clock: &dyn Clock, now: DateTime<Utc>) -> Verdict {
        if *self.0.is_wrong.borrow() {
            return Verdict::Wrong;
        }
        let agreed = *self.0.agreed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((then, since)) = agreed else { return Verdict::Alone };
        let passed = TimeDelta::from_std(clock.steady().saturating_duration_since(since));
        if passed.is_ok_and(|it| (now - then - it).abs() <= CLOCK_OFF_MAX) {
            return Verdict::Right;
        }
        self.0.suspected.notify_one();
        Verdict::Wrong
    }

    /// Compares the clocks once and notes whether this one is wrong. Returns whether there is anything
    /// to compare it with.
    pub(crate) async fn compare(&self, log: &dyn EventLog, clock: &dyn Clock) -> bool {
        let (since, before) = (clock.steady(), clock.now());
        let there = match log.time().await {
            Ok(Some(there)) => DateTime::<Utc>::from(there),
            Ok(None) => return false,
            Err(error) => {
                self.doubt(&error);
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "the log does not say what time it is");
                return true;
            }
        };
        let ahead = ahead(before, there, clock.now());
        let wrong = ahead.abs() > CLOCK_OFF_MAX;
        if !wrong {
            // As it was before: if it has been set while it waited, that is seen.
            let mut agreed = self.0.agreed.lock().unwrap_or_else(PoisonError::into_inner);
            *agreed = Some((before, since));
        }
        let is_news = self.0.is_wrong.send_if_modified(|it| std::mem::replace(it, wrong) != wrong);
        if self.0.is_doubted.swap(false, SeqCst) || is_news {
            tell(ahead, wrong);
        }
        true
    }

    /// Takes a clock for wrong if it was never compared, and has it compared again soon. One that was is
    /// judged by what came of that.
    fn doubt(&self, error: &LogError) {
        if self.0.agreed.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return;
        }
        if !self.0.is_wrong.send_replace(true) {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "nothing is owned here until the log has said what time it is");
            self.0.is_doubted.store(true, SeqCst);
        }
        self.0.suspected.notify_one();
    }

    /// Goes on comparing, if there is anything to compare with.
    pub(crate) async fn watch(self, log: Arc<dyn EventLog>, clock: Arc<dyn Clock>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(COMPARED_EVERY) => (),
                () = self.0.suspected.notified() => (),
            }
            self.compare(log.as_ref(), clock.as_ref()).await;
            tokio::time::sleep(COMPARED_REST).await;
        }
    }
}

/// By how much a clock is ahead that showed `before` when another was asked, which said `there`, and
/// `after` when the answer was there; less than 0 if it is behind. How long the answer takes makes no
/// difference.
fn ahead(before: DateTime<Utc>, there: DateTime<Utc>, after: DateTime<Utc>) -> TimeDelta {
    (before - there).max(TimeDelta::zero()) + (after - there).min(TimeDelta::zero())
}

fn tell(ahead: TimeDelta, wrong: bool) {
    let ahead_ms = ahead.num_milliseconds();
    if wrong {
        tracing::error!(
            clock.ahead_ms = ahead_ms,
            "the clock of this process is not that of the log, so it owns nothing; set right whichever \
             is wrong: if other processes say this too, that of the broker which leads partition 0 of \
             the topic of barriers"
        );
    } else {
        tracing::info!(clock.ahead_ms = ahead_ms, "the clock of this process is right");
    }
}
