//! A clock that stands still until a test moves it.

use std::time::Instant;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use super::Clock;

/// Clones show the same time.
#[derive(Clone, Debug)]
pub(crate) struct TestClock(watch::Sender<Shown>);

#[derive(Clone, Copy, Debug)]
struct Shown {
    now: DateTime<Utc>,
    steady: Instant,
}

impl TestClock {
    /// A clock that shows `now`.
    pub(crate) fn at(now: &str) -> Self {
        let now = now.parse().expect("a time in RFC 3339");
        Self(watch::Sender::new(Shown { now, steady: Instant::now() }))
    }

    /// Lets time pass; less than none sets the clock back.
    pub(crate) fn advance(&self, by: TimeDelta) {
        self.0.send_modify(|it| {
            it.now += by;
            it.steady += by.to_std().unwrap_or_default();
        });
    }

    /// Sets the clock, while no time passes.
    pub(crate) fn set_by(&self, by: TimeDelta) {
        self.0.send_modify(|it| it.now += by);
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        self.0.borrow().now
    }

    fn steady(&self) -> Instant {
        self.0.borrow().steady
    }

    async fn wait_until(&self, at: DateTime<Utc>) {
        let mut shown = self.0.subscribe();
        let reached = shown.wait_for(|it| it.now >= at).await;
        drop(reached.expect("`self` keeps the sender alive"));
    }
}
