//! The one place where errors become what callers see: a stable code, a message, a status.
//!
//! A refusal goes to the caller in full. A fault is logged here, once, and hidden.

use std::time::Duration;

use async_graphql::{Error, ErrorExtensions};
use axum::http::StatusCode;
use commands::CommandError;
use commands::request::Violation;
use domain::principal::Denied;
use event_log::LogError;
use projections::{Delay, ReadError};
use vault::{KeyringError, RecordError};

use crate::opaque::NotOurs;

/// When to ask again where nothing can be recorded at present. In seconds: 5, long enough for a
/// restart or a change of owner.
pub(crate) const UNAVAILABLE_RETRY_AFTER: Duration = Duration::from_secs(5);

/// When to ask again where too many of the same kind do. In seconds: 1.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why an operation has no answer.
///
/// Not a [`std::error::Error`], and without `Display`: async-graphql would make an answer without
/// a code of it, and show what is to be hidden. [`ApiError::message`] is what callers may read.
#[derive(Debug)]
pub enum ApiError {
    /// A reader did not answer.
    Read(ReadError),
    /// The write side did not accept a request.
    Command(CommandError),
    /// The caller may not ask for this.
    Denied(Denied),
    /// A token is not ours.
    Token(NotOurs),
    /// An argument has no meaning; the text says which, what and why.
    Argument(String),
    /// The caller asked for the state at a sequence that no event has.
    NotRecorded {
        /// The argument that names it.
        field: &'static str,
        /// What it names.
        sequence: u64,
        /// The tenant's last one.
        newest: u64,
    },
    /// The log failed.
    Log(LogError),
    /// The vault failed, before anything was done.
    Keyring(KeyringError),
    /// A record of the vault was not read.
    Record(RecordError),
}

macro_rules! from {
    ($($variant:ident($cause:ty),)*) => {
        $(impl From<$cause> for ApiError {
            fn from(cause: $cause) -> Self {
                Self::$variant(cause)
            }
        })*
    };
}

from! {
    Read(ReadError),
    Command(CommandError),
    Denied(Denied),
    Token(NotOurs),
    Log(LogError),
    Keyring(KeyringError),
    Record(RecordError),
}

impl ApiError {
    /// An argument with no meaning.
    pub fn argument(what: impl std::fmt::Display) -> Self {
        Self::Argument(what.to_string())
    }

