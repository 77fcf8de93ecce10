//! GraphQL between the wire and a schema: HTTP, WebSocket, server-sent events, and the page to try it.
//!
//! One URL answers everything:
//!
//! | request | protocol | file |
//! |---|---|---|
//! | `GET`, `POST` | GraphQL over HTTP, September 2026 edition | `http` |
//! | `GET` with `Upgrade: websocket` | `graphql-transport-ws` | `websocket` |
//! | `GET`, `POST` that accept `text/event-stream` | graphql-sse, distinct connections | `event_stream` |
//! | `PUT`, and `GET`, `POST`, `DELETE` with a stream token | graphql-sse, single connection | `reservation` |
//! | `GET /graphiql` (development) | the GraphiQL page | `graphiql` |
//!
//! The way of a request: `media` decides what the caller can read, `caller` who it is, `body` reads
//! bytes within bounds, `parameters` makes a well-formed request of them, `operation` parses it within
//! the [`Limits`](crate::limits::Limits) and executes it, `coercion` refuses inputs of the wrong type,
//! `completion` mends the result, `answer` says how it went and `status` which status code that is.
//! Start at [`router`] and [`prepare()`].
//!
//! Not here: what the schema holds, how a credential is verified (the caller of [`router`] hands in
//! an [`Authenticator`]), CORS, TLS, request rates.

mod answer;
mod body;
mod caller;
mod coercion;
mod completion;
mod documents;
mod event_stream;
mod graphiql;
mod http;
mod media;
mod operation;
mod operations;
mod parameters;
mod prepare;
mod problem;
mod reservation;
mod settings;
mod status;
mod streams;
mod websocket;

use std::sync::Arc;

use async_graphql::Executor;
use axum::Router;
use axum::routing::any;

pub(crate) use self::body::WAIT_MAX as BODY_WAIT_MAX;
pub use self::caller::{Authenticator, Caller, Refusal};
pub(crate) use self::event_stream::response as event_stream_response;
pub use self::prepare::prepare;
pub use self::settings::{EventStreamSettings, Settings, WebSocketSettings};
pub use self::status::Edition;
pub(crate) use self::streams::{Permit as StreamPermit, Streams};

/// Everything the handlers share.
struct Door<E> {
    executor: E,
    authenticator: Arc<dyn Authenticator>,
    settings: Settings,
    documents: documents::Documents,
    streams: streams::Streams,
    reservations: reservation::Reservations,
}

/// The GraphQL endpoint of `executor`, to be merged into an application.
///
/// The schema behind `executor` must have been [prepared](prepare()) with the limits that `settings`
/// holds: that is what tells an error of the request from one of its execution.
pub fn router<E: Executor>(
    executor: E,
    authenticator: Arc<dyn Authenticator>,
    settings: Settings,
) -> Router {
    let path = settings.path.clone();
    let pages = if settings.graphiql { graphiql::router(&path) } else { Router::new() };
    let door = Arc::new(Door {
        executor,
        authenticator,
        streams: streams::Streams::new(settings.streams_per_principal_max),
        reservations: reservation::Reservations::default(),
        documents: documents::Documents::new(settings.limits.clone()),
        settings,
    });
    Router::new().route(&path, any(http::serve::<E>)).with_state(door).merge(pages)
}

#[cfg(test)]
mod tests;
