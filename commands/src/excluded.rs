//! Why a process can take part no longer, once it cannot: it is to end then.

use std::sync::Arc;
use std::time::Duration;

use event_log::EventLog;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::commands::Commands;
use crate::level::{NotSpoken, Process};
use crate::replica::Parts;

/// How much longer than a process that died may count as a member two are watched that say the same
/// address. In seconds: 5.
const MARGIN: Duration = Duration::from_secs(5);

/// How often in a row the other one must be found, each time after as long: 4. One that died while it waited
/// for its share counts as a member until everybody has joined, which may take a silence and 20 s, and
/// for another silence.
const FOUND: usize = 4;

/// How long to wait before the log is asked again who takes part.
const PAUSE: Duration = Duration::from_secs(1);

/// Why this process cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Excluded {
    /// What is recorded is not spoken here.
    #[error(transparent)]
    NotSpoken(#[from] NotSpoken),
    /// Requests for one of two would come to the other.
    #[error(
        "another process that shares the log says, too, that it is reached at `{0}`: set \
         `cluster.address` of each to its own address"
    )]
    SameAddress(String),
}

impl Commands {
    /// Completes once this process can take part no longer, and says why. It is to stop then.
    pub async fn excluded(&self) -> Excluded {
        let mut excluded = self.inner().excluded.subscribe();
        let found = excluded.wait_for(Option::is_some).await.map(|it| it.clone());
        match found {
            Ok(Some(excluded)) => excluded,
            // Whoever would say so is there for as long as this is.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

/// What watches, for as long as this process runs, whether it may take part.
pub(crate) fn watchers(
    parts: &Parts,
    own: Process,
    silence: Option<Duration>,
    has_another_clock: bool,
) -> JoinSet<()> {
    let Parts { log, clock, comparison, excluded, .. } = parts;
    let mut watchers = JoinSet::new();
    if has_another_clock {
        watchers.spawn(comparison.clone().watch(log.clone(), clock.clone()));
    }
    if let Some(silence) = silence {
        watchers.spawn(watch_address(log.clone(), own, silence, excluded.clone()));
    }
    watchers
}

/// Finds out, after this process has joined, whether another one that was there before says that it is
/// at the same address as `own`: then this one is to end, and the other goes on. One that has died may count
/// as a member for as long as a `silence` may last.
async fn watch_address(
    log: Arc<dyn EventLog>,
    own: Process,
    silence: Duration,
    excluded: watch::Sender<Option<Excluded>>,
) {
    let Some(address) = own.address.clone() else { return };
    // What does not say when it started is of a version that would not look again.
    let was_before = |it: &Process| it.address == own.address && it.start < own.start;
    for _ in 0..FOUND {
        tokio::time::sleep(silence + MARGIN).await;
        if !members(log.as_ref()).await.iter().any(|it| was_before(&Process::of(it))) {
            return;
        }
    }
    excluded.send_replace(Some(Excluded::SameAddress(address)));
}

/// Who takes part, asked until the log says it.
async fn members(log: &dyn EventLog) -> Vec<String> {
    loop {
        match log.members().await {
            Ok(said) => return said,
            Err(error) => {
                let error = error.to_string();
                tracing::debug!(error, "the log does not say who takes part");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
