//! One GraphQL result and how it came about.

use async_graphql::{Response, ServerError};
use axum::http::HeaderMap;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::parameters::Malformed;
use super::status::Outcome;
use crate::limits::{PARSE_FAILED, Refused, VALIDATION_FAILED};

/// A GraphQL result: of an execution, or of a request that was not executed.
///
/// Serialized without a `data` entry in the second case, which the library always writes.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    response: Box<Response>,
}

impl Answer {
    /// The result of an execution.
    pub(super) fn executed(response: Response) -> Self {
        let outcome = if response.errors.is_empty() { Outcome::Complete } else { Outcome::Partial };
        Self { outcome, response: Box::new(response) }
    }

    /// The result of a request that the schema did not execute.
    pub(super) fn rejected(mut response: Response) -> Self {
        for error in &mut response.errors {
            let extensions = error.extensions.get_or_insert_default();
            if extensions.get("code").is_none() {
                extensions.set("code", VALIDATION_FAILED);
            }
        }
        let unparsable = response.errors.iter().any(|error| {
            let code = error.extensions.as_ref().and_then(|it| it.get("code"));
            code == Some(&PARSE_FAILED.into())
        });
        let outcome = if unparsable { Outcome::Unparsable } else { Outcome::Invalid };
        Self { outcome, response: Box::new(response) }
    }

    /// A request that breaks a rule of ours.
    pub(super) fn invalid(code: &str, message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Invalid, response: failure(code, message) }
    }

    /// A fault of ours, which is nobody else's business.
    pub(super) fn fault() -> Self {
        let response = failure("INTERNAL", "an internal error occurred");
        Self { outcome: Outcome::Fault, response }
    }

    /// Whether an operation was executed, however well.
    pub(super) fn is_executed(&self) -> bool {
        matches!(self.outcome, Outcome::Complete | Outcome::Partial)
    }

    /// The errors of a request that was not executed.
    pub(super) fn errors(&self) -> &[ServerError] {
        &self.response.errors
    }

    /// Headers that resolvers asked for.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.response.http_headers
    }
}

fn failure(code: &str, message: impl Into<String>) -> Box<Response> {
    let mut error = ServerError::new(message, None);
    error.extensions.get_or_insert_default().set("code", code);
    Box::new(Response::from_errors(vec![error]))
}

impl From<Malformed> for Answer {
    fn from(malformed: Malformed) -> Self {
        Self { outcome: Outcome::Malformed, response: failure("BAD_REQUEST", malformed.0) }
    }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        Self::rejected(Response::from_errors(vec![refused.into()]))
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.response.errors.is_empty() {
            map.serialize_entry("errors", &self.response.errors)?;
        }
        if self.is_executed() {
            map.serialize_entry("data", &self.response.data)?;
        }
        if !self.response.extensions.is_empty() {
            map.serialize_entry("extensions", &self.response.extensions)?;
        }
        map.end()
    }
}
