//! Around every request: a name to find it by, a span, the metrics, and headers that make
//! browsers careful. No credential and nothing personal is logged.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;
use uuid::Uuid;

/// The header of an answer that names its request in the logs.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What every answer says unless it says something else itself.
const CAREFUL: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

/// Serves one request and tells how it went.
pub(crate) async fn observe(request: Request, next: Next) -> Response {
    let id = Uuid::now_v7();
    let method = method(request.method());
    // The pattern, not the path: paths hold identities, and are without number.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let traceparent = crate::trace::of(request.headers());
    let span = tracing::info_span!(
        "request",
        otel.kind = "server",
        otel.name = format!("{method} {route}"),
        request.id = %id,
        request.traceparent = traceparent,
        otel.status_code = tracing::field::Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = tracing::field::Empty,
        duration_ms = tracing::field::Empty,
    );
    if let Some(parent) = &traceparent {
        event_log::trace::set_parent(&span, parent);
    }
    let began = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, duration) = (response.status(), began.elapsed());
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    span.record("duration_ms", u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    span.in_scope(|| tracing::debug!("answered a request"));

    let (route, status) = (route.to_owned(), status.as_str().to_owned());
    metrics::counter!(
        "http_requests_total",
        "method" => method, "route" => route.clone(), "status" => status.clone()
    )
    .increment(1);
    metrics::histogram!(
        "http_request_duration_seconds",
        "method" => method, "route" => route, "status" => status
    )
    .record(duration);

    let headers = response.headers_mut();
    for (name, value) in CAREFUL {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    let id = HeaderValue::try_from(id.as_simple().to_string()).expect("hex digits are visible");
    headers.insert(REQUEST_ID, id);
    response
}

/// The method as a label; a caller may invent others.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