    /// The code, for programs; it never changes its meaning.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Denied(_)
            | Self::Read(ReadError::Denied(_))
            | Self::Command(CommandError::Denied(_)) => "FORBIDDEN",
            Self::Token(_)
            | Self::Argument(_)
            | Self::NotRecorded { .. }
            | Self::Read(ReadError::Invalid(_))
            | Self::Command(CommandError::Invalid(_)) => "BAD_USER_INPUT",
            Self::Read(ReadError::NotYetVisible(_)) => "NOT_YET_VISIBLE",
            Self::Read(ReadError::TooLong { .. }) => "READ_TOO_LONG",
            Self::Read(ReadError::TooMuch { .. }) => "READ_TOO_MUCH",
            Self::Command(CommandError::Rejected { code, .. }) => code,
            Self::Command(CommandError::Conflict { .. }) => "REVISION_CONFLICT",
            Self::Command(CommandError::KeyReused(_)) => "IDEMPOTENCY_KEY_REUSED",
            Self::Command(CommandError::Busy { .. }) => "BUSY",
            Self::Command(CommandError::TooManyKeys { .. }) => "TOO_MANY_KEYS",
            Self::Command(CommandError::Unavailable(_) | CommandError::NotOwner(_))
            | Self::Read(ReadError::Unavailable { .. })
            | Self::Keyring(KeyringError::Vault(_))
            | Self::Record(RecordError::Vault(_)) => "UNAVAILABLE",
            Self::Log(LogError::Busy { .. }) => "BUSY",
            Self::Log(error) if error.is_away() => "UNAVAILABLE",
            Self::Command(CommandError::Unknown) => "OUTCOME_UNKNOWN",
            Self::Command(CommandError::Fault(_))
            | Self::Read(ReadError::Fault { .. })
            | Self::Log(_)
            | Self::Keyring(_)
            | Self::Record(_) => "INTERNAL",
        }
    }

    /// What is away, in words for callers, where that is why there is no answer.
    fn away(&self) -> Option<String> {
        match self {
            Self::Read(error @ ReadError::Unavailable { .. }) => Some(error.to_string()),
            Self::Log(error) if error.is_away() => {
                Some("the log does not answer at present; ask again later".to_owned())
            }
            Self::Keyring(KeyringError::Vault(_)) | Self::Record(RecordError::Vault(_)) => {
                Some("the vault does not answer at present; nothing was done".to_owned())
            }
            _ => None,
        }
    }

    /// The HTTP status of the code, for doors that have one.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.code() {
            "FORBIDDEN" | "STEP_UP_REQUIRED" => StatusCode::FORBIDDEN,
            "BAD_USER_INPUT" => StatusCode::BAD_REQUEST,
            "REVISION_CONFLICT" => StatusCode::CONFLICT,
            "IDEMPOTENCY_KEY_REUSED" => StatusCode::UNPROCESSABLE_ENTITY,
            "BUSY" | "TOO_MANY_KEYS" | "UNAVAILABLE" | "NOT_YET_VISIBLE" => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            "OUTCOME_UNKNOWN" => StatusCode::GATEWAY_TIMEOUT,
            "INTERNAL" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    /// What the caller reads. A fault is logged and named by nothing but its kind.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Command(CommandError::Fault(command)) => {
                format!("internal fault; the operator's log says more under {command}")
            }
            Self::Log(error @ LogError::Busy { .. }) => error.to_string(),
            Self::Read(ReadError::Unavailable { .. } | ReadError::Fault { .. })
            | Self::Log(_)
            | Self::Keyring(_)
            | Self::Record(_) => {
                tracing::error!(error = ?self, "an operation failed");
                let fault = || "internal fault; the operator's log says more".to_owned();
                self.away().unwrap_or_else(fault)
            }
            Self::Read(error) => error.to_string(),
            Self::Command(error @ CommandError::Unavailable(_)) => {
                format!("{error}; ask again in {} s", UNAVAILABLE_RETRY_AFTER.as_secs())
            }
            Self::Command(error) => error.to_string(),
            Self::Denied(error) => error.to_string(),
            Self::Token(error) => error.to_string(),
            Self::Argument(message) => message.clone(),
            Self::NotRecorded { field, sequence, newest } => {
                format!("{field}: {}", not_recorded(*sequence, *newest))
            }
        }
    }

    /// Which arguments are wrong, and what about each, where that can be told apart.
    #[must_use]
    pub fn fields(&self) -> Vec<Violation> {
        match self {
            Self::Command(CommandError::Invalid(violations)) => violations.clone(),
            Self::NotRecorded { field, sequence, newest } => {
                let (field, message) = ((*field).to_owned(), not_recorded(*sequence, *newest));
                vec![Violation { field, message }]
            }
            _ => Vec::new(),
        }
    }

    /// When asking again makes sense, if it does.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Command(
                CommandError::Busy { retry_after } | CommandError::TooManyKeys { retry_after },
            ) => Some(*retry_after),
            Self::Command(CommandError::Unavailable(_) | CommandError::NotOwner(_)) => {
                Some(UNAVAILABLE_RETRY_AFTER)
            }
            Self::Read(ReadError::NotYetVisible(it)) => Some(it.retry_after),
            Self::Log(LogError::Busy { .. }) => Some(BUSY_RETRY_AFTER),
            _ => self.away().map(|_| UNAVAILABLE_RETRY_AFTER),
        }
    }
}

fn not_recorded(sequence: u64, newest: u64) -> String {
    format!("expected the sequence of an event, of which the last is {newest}, got {sequence}")
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        let retry_after = error.retry_after();
        Self::new(error.message()).extend_with(|_, extensions| {
            extensions.set("code", error.code());
            if let Some(after) = retry_after {
                extensions
                    .set("retryAfterMs", u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
            }
            if let ApiError::Read(ReadError::NotYetVisible(it)) = &error {
                extensions.set("model", it.model.name());
                extensions.set("eventsBehind", it.events_behind);
                extensions.set("parked", it.delay == Delay::Parked);
            }
        })
    }
}

#[cfg(test)]
mod tests;
