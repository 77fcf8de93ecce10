//! Around every request that should be short: so many at a time, so many of them of one tenant,
//! each so long, and the processors in turns ([`crate::turns`]).
//!
//! Whoever has no credential that is accepted has no tenant either: the handlers refuse it from
//! its head, before they read or do anything that lasts. What goes on over a WebSocket or an
//! event stream is not counted here; those have bounds of their own.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::id::TenantId;
use tokio::sync::Semaphore;

use crate::auth::Verifier;
use crate::rest::Problem;
use crate::transport::Streams;
use crate::turns::Turns;

/// Requests that may be served at a time: 1,024. More would wait for the same two sides longer
/// than for a try later on.
const REQUESTS_MAX: usize = 1_024;

/// Requests of one tenant that may be served at a time: 256, a quarter of all, so that no tenant
/// alone keeps the others out.
const TENANT_REQUESTS_MAX: usize = 256;

/// The longest a request may take until its answer begins, its body included. In seconds: 30.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(30);

/// When a refused caller may try again. In seconds: 1.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How much is served at a time.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    room: Arc<Semaphore>,
    shares: Streams,
    verifier: Verifier,
    turns: Turns,
    time_max: Duration,
}

impl Bounds {
    pub(crate) fn new(verifier: Verifier, turns: Turns) -> Self {
        Self {
            room: Arc::new(Semaphore::new(REQUESTS_MAX)),
            shares: Streams::new(TENANT_REQUESTS_MAX),
            verifier,
            turns,
            time_max: TIME_MAX,
        }
    }

    /// The tenant whose share a request counts towards, if its credential is accepted.
    fn tenant(&self, request: &Request) -> Option<TenantId> {
        Some(self.verifier.verified(request.headers()).ok()??.tenant)
    }
}

/// Serves one request if there is room, and gives it up when it takes too long.
///
/// Streams count only until their head is sent; they have bounds of their own.
pub(crate) async fn bound(State(bounds): State<Bounds>, request: Request, next: Next) -> Response {
    let Ok(_room) = bounds.room.try_acquire() else {
        return busy("too many requests are being served; try again");
    };
    let tenant = bounds.tenant(&request);
    let share = tenant.map(|it| bounds.shares.open(&it.to_string()));
    if matches!(share, Some(None)) {
        return busy("too many requests of this tenant are being served; try again");
    }
    let served = pin!(next.run(request));
    let served = bounds.turns.of(tenant).taken_by(served);
    match tokio::time::timeout(bounds.time_max, served).await {
        Ok(response) => response,
        Err(_elapsed) => {
            let detail = format!(
                "no answer within {} s; what was asked for may still happen",
                bounds.time_max.as_secs()
            );
            Problem::new(StatusCode::GATEWAY_TIMEOUT, "TIMED_OUT", detail).into_response()
        }
    }
}

fn busy(detail: &str) -> Response {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "BUSY", detail);
    problem.retry_after(Some(RETRY_AFTER)).into_response()
}

#[cfg(test)]
mod tests;
