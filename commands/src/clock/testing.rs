//! A clock that stands still until a test moves it.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use super::Clock;

/// Clones show the same time.
#[derive(Clone, Debug)]
pub(crate) struct TestClock(watch::Sender<DateTime<Utc>>);

impl TestClock {
    /// A clock that shows `now`.
    pub(crate) fn at(now: &str) -> Self {
        Self(watch::Sender::new(now.parse().expect("a time in RFC 3339")))
    }

    /// Moves the clock, forwards or backwards.
    pub(crate) fn advance(&self, by: TimeDelta) {
        self.0.send_modify(|it| *it += by);
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.borrow()
    }

    async fn wait_until(&self, at: DateTime<Utc>) {
        let mut shown = self.0.subscribe();
        let reached = shown.wait_for(|it| *it >= at).await;
        drop(reached.expect("`self` keeps the sender alive"));
    }
}
