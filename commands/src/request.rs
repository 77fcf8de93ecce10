//! What is asked of the write side, and what it answers.
//!
//! A process that does not own a tenant's partition passes the request on to the one that does, so
//! all of it can be said in JSON, and nothing is lost on the way (`tests/wire.rs`). Processes of
//! two versions may talk to each other: a field is added with a default, and nothing is renamed.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::Stream;
use domain::id::{CommandId, EventId};
use domain::operation::{ExpectedRevision, Operation};
use domain::principal::{Denied, Unfit};
use domain::usage::Verdict;
use domain::violation;
pub use domain::violation::Violation;
use event_log::{Partition, Position};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::away::Away;

/// One request to change something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// What is wanted.
    pub operation: Operation,
    /// What must be true of the stream the operation names. Entity changes carry their own.
    pub expected: ExpectedRevision,
    /// Makes repeating the request safe for seven days.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Whether the events are appended.
    pub mode: Mode,
    /// The conversation it belongs to, if the caller named one.
    pub correlation: Option<Uuid>,
    /// W3C trace context of the caller.
    pub traceparent: Option<String>,
}

impl Request {
    /// Asks for `operation` with nothing else said.
    #[must_use]
    pub fn new(operation: Operation) -> Self {
        Self {
            operation,
            expected: ExpectedRevision::Any,
            idempotency_key: None,
            mode: Mode::Commit,
            correlation: None,
            traceparent: None,
        }
    }
}

/// Whether a decision takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// It is appended and answered once it is durable.
    Commit,
    /// It is authorized and decided, and nothing is appended.
    Preview,
}

/// A client's name for a request: 1 to 255 visible ASCII characters.
///
/// Scoped to (tenant, principal, operation). The outcome is kept for seven days.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdempotencyKey(Box<str>);

/// Why a text is not an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an idempotency key of 1 to 255 visible ASCII characters, got `{0}`")]
pub struct IdempotencyKeyError(String);

impl std::str::FromStr for IdempotencyKey {
    type Err = IdempotencyKeyError;

    fn from_str(text: &str) -> Result<Self, IdempotencyKeyError> {
        if (1..=255).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            Err(IdempotencyKeyError(text.chars().take(64).collect()))
        }
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = IdempotencyKeyError;

    fn try_from(text: String) -> Result<Self, IdempotencyKeyError> {
        text.parse()
    }
}

impl From<IdempotencyKey> for String {
    fn from(key: IdempotencyKey) -> Self {
        key.0.into()
    }
}

impl IdempotencyKey {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What became of a request that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The request's identity; the same for a repetition with the same key.
    pub command: CommandId,
    /// The partition that decided it.
    #[serde(with = "PartitionNumber")]
    pub partition: Partition,
    /// A reader that has come past this position sees everything the decision rests on. For a
    /// request without events, where it was noted or, without a key, the last position before it.
    #[serde(with = "PositionNumber")]
    pub position: Position,
    /// The tenant's last sequence after the request.
    pub sequence: u64,
    /// When it was recorded or, without events, decided.
    pub at: DateTime<Utc>,
    /// What happened: nothing, if what was asked held already.
    pub events: Vec<EventSummary>,
    /// What became of each usage entry, in the order of the request.
    pub verdicts: Vec<Verdict>,
    /// Whether this is the remembered outcome of an earlier request with the same key.
    pub repetition: Repetition,
}

/// Whether an outcome is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Repetition {
    /// It was decided now.
    First,
    /// It was decided earlier and remembered.
    Remembered,
}

/// One event of an outcome, without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventSummary {
    /// Its identity; nil in a preview.
    pub id: EventId,
    /// The stream it belongs to.
    pub stream: Stream,
    /// Its place in the stream, from 1.
    pub revision: u64,
    /// Its type without the prefix: `<noun>.<fact>.v<N>`.
    pub name: Cow<'static, str>,
}

/// Why a request had no effect. The variants say who must act.
#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum CommandError {
    /// The caller may not ask for this.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The caller asked for something malformed.
    #[error("{}", violation::summary(.0))]
    Invalid(Vec<Violation>),
    /// The caller asked for something the rules forbid.
    #[error("{reason}")]
    Rejected {
        /// A stable code in upper case, say `PLAN_RETIRED`.
        code: Cow<'static, str>,
        /// Why, in full.
        reason: String,
    },
    /// The stream is not as the caller expected.
    #[error("{}", conflict(subject, *expected, *actual))]
    Conflict {
        /// What the caller named, in its own words.
        subject: String,
        /// What it expected.
        expected: ExpectedRevision,
        /// What is true; 0 if there are no events or the aggregate has ended.
        actual: u64,
    },
    /// The key was used for another request.
    #[error("the idempotency key `{0}` was used for another request; use a new key")]
    KeyReused(String),
    /// The tenant has too much waiting; the caller may ask again later.
    #[error("too many requests of this tenant are waiting; retry in {} ms", retry_after.as_millis())]
    Busy {
        /// When to try again, at the earliest.
        retry_after: Duration,
    },
    /// The tenant has used up its share of idempotency keys that are remembered; the caller may
    /// ask again later, or without a key.
    #[error(
        "too many idempotency keys of this tenant are remembered; retry in {} s at the \
         earliest, or ask without a key",
        retry_after.as_secs()
    )]
    TooManyKeys {
        /// When to try again, at the earliest.
        retry_after: Duration,
    },
    /// Something is away; nothing was written. The operator must act; the log says on what.
    #[error("nothing can be recorded at present: {0}")]
    Unavailable(Away),
    /// Another process owns the partition; nothing was done here.
    #[error("partition {0} is owned by another process")]
    NotOwner(#[serde(with = "PartitionNumber")] Partition),
    /// Whether it took effect is unknown; asking again with the same key is safe.
    #[error("the outcome of the request is unknown; repeat it with the same idempotency key")]
    Unknown,
    /// A fault of ours, logged under this command.
    #[error("internal fault while deciding {0}")]
    Fault(CommandId),
}

/// What was expected of `subject` and what is true, in the words of the API.
fn conflict(subject: &str, expected: ExpectedRevision, actual: u64) -> String {
    let is = match actual {
        0 => "is not there".to_owned(),
        actual => format!("is at revision {actual}"),
    };
    match expected {
        ExpectedRevision::Any => format!("{subject} {is}"),
        ExpectedRevision::Exists => format!("expected `EXISTS`, but {subject} {is}"),
        ExpectedRevision::None => format!("expected `NONE`, but {subject} {is}"),
        ExpectedRevision::Exact(revision) => {
            format!("expected the revision {revision}, but {subject} {is}")
        }
    }
}

/// A partition in JSON, of which `event-log` knows nothing.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Partition")]
struct PartitionNumber(u32);

/// A position in JSON.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Position")]
struct PositionNumber(u64);

impl From<Unfit> for CommandError {
    fn from(unfit: Unfit) -> Self {
        let code = match unfit {
            Unfit::Denied(denied) => return denied.into(),
            Unfit::NotInPerson => "NOT_IN_PERSON",
            Unfit::NotProved => "NOT_PROVED",
            Unfit::NotFresh => "STEP_UP_REQUIRED",
        };
        Self::Rejected { code: code.into(), reason: unfit.to_string() }
    }
}

impl CommandError {
    /// One thing is malformed.
    pub(crate) fn invalid(field: &str, message: String) -> Self {
        Self::Invalid(vec![Violation { field: field.to_owned(), message }])
    }
}
