//! Which status code and media type an answer gets, by edition of the specification.

use axum::http::StatusCode;
use serde::Deserialize;

use super::media::Media;

/// An edition of the GraphQL-over-HTTP specification.
///
/// They agree on everything but the codes below. The audits of the npm package `graphql-http` (1.23)
/// test the draft.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edition {
    /// The first edition: 422 for what is well-formed but wrong, 294 for partial success, and the
    /// same codes for clients that only know `application/json`.
    #[default]
    September2026,
    /// The draft before it: 400 for everything the client got wrong, and for clients that only know
    /// `application/json` a 200 with errors.
    Draft2025,
}

/// How a request went, as far as its status code is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Executed without an error.
    Complete,
    /// Executed, and some of it failed.
    Partial,
    /// The request lacks a parameter, or has one of the wrong type.
    Malformed,
    /// The document is not GraphQL.
    Unparsable,
    /// The document, the choice of its operation or its variables break a rule.
    Invalid,
    /// It is our fault.
    Fault,
}

/// 294, which no registry knows yet: executed, and some of it failed.
fn partial_success() -> StatusCode {
    StatusCode::from_u16(294).expect("a number of three digits is a status code")
}

impl Edition {
    pub(super) fn status(self, outcome: Outcome, media: Media) -> StatusCode {
        match (outcome, self) {
            (Outcome::Complete, _) | (Outcome::Partial, Self::Draft2025) => StatusCode::OK,
            (Outcome::Partial, Self::September2026) => partial_success(),
            (Outcome::Unparsable | Outcome::Invalid, Self::Draft2025) if media == Media::Json => {
                StatusCode::OK
            }
            (Outcome::Unparsable, _) | (Outcome::Malformed | Outcome::Invalid, Self::Draft2025) => {
                StatusCode::BAD_REQUEST
            }
            (Outcome::Malformed | Outcome::Invalid, Self::September2026) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            (Outcome::Fault, _) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The `Content-Type` of a JSON body for who asked for `media`.
    ///
    /// A client that only knows `application/json` cannot tell our refusals from those of a proxy by
    /// that name, so the first edition gives it only to successes.
    pub(super) fn content_type(self, status: StatusCode, media: Media) -> &'static str {
        const LEGACY: &str = "application/json; charset=utf-8";
        const CURRENT: &str = "application/graphql-response+json; charset=utf-8";
        match (media, self) {
            (Media::Json, Self::Draft2025) => LEGACY,
            (Media::Json, Self::September2026) if status.is_success() => LEGACY,
            (Media::Json | Media::GraphqlResponse | Media::EventStream, _) => CURRENT,
        }
    }
}
