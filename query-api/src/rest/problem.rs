//! Refusals as problem documents (RFC 9457).

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use commands::CommandError;
use domain::principal::Denied;
use projections::ReadError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::transport::Refusal;

/// Why a request was not served.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// The status code.
    #[serde(serialize_with = "number")]
    #[schema(value_type = u16)]
    pub status: StatusCode,
    /// What kind of problem it is, in words that never change.
    pub title: &'static str,
    /// A stable code, for programs.
    pub code: Cow<'static, str>,
    /// What is wrong, with the value and the fix.
    pub detail: String,
    /// Each field that is wrong, if the problem is about fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Further headers of the answer.
    #[serde(skip)]
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// One field that is wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FieldError {
    /// Where, as a path into the request.
    pub field: String,
    /// What is wrong.
    pub detail: String,
}

fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// A problem of this kind.
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        let title = status.canonical_reason().unwrap_or("Problem");
        let (code, detail) = (code.into(), detail.into());
        let (errors, headers) = (Vec::new(), Vec::new());
        Self { status, title, code, detail, errors, headers }
    }

    /// Something about the request that the caller has to mend.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_USER_INPUT", detail)
    }

    /// The same, about one field.
    pub fn bad_field(field: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        let (field, detail) = (cut(&field.into()), detail.to_string());
        let mut problem = Self::bad_request(format!("{field}: {detail}"));
        problem.errors.push(FieldError { field, detail });
        problem
    }

    /// With the time to wait before asking again, if that makes sense.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        if let Some(wait) = wait {
            // Whole seconds, rounded up: a caller that waits so long has waited long enough.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            self.headers.push((header::RETRY_AFTER, HeaderValue::from(seconds)));
        }
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).expect("a problem is plain data");
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, body).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let mut problem = Self::new(refusal.status, refusal.code, refusal.message);
        problem.headers.extend(refusal.headers);
        problem
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        let mut problem = Self::new(error.status(), error.code().to_owned(), error.message());
        let fields = error.fields().into_iter();
        let errors = fields.map(|it| FieldError { field: it.field, detail: it.message });
        problem.errors = errors.collect();
        problem.retry_after(error.retry_after())
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        ApiError::from(denied).into()
    }
}
/// How much of what a caller sent is repeated where it is wrong. In characters: 64.
const SHOWN_MAX: usize = 64;

/// The beginning of what a caller sent, to be shown.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}
