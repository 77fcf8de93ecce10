//! What errors of the client mean: which of them say that another writer has come, and how all
//! of them are told.

use std::io;

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::port::LogError;

/// A failure of the cluster, or of the way to it, while doing something.
pub(super) fn storage(doing: impl Into<String>, error: KafkaError) -> LogError {
    let kind = match error.rdkafka_error_code() {
        Some(code) if DENYING.contains(&code) => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    LogError::Storage { doing: doing.into(), source: io::Error::new(kind, error) }
}

/// Which codes say that the cluster does not let us do something.
const DENYING: [RDKafkaErrorCode; 6] = [
    RDKafkaErrorCode::Authentication,
    RDKafkaErrorCode::SaslAuthenticationFailed,
    RDKafkaErrorCode::TopicAuthorizationFailed,
    RDKafkaErrorCode::GroupAuthorizationFailed,
    RDKafkaErrorCode::ClusterAuthorizationFailed,
    RDKafkaErrorCode::TransactionalIdAuthorizationFailed,
];

/// The same, where no error of the client says why.
pub(super) fn trouble(doing: impl Into<String>, reason: impl Into<String>) -> LogError {
    LogError::Storage { doing: doing.into(), source: io::Error::other(reason.into()) }
}

/// What is left to do with a producer after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The same call may be made again.
    Retry,
    /// The transaction can be aborted, and another one begun.
    Abort,
    /// Another producer has the same transactional id.
    Fenced,
    /// The producer is of no use any more.
    Dead,
}

/// Which codes say that the coordinator knows another producer, or none.
const FENCING: [RDKafkaErrorCode; 5] = [
    RDKafkaErrorCode::Fenced,
    RDKafkaErrorCode::ProducerFenced,
    RDKafkaErrorCode::InvalidProducerEpoch,
    RDKafkaErrorCode::InvalidTransactionalState,
    RDKafkaErrorCode::InvalidProducerIdMapping,
];

/// Whether `code` says that another producer has come.
pub(super) fn fences(code: RDKafkaErrorCode) -> bool {
    FENCING.contains(&code)
}

/// What `error` of a call about a transaction, or of a delivery, means for the producer.
pub(super) fn verdict(error: &KafkaError) -> Verdict {
    if error.rdkafka_error_code().is_some_and(fences) {
        return Verdict::Fenced;
    }
    match error {
        KafkaError::Transaction(error) if error.is_fatal() => Verdict::Dead,
        KafkaError::Transaction(error) if error.txn_requires_abort() => Verdict::Abort,
        KafkaError::Transaction(error) if error.is_retriable() => Verdict::Retry,
        KafkaError::Flush(_) => Verdict::Retry,
        KafkaError::MessageProduction(code) if *code != RDKafkaErrorCode::Fatal => Verdict::Abort,
        _ => Verdict::Dead,
    }
}

/// Whether a consumer gets over `error` by itself.
pub(super) fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
        )
    )
}
