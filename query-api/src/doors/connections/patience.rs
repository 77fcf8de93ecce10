//! How long the head of a request is waited for: long while nobody says anything, not long once it
//! has begun.
//!
//! hyper has one time for both. It asks for a sleep whenever it begins to wait for a head, and gives
//! the sleep up when the head is there; so the sleep sees by what was read meanwhile which of the
//! two it is. A piece of a head that came together with the request before is not seen: then the
//! long time passes, or the short one from the next piece on.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Sleep, Timer};
use tokio::time::Instant;

/// How much was read from one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<AtomicU64>);

impl Heard {
    pub(super) fn more(&self, bytes: usize) {
        self.0.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn bytes(&self) -> u64 {
        // It is read and written by the one task that serves the connection.
        self.0.load(Ordering::Relaxed)
    }
}

/// The clock by which hyper waits for heads on one connection.
#[derive(Debug)]
pub(super) struct Patience {
    pub(super) heard: Heard,
    pub(super) head_time_max: Duration,
}

impl Timer for Patience {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, idle_until: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        let before = self.heard.bytes();
        // Who connects has something to say.
        let begun = before == 0;
        let until = if begun { Instant::now() + self.head_time_max } else { idle_until.into() };
        let sleep = Box::pin(tokio::time::sleep_until(until));
        let (heard, head_time_max) = (self.heard.clone(), self.head_time_max);
        Box::pin(Waiting { sleep, heard, before, begun, head_time_max })
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

/// Waits for one head.
struct Waiting {
    sleep: Pin<Box<tokio::time::Sleep>>,
    heard: Heard,
    /// What had been read when the wait began.
    before: u64,
    /// Whether the short time runs.
    begun: bool,
    head_time_max: Duration,
}

impl Sleep for Waiting {}

impl Future for Waiting {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !self.begun && self.before < self.heard.bytes() {
            self.begun = true;
            let until = Instant::now() + self.head_time_max;
            self.sleep.as_mut().reset(until);
        }
        self.sleep.as_mut().poll(context)
    }
}
