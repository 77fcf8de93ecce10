//! The one place where errors become what callers see: a stable code, a message, a status.
//!
//! A refusal goes to the caller in full. A fault is logged here, once, and hidden.

use async_graphql::{Error, ErrorExtensions};
use axum::http::StatusCode;
use commands::CommandError;
use domain::principal::Denied;
use projections::ReadError;

use crate::opaque::NotOurs;

/// Why an operation has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A reader did not answer.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The write side did not accept a request.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The caller may not ask for this.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A token is not ours.
    #[error(transparent)]
    Token(#[from] NotOurs),
    /// An argument has no meaning; the text says which, what and why.
    #[error("{0}")]
    Argument(String),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] event_log::LogError),
    /// The vault failed.
    #[error(transparent)]
    Keyring(#[from] vault::KeyringError),
    /// What is stored cannot be read back.
    #[error(transparent)]
    Decode(#[from] domain::event::DecodeError),
}

impl ApiError {
    /// An argument with no meaning.
    pub fn argument(what: impl std::fmt::Display) -> Self {
        Self::Argument(what.to_string())
    }

    /// The code, for programs; it never changes its meaning.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Denied(_)
            | Self::Read(ReadError::Denied(_))
            | Self::Command(CommandError::Denied(_)) => "FORBIDDEN",
            Self::Token(_)
            | Self::Argument(_)
            | Self::Read(ReadError::Invalid(_))
            | Self::Command(CommandError::Invalid(_)) => "BAD_USER_INPUT",
            Self::Read(ReadError::NotYetVisible(_)) => "NOT_YET_VISIBLE",
            Self::Command(CommandError::Rejected { code, .. }) => code,
            Self::Command(CommandError::Conflict { .. }) => "REVISION_CONFLICT",
            Self::Command(CommandError::KeyReused(_)) => "IDEMPOTENCY_KEY_REUSED",
            Self::Command(CommandError::Busy { .. }) => "BUSY",
            Self::Command(CommandError::Unavailable(_)) => "UNAVAILABLE",
            Self::Command(CommandError::Unknown) => "OUTCOME_UNKNOWN",
            Self::Command(CommandError::Fault(_))
            | Self::Read(ReadError::Fault { .. })
            | Self::Log(_)
            | Self::Keyring(_)
            | Self::Decode(_) => "INTERNAL",
        }
    }

    /// The HTTP status of the code, for doors that have one.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.code() {
            "FORBIDDEN" => StatusCode::FORBIDDEN,
            "BAD_USER_INPUT" => StatusCode::BAD_REQUEST,
            "REVISION_CONFLICT" => StatusCode::CONFLICT,
            "IDEMPOTENCY_KEY_REUSED" => StatusCode::UNPROCESSABLE_ENTITY,
            "BUSY" | "UNAVAILABLE" | "NOT_YET_VISIBLE" => StatusCode::SERVICE_UNAVAILABLE,
            "OUTCOME_UNKNOWN" => StatusCode::GATEWAY_TIMEOUT,
            "INTERNAL" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    /// What the caller reads. A fault is logged and named by nothing but its kind.
    #[must_use]
    pub fn message(&self) -> String {
        if self.code() == "INTERNAL" {
            tracing::error!(error = ?self, "an operation failed");
            return "internal fault; the operator's log says more".to_owned();
        }
        self.to_string()
    }

    /// When asking again makes sense, if it does.
    #[must_use]
    pub fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Command(CommandError::Busy { retry_after }) => Some(*retry_after),
            Self::Read(ReadError::NotYetVisible(it)) => Some(it.retry_after),
            _ => None,
        }
    }
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
            }
        })
    }
}
