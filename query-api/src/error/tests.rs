//! What callers are told of failures: that something is away, and nothing of what it said.

use std::io;
use std::sync::Arc;

use axum::response::IntoResponse;
use commands::{Away, CommandError};
use domain::id::CommandId;
use event_log::{LogError, Partition};
use projections::{Model, ReadError};
use uuid::Uuid;
use vault::{KeyringError, RecordError, RecordKind, VaultError};

use super::*;
use crate::rest::Problem;

/// What the log, a database or the vault says, and nobody but the operator is to read.
const SAID: &str = "at /var/lib/callboard/log.0 as postgres://ada:secret@db";

fn said() -> io::Error {
    io::Error::other(SAID)
}

/// Each kind of failure, with what it was caused by.
fn failures() -> Vec<ApiError> {
    let model = Model::Catalog;
    let storage = || LogError::Storage { doing: SAID.to_owned(), source: said() };
    let damaged = LogError::Damaged { place: SAID.to_owned(), reason: SAID.to_owned() };
    let vault = VaultError { doing: "reading a key", source: Arc::new(said()) };
    vec![
        ApiError::Read(ReadError::Unavailable { model, source: said().into() }),
        ApiError::Read(ReadError::Fault { model, source: said().into() }),
        ApiError::Log(storage()),
        ApiError::Log(damaged),
        ApiError::Log(LogError::InUse(SAID.to_owned())),
        ApiError::Log(LogError::NoSuchPartition(Partition(77))),
        ApiError::Keyring(KeyringError::Vault(vault.clone())),
        ApiError::Record(RecordError::Vault(vault)),
        ApiError::Record(RecordError::Damaged(RecordKind::KeyUses)),
        ApiError::Keyring(KeyringError::WrongRoot),
        ApiError::Command(CommandError::Unavailable(Away::Log)),
        ApiError::Command(CommandError::Fault(CommandId(Uuid::nil()))),
    ]
}

#[tokio::test]
async fn of_a_failure_callers_learn_what_is_away_and_when_to_ask_again_and_nothing_else() {
    for failure in failures() {
        let (shown, retry_after) = (format!("{failure:?}"), failure.retry_after());
        let is_away = failure.code() == "UNAVAILABLE";
        assert!(is_away || failure.code() == "INTERNAL", "{shown}");
        assert_eq!(retry_after.is_some(), is_away, "{shown}");
        let status = failure.status().as_u16();
        assert_eq!(status, if is_away { 503 } else { 500 }, "{shown}");
        let message = failure.message();
        let error = Error::from(failure);
        assert_eq!(error.message, message);
        for hidden in [SAID, "/var", "secret", "77"] {
            assert!(!format!("{error:?}").contains(hidden), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_problem_says_no_more_than_an_error() {
    for failure in failures() {
        let message = failure.message();
        let problem = Problem::from(failure);
        assert_eq!((problem.detail.as_str(), problem.errors.len()), (message.as_str(), 0));
        let body = problem.into_response().into_body();
        let body = axum::body::to_bytes(body, 10_000).await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains(SAID));
    }
}
