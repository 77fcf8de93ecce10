//! How credentials are refused.

use axum::http::{HeaderValue, StatusCode, header};

use crate::transport::Refusal;

pub(super) fn refusal(status: StatusCode, code: &'static str, message: &str) -> Refusal {
    Refusal { status, code, message: message.to_owned(), headers: Vec::new() }
}

/// The request contradicts itself, or says something twice.
pub(super) fn bad_request(message: &str) -> Refusal {
    refusal(StatusCode::BAD_REQUEST, "UNAUTHENTICATED", message)
}

/// The credential is good for nothing.
pub(super) fn unauthenticated(message: &str) -> Refusal {
    let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
    let headers = vec![(header::WWW_AUTHENTICATE, challenge)];
    Refusal { headers, ..refusal(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", message) }
}
