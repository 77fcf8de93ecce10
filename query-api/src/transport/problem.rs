//! What is wrong with a request before it is a GraphQL request, as an HTTP answer.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::Edition;
use super::media::Media;

/// A refusal with a status code of its own. The body is a GraphQL result all the same.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    /// 405, with the methods that would do.
    pub(super) fn method(allow: &'static str, message: &str) -> Self {
        let mut problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message);
        problem.headers.push((header::ALLOW, HeaderValue::from_static(allow)));
        problem
    }

    pub(super) fn too_many_streams() -> Self {
        let message = "this principal has too many streams open, close one first";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_STREAMS", message)
    }

    pub(super) fn into_response(self, edition: Edition, media: Media) -> Response<Body> {
        let error = json!({ "message": self.message, "extensions": { "code": self.code } });
        let body = json!({ "errors": [error] }).to_string();
        let mut response = json_response(edition, media, self.status, body.into());
        response.headers_mut().extend(self.headers);
        response
    }
}

/// An answer with a GraphQL result as body. Never stored: it belongs to who asked.
pub(super) fn json_response(
    edition: Edition,
    media: Media,
    status: StatusCode,
    body: Body,
) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let content_type = edition.content_type(status, media);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
