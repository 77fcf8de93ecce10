//! Whether this process's clock agrees with one that is not its own: that of the log, where others keep
//! that.
//!
//! One that is ahead would record times that have not come, and fire timers before they are due; whoever
//! owned the partition next, with a clock that is right, could record nothing until they have. So whoever
//! disagrees decides nothing and owns nothing until it agrees again.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, LogError};
use tokio::sync::watch;

use super::Clock;

/// How far a clock may be off before its process owns nothing. In seconds: 5.
pub(crate) const CLOCK_OFF_MAX: TimeDelta = TimeDelta::seconds(5);

/// How long to wait before the clocks are compared again. In seconds: 10.
const COMPARED_EVERY: Duration = Duration::from_secs(10);

/// By how much `clock` is ahead of that of the log, less than 0 if it is behind; none if the log has none
/// of its own. How long the answer takes makes no difference.
async fn ahead(log: &dyn EventLog, clock: &dyn Clock) -> Result<Option<TimeDelta>, LogError> {
    let before = clock.now();
    let Some(there) = log.time().await? else { return Ok(None) };
    let (there, after) = (DateTime::<Utc>::from(there), clock.now());
    Ok(Some((before - there).max(TimeDelta::zero()) + (after - there).min(TimeDelta::zero())))
}

/// Compares the clocks once and notes whether this one is wrong. Returns whether there is anything to
/// compare it with.
pub(crate) async fn compare(
    log: &Arc<dyn EventLog>,
    clock: &Arc<dyn Clock>,
    is_wrong: &watch::Sender<bool>,
) -> bool {
    let ahead = match ahead(log.as_ref(), clock.as_ref()).await {
        Ok(Some(ahead)) => ahead,
        Ok(None) => return false,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "the log does not say what time it is");
            return true;
        }
    };
    let wrong = ahead.abs() > CLOCK_OFF_MAX;
    if is_wrong.send_if_modified(|it| std::mem::replace(it, wrong) != wrong) {
        let ahead_ms = ahead.num_milliseconds();
        if wrong {
            tracing::error!(
                clock.ahead_ms = ahead_ms,
                "the clock of this process is not that of the log, so it owns nothing; set it right"
            );
        } else {
            tracing::info!(clock.ahead_ms = ahead_ms, "the clock of this process is right again");
        }
    }
    true
}

/// Goes on comparing, if there is anything to compare with.
pub(crate) async fn watch(
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    is_wrong: watch::Sender<bool>,
) {
    loop {
        tokio::time::sleep(COMPARED_EVERY).await;
        compare(&log, &clock, &is_wrong).await;
    }
}
