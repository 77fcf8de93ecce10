//! What other processes ask of this one.
//!
//! Who asks for a change is said by the credential alone, which is verified here as at the public
//! doors. For what follows from an event nobody needs to be anybody: the owner reads that event
//! itself. What is not owned here is refused, never passed on.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router, middleware};
use commands::{Cause, CommandError};
use event_log::{Partition, Position};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{COMMANDS, REACTIONS, WireCause};
use crate::auth::Verifier;
use crate::context::Context;
use crate::doors::bounded::{self, Bounds};
use crate::doors::{Settings, observed};
use crate::rest::{self, Problem};
use crate::transport::Refusal;

/// How much larger a request may be here than where it came in, where the same may be said more
/// briefly: twice as large, and 64 KiB for what is around it.
const fn body_bytes_max(at_the_public_door: usize) -> usize {
    at_the_public_door.saturating_mul(2).saturating_add(64 * 1024)
}

/// The largest question what follows from an event. In bytes: 1,024.
const CAUSE_BYTES_MAX: usize = 1_024;

#[derive(Clone, Debug)]
struct Door {
    context: Context,
    verifier: Verifier,
}

/// The routes of this door. It is bounded like the public ones, and by itself: processes that wait
/// for each other never keep each other out.
pub(crate) fn router(context: Context, settings: &Settings) -> Router {
    let verifier = Verifier::between_processes(context.keyring().clone());
    let bounds = Bounds::new(verifier.clone(), context.turns().clone());
    Router::new()
        .route(COMMANDS, post(command))
        .route(REACTIONS, post(reaction).layer(DefaultBodyLimit::max(CAUSE_BYTES_MAX)))
        .with_state(Door { context, verifier })
        .layer(middleware::from_fn_with_state(bounds, bounded::bound))
        .fallback(rest::no_such_route)
        .method_not_allowed_fallback(rest::no_such_method)
        .layer(DefaultBodyLimit::max(body_bytes_max(settings.body_bytes_max)))
        .layer(middleware::from_fn(observed::observe))
}

async fn command(State(door): State<Door>, request: Request) -> Result<Response, Problem> {
    let verified = door.verifier.verified(request.headers())?;
    let verified = verified.ok_or_else(Refusal::unauthenticated)?;
    let session = verified.enter(&door.context).await?;
    let asked = read(&rest::read_body(request).await?)?;
    Ok(answer(door.context.submit_here(&session.principal, asked).await))
}

async fn reaction(State(door): State<Door>, request: Request) -> Result<Response, Problem> {
    let WireCause { source, position, target } = read(&rest::read_body(request).await?)?;
    let cause = Cause { source: Partition(source), position: Position(position), target };
    Ok(answer(door.context.commands().react_to(cause).await))
}

/// Reads what a peer of another version may have written.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let detail = format!("this version of Callboard does not understand the request: {error}");
        Problem::new(StatusCode::BAD_REQUEST, "NOT_UNDERSTOOD", detail)
    })
}

/// Says what was decided, or that another process decides.
fn answer<T: Serialize>(decided: Result<T, CommandError>) -> Response {
    if let Err(CommandError::NotOwner(partition)) = decided {
        let detail = format!("partition {partition} is not owned by this process");
        return Problem::new(StatusCode::MISDIRECTED_REQUEST, "NOT_OWNER", detail).into_response();
    }
    Json(decided).into_response()
}
