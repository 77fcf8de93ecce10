//! How long ago it was certain that a replica holds all that its log does.
//!
//! Whoever shares a log with others may be cut off from it and not notice: who was removed
//! meanwhile would be let in for ever. It is asked for only while somebody wants to know.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Handle;
use crate::request::CommandError;

/// For how long what was heard is not asked about again. In seconds: 1.
const HEARD_AGAIN: Duration = Duration::from_secs(1);

/// For how long what was heard counts. In seconds: 5, the longest that somebody who was removed may
/// still be let in.
const HEARD_MAX: Duration = Duration::from_secs(5);

/// When a partition was heard of last.
#[derive(Debug, Default)]
pub(super) struct Heard {
    at: Mutex<Option<Instant>>,
    /// Whether somebody is asking.
    is_asked: AtomicBool,
}

impl Heard {
    fn age(&self) -> Option<Duration> {
        let at = *self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.map(|it| it.elapsed())
    }

    /// For how long what was heard still counts.
    fn left(&self) -> Duration {
        self.age().map_or(Duration::ZERO, |it| HEARD_MAX.saturating_sub(it))
    }

    fn note(&self, at: Instant) {
        let mut known = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        *known = (*known).max(Some(at));
    }
}

impl Handle {
    /// Fails if what is known of the partition here may be older than 5 s.
    ///
    /// # Errors
    ///
    /// [`CommandError::Unavailable`].
    pub(crate) async fn is_heard(&self) -> Result<(), CommandError> {
        if self.heard.left().is_zero() {
            return self.hear().await;
        }
        self.hear_again();
        Ok(())
    }

    /// For how long what is known of the partition here still counts; none if it may be older than
    /// 5 s. Whoever has less than `patience` left waits for that long to hear more.
    pub(crate) async fn heard_for(&self, patience: Duration) -> Option<Duration> {
        if self.heard.left() < patience {
            // What counts is when it was heard last, however this went.
            let _ = tokio::time::timeout(patience, self.hear()).await;
        } else {
            self.hear_again();
        }
        Some(self.heard.left()).filter(|it| !it.is_zero())
    }

    /// Asks, without waiting for it, unless somebody is asking or has just heard.
    fn hear_again(&self) {
        let is_recent = self.heard.age().is_some_and(|it| it < HEARD_AGAIN);
        if is_recent || self.heard.is_asked.swap(true, Ordering::AcqRel) {
            return;
        }
        let handle = self.clone();
        tokio::spawn(async move {
            // Whoever needs to know whether it went well asks again.
            let _ = handle.hear().await;
            handle.heard.is_asked.store(false, Ordering::Release);
        });
    }

    /// Sees to it that what is known of the partition here is all that is recorded by now.
    ///
    /// # Errors
    ///
    /// [`CommandError::Unavailable`].
    pub(crate) async fn hear(&self) -> Result<(), CommandError> {
        let asked = Instant::now();
        self.is_shown().await?;
        self.heard.note(asked);
        Ok(())
    }
}
