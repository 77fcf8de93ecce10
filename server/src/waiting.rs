//! Waiting, at the start, for a log or a database that is not there yet: for as long as it takes,
//! since whoever asked for this process wants it to run, and whoever looks after it can end it.
//!
//! What somebody has to change is not waited for: a password, a certificate, a topic that nobody
//! has made. The process ends then and says which setting to look at.

use std::time::Duration;

use anyhow::Result;
use commands::StartError;
use event_log::LogError;
use event_log::kafka::{Outlook, SetupError};
use projections::EngineError;
use tokio::sync::watch;
use tokio::time::Instant;
use vault::{KeyringError, VaultError};

use crate::config::{Config, LogKind};

/// How long to wait before it is tried again, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How often in a row somebody else must seem to listen where a broker should before that is
/// believed: twice, since a broker that starts or ends may break off what it has begun to say.
const DOUBTS_MAX: u32 = 2;

/// How long to wait before the same is said again. In seconds: 30.
const SAID_AGAIN: Duration = Duration::from_secs(30);

/// What a process that starts waits for.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// In words that anybody may read.
    what: watch::Sender<Option<&'static str>>,
    /// Whether the log is one that can be away while this process is fine.
    log_is_apart: bool,
}

impl Waiting {
    /// Nothing so far, for a process with these settings.
    pub(crate) fn new(config: &Config) -> Self {
        let log_is_apart = config.log.kind == LogKind::Kafka;
        Self { what: watch::Sender::default(), log_is_apart }
    }

    /// Shows what is waited for.
    pub(crate) fn shown(&self) -> watch::Receiver<Option<&'static str>> {
        self.what.subscribe()
    }

    /// Makes `attempt` again until `what` is there.
    ///
    /// # Errors
    ///
    /// The attempt's, if waiting does not help.
    pub(crate) async fn until_there<T>(
        &self,
        what: &'static str,
        mut attempt: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        let began = Instant::now();
        let (mut pause, mut doubts, mut said) = (PAUSE.0, 0, None::<Instant>);
        loop {
            let error = match attempt().await {
                Ok(it) => {
                    if self.what.send_replace(None).is_some() {
                        let waited_ms = began.elapsed().as_millis();
                        tracing::info!(waited_ms, "{what} is there; going on with the start");
                    }
                    return Ok(it);
                }
                Err(error) => error,
            };
            doubts = match self.outlook(&error) {
                Outlook::Passing => 0,
                Outlook::Doubtful if doubts + 1 < DOUBTS_MAX => doubts + 1,
                Outlook::Doubtful | Outlook::ForGood => return Err(error),
            };
            self.what.send_replace(Some(what));
            if said.is_none_or(|it| it.elapsed() >= SAID_AGAIN) {
                said = Some(Instant::now());
                tracing::warn!(error = format!("{error:#}"), "waiting for {what} before the start");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Whether it helps to wait after `error`.
    fn outlook(&self, error: &anyhow::Error) -> Outlook {
        if let Some(error) = error.downcast_ref::<SetupError>() {
            return error.outlook();
        }
        let started = error.downcast_ref::<StartError>().map(|it| match it.keyring() {
            Some(error) => error.is_away(),
            None => self.log_is_apart && it.is_away(),
        });
        let shown = error.downcast_ref::<EngineError>().map(|it| match it {
            EngineError::Log(error) => self.log_is_apart && error.is_away(),
            error => error.is_away(),
        });
        let log = error.downcast_ref::<LogError>().map(|it| self.log_is_apart && it.is_away());
        let vault = error.downcast_ref::<VaultError>().map(VaultError::is_away);
        let keys = error.downcast_ref::<KeyringError>().map(KeyringError::is_away);
        let is_away = started.or(shown).or(log).or(vault).or(keys);
        if is_away == Some(true) { Outlook::Passing } else { Outlook::ForGood }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use event_log::{LogError, Partition};

    use super::*;

    fn failed(kind: std::io::ErrorKind) -> LogError {
        LogError::Storage { doing: "asking".to_owned(), source: kind.into() }
    }

    /// How often it is tried until the attempt, which fails with `errors` at first, succeeds; none
    /// if one of them is for good.
    async fn tries(kind: &str, errors: Vec<anyhow::Error>) -> Option<usize> {
        let mut config = Config::defaults();
        if kind == "kafka" {
            config.log.kind = LogKind::Kafka;
        }
        let waiting = Waiting::new(&config);
        let shown = waiting.shown();
        let (mut errors, mut count) = (errors.into_iter(), 0);
        let done = waiting.until_there("the log", async || {
            assert_eq!(shown.borrow().is_some(), count > 0, "it says that it waits");
            count += 1;
            errors.next().map_or(Ok(()), Err)
        });
        let done = done.await;
        assert!(done.is_err() || shown.borrow().is_none(), "it waits no more");
        done.is_ok().then_some(count)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_away_is_waited_for_and_what_is_wrong_is_not() {
        use std::io::ErrorKind::{Other, PermissionDenied};
        let log = |kind| anyhow::Error::from(SetupError::Log(failed(kind))).context("the log");
        let claim = |kind| {
            let (partition, source) = (Partition(0), failed(kind));
            anyhow::Error::from(StartError::Log { partition, source }).context("the write side")
        };
        assert_eq!(tries("kafka", Vec::new()).await, Some(1));
        assert_eq!(tries("kafka", vec![log(Other), claim(Other), log(Other)]).await, Some(4));
        assert_eq!(tries("kafka", vec![log(Other), log(PermissionDenied)]).await, None);
        assert_eq!(tries("kafka", vec![claim(PermissionDenied)]).await, None);
        let missing = SetupError::Missing("topic `events`".to_owned());
        assert_eq!(tries("kafka", vec![missing.into()]).await, None);
        // A disk that fails is not away: somebody has to look.
        assert_eq!(tries("embedded", vec![claim(Other)]).await, None);
        let unforeseen = Err::<(), _>(std::io::Error::from(Other)).context("a folder");
        assert_eq!(tries("kafka", vec![unforeseen.unwrap_err()]).await, None);
    }
}
