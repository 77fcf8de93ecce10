//! Around every request that should be short: so many at a time, each so long.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use crate::rest::Problem;

/// Requests that may be served at a time: 1,024. More would wait for the same two sides longer
/// than for a try later on.
const REQUESTS_MAX: usize = 1_024;

/// The longest a request may take until its answer begins, its body included. In seconds: 30.
const TIME_MAX: Duration = Duration::from_secs(30);

/// When a refused caller may try again. In seconds: 1.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How much is served at a time.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    room: Arc<Semaphore>,
    time_max: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self::new(REQUESTS_MAX, TIME_MAX)
    }
}

impl Bounds {
    fn new(requests_max: usize, time_max: Duration) -> Self {
        Self { room: Arc::new(Semaphore::new(requests_max)), time_max }
    }
}

/// Serves one request if there is room, and gives it up when it takes too long.
///
/// Streams count only until their head is sent; they have bounds of their own.
pub(super) async fn bound(State(bounds): State<Bounds>, request: Request, next: Next) -> Response {
    let Ok(_room) = bounds.room.try_acquire() else {
        let problem = Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "BUSY",
            "too many requests are being served; try again",
        );
        return problem.retry_after(Some(RETRY_AFTER)).into_response();
    };
    match tokio::time::timeout(bounds.time_max, next.run(request)).await {
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

#[cfg(test)]
mod tests;
