//! What the client has to say, in our log.

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

/// An error that concerns the client as a whole; it goes on trying by itself.
pub(super) fn error(error: &KafkaError, reason: &str) {
    tracing::warn!(error = error as &dyn std::error::Error, "the Kafka client: {reason}");
}
