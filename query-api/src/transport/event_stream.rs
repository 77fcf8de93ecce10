//! The graphql-sse protocol, one connection per operation.
//!
//! What is wrong with the operation is sent as an event too: a browser shows its program nothing
//! of a response that is not a stream.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use async_graphql::Executor;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, header};
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use serde::Serialize;
use tokio::time::Instant;

use super::Door;
use super::answer::Answer;
use super::caller::Caller;
use super::operation::Operation;
use super::problem::Problem;

/// Browsers do not pass on an event that has no line of data.
const COMPLETE: Bytes = Bytes::from_static(b"event: complete\ndata:\n\n");

/// A comment, which everybody reads over.
const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");

/// Executes an operation and streams its results.
///
/// The stream stops without `complete` when the credential or the server ends: then there is more to
/// come, but not here.
///
/// # Errors
///
/// 429 if the caller has as many streams as it may.
pub(super) fn respond<E: Executor>(
    door: &Door<E>,
    caller: &dyn Caller,
    operation: Result<Operation, Answer>,
) -> Result<Response<Body>, Problem> {
    let permit = door.streams.open(caller.principal()).ok_or_else(Problem::too_many_streams)?;
    let results: BoxStream<'static, Answer> = match operation {
        Ok(operation) => operation.stream(&door.executor),
        Err(answer) => stream::iter([answer]).boxed(),
    };
    let events = results
        .map(|answer| next(&answer))
        .chain(stream::iter([COMPLETE]))
        .take_until(ended(door, caller))
        .map(move |event| {
            // The stream is open for as long as this closure lives.
            let _held = &permit;
            event
        });
    Ok(into_response(door, events))
}

/// Completes when the caller's credential ends or the server stops.
pub(super) fn ended<E>(
    door: &Door<E>,
    caller: &dyn Caller,
) -> impl Future<Output = ()> + Send + 'static + use<E> {
    let shutdown = door.settings.shutdown.clone().cancelled_owned();
    let credential = caller.ended();
    async move {
        tokio::select! {
            () = shutdown => {}
            () = credential => {}
        }
    }
}

/// A result, as the wire has it.
pub(super) fn next(data: &impl Serialize) -> Bytes {
    event("next", data)
}

/// The end of an operation, with what tells which one, if that is a question.
pub(super) fn complete(data: &impl Serialize) -> Bytes {
    event("complete", data)
}

/// JSON has no line breaks of its own, so an event is two lines.
fn event(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).expect("a GraphQL result has only strings as keys");
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// A response that lasts as long as `events`, with comments while there are none.
pub(super) fn into_response<E>(
    door: &Door<E>,
    events: impl Stream<Item = Bytes> + Send + 'static,
) -> Response<Body> {
    response(door.settings.event_stream.heartbeat, events)
}

/// The same, with a comment after each `period` of silence.
pub(crate) fn response(
    period: Duration,
    events: impl Stream<Item = Bytes> + Send + 'static,
) -> Response<Body> {
    let silence = tokio::time::interval_at(Instant::now() + period, period);
    let events = tokio_stream::StreamExt::timeout_repeating(events, silence)
        .map(|event| Ok::<_, Infallible>(event.unwrap_or(HEARTBEAT)));
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Asks nginx and its kin not to collect events before passing them on.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    headers.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}
