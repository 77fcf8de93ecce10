//! The graphql-sse protocol, one connection per operation.
//!
//! What is wrong with the operation is sent as an event too: a browser shows its program nothing
//! of a response that is not a stream.

use std::convert::Infallible;
use std::future::Future;

use async_graphql::Executor;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, header};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use serde::Serialize;

use super::Door;
use super::answer::Answer;
use super::caller::Caller;
use super::operation::Operation;
use super::problem::Problem;

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
        .chain(stream::iter([complete()]))
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

pub(super) fn next(data: &impl Serialize) -> Event {
    let data = serde_json::to_string(data).expect("a GraphQL result has only strings as keys");
    Event::default().event("next").data(data)
}

/// Browsers do not pass on an event without data, so it has an empty line of it.
fn complete() -> Event {
    Event::default().event("complete").data("")
}

/// A response that lasts as long as `events`, with comments while there are none.
pub(super) fn into_response<E>(
    door: &Door<E>,
    events: impl Stream<Item = Event> + Send + 'static,
) -> Response<Body> {
    let heartbeat = KeepAlive::new().interval(door.settings.event_stream.heartbeat);
    let events = events.map(Ok::<_, Infallible>);
    let mut response = Sse::new(events).keep_alive(heartbeat).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Asks nginx and its kin not to collect events before passing them on.
    let buffering = HeaderName::from_static("x-accel-buffering");
    headers.insert(buffering, HeaderValue::from_static("no"));
    response
}
