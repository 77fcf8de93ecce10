//! What the client has to say, in our log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

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

/// How long an error, or a line, is not said again, whichever client it comes from: where no broker
/// answers all of them say so, many times a second, and where one answers that it cannot take
/// something they say so with every attempt. In seconds: 10.
const SAID_AGAIN: Duration = Duration::from_secs(10);

/// A line of the client's own log.
pub(super) fn line(level: RDKafkaLogLevel, facility: &str, text: &str) {
    static SAID: Said = Said(Mutex::new(Vec::new()));
    let is_news = match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => SAID.is_news(gist(facility, text), Instant::now()),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => false,
    };
    if is_news {
        tracing::warn!(facility, "the Kafka client says: {text}");
    } else {
        tracing::debug!(facility, "the Kafka client says: {text}");
    }
}

/// What is the same in lines that say the same of other attempts, clients, partitions and brokers.
fn gist(facility: &str, text: &str) -> String {
    let words = text.chars().filter(|it| !it.is_ascii_digit());
    std::iter::once(facility).flat_map(str::chars).chain(words).collect()
}

/// An error that concerns the client as a whole; it goes on trying by itself.
pub(super) fn error(error: &KafkaError, reason: &str) {
    static SAID: Said = Said(Mutex::new(Vec::new()));
    let cause = error as &dyn std::error::Error;
    let code = error.rdkafka_error_code();
    if code.is_none_or(|it| SAID.is_news(format!("{it:?}"), Instant::now())) {
        tracing::warn!(error = cause, "the Kafka client: {reason}");
    } else {
        tracing::debug!(error = cause, "the Kafka client: {reason}");
    }
}

/// What was said, and when; each is there once.
struct Said(Mutex<Vec<(String, Instant)>>);

impl Said {
    /// Whether `this` was not said lately. It has been then.
    fn is_news(&self, this: String, now: Instant) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|(_, at)| now.saturating_duration_since(*at) < SAID_AGAIN);
        let is_news = !said.iter().any(|(it, _)| *it == this);
        if is_news {
            said.push((this, now));
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_in_a_while() {
        let (said, now) = (Said(Mutex::default()), Instant::now());
        let is_news = |it: &str, at| said.is_news(gist("REQERR", it), at);
        let short = "127.0.0.1:9092/1: ProduceRequest failed: Not enough replicas: retry 7 of 9";
        let again = "127.0.0.1:9093/2: ProduceRequest failed: Not enough replicas: retry 8 of 9";
        assert!(is_news(short, now) && is_news("127.0.0.1:9092/1: Disconnected", now));
        assert!(!is_news(again, now + SAID_AGAIN / 2));
        assert!(is_news(again, now + SAID_AGAIN));
    }
}
