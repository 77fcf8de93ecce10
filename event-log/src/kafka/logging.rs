//! What the client has to say, in our log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// The context of clients that nobody has to listen to more closely.
#[derive(Clone, Copy, Debug)]
pub(super) struct Logging;

impl ClientContext for Logging {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        line(level, facility, text);
    }

    fn error(&self, problem: KafkaError, reason: &str) {
        error(&problem, reason);
    }
}

impl ConsumerContext for Logging {}

/// A line of the client's own log.
pub(super) fn line(level: RDKafkaLogLevel, facility: &str, text: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!(facility, "the Kafka client says: {text}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::debug!(facility, "the Kafka client says: {text}");
        }
    }
}

/// How long an error is not said again, whichever client it comes from: where no broker answers all
/// of them say so, many times a second. In seconds: 10.
const SAID_AGAIN: Duration = Duration::from_secs(10);

/// An error that concerns the client as a whole; it goes on trying by itself.
pub(super) fn error(error: &KafkaError, reason: &str) {
    static SAID: Said = Said(Mutex::new(Vec::new()));
    let cause = error as &dyn std::error::Error;
    if error.rdkafka_error_code().is_none_or(|it| SAID.is_news(it, Instant::now())) {
        tracing::warn!(error = cause, "the Kafka client: {reason}");
    } else {
        tracing::debug!(error = cause, "the Kafka client: {reason}");
    }
}

/// Which errors were said, and when; each is there once.
struct Said(Mutex<Vec<(RDKafkaErrorCode, Instant)>>);

impl Said {
    /// Whether `code` was not said lately. It has been then.
    fn is_news(&self, code: RDKafkaErrorCode, now: Instant) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|(_, at)| now.saturating_duration_since(*at) < SAID_AGAIN);
        let is_news = !said.iter().any(|(it, _)| *it == code);
        if is_news {
            said.push((code, now));
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_error_is_said_once_in_a_while() {
        use RDKafkaErrorCode::{AllBrokersDown, Resolve};

        let (said, now) = (Said(Mutex::default()), Instant::now());
        assert!(said.is_news(AllBrokersDown, now) && said.is_news(Resolve, now));
        assert!(!said.is_news(AllBrokersDown, now + SAID_AGAIN / 2));
        assert!(said.is_news(AllBrokersDown, now + SAID_AGAIN));
    }
}
