//! The session of a browser, as far as it is ended here.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use commands::Request;
use domain::operation::Operation;
use domain::principal::Means;

use super::{Door, Problem};
use crate::auth::cookie;
use crate::trace;

/// End the session in the cookie `__Host-callboard`, and have the browser forget it. It ends at once
/// where it is decided, and within 5 s at every process.
#[utoipa::path(
    delete,
    path = "/api/v1/session",
    security(("session" = [])),
    responses(
        (status = 204, description = "The session has ended.",
            headers(("Set-Cookie" = String, description = "What clears the cookie."))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn end(State(door): State<Door>, headers: HeaderMap) -> Response {
    // Whatever becomes of it, it is in the browser no longer, if a page of this host wants it gone.
    let is_own = cookie::check(&headers).is_ok();
    let mut answer = match ended(&door, &headers).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => problem.into_response(),
    };
    if is_own {
        answer.headers_mut().insert(header::SET_COOKIE, cookie::clear());
    }
    answer
}

async fn ended(door: &Door, headers: &HeaderMap) -> Result<(), Problem> {
    let session = door.session(headers).await?;
    let Means::Session(id) = session.principal.means() else {
        let detail = "the request is in no session; its credential ends by itself or is revoked";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "NO_SESSION", detail));
    };
    let operation = Operation::SignOut { member: None, session: Some(id) };
    let traceparent = trace::of(headers);
    let request = Request { traceparent, ..Request::new(operation) };
    door.context.submit(&session, request).await?;
    Ok(())
}
