//! The doors for machines: usage, the event feed, operations, health.
//!
//! Every answer is JSON; a refusal is a problem document (RFC 9457) that names the field, the
//! value and the fix. `usage` is the hot path, `events` the feed and its live form, `audit` what auditors take away,
//! `operations` what operators ask and do, `health` what machines ask without a credential. Those
//! of `accounts`, `second_factor`, `oidc`, `session` and `setup` are for browsers: there somebody
//! comes in, and goes.

mod accounts;
mod async_api;
mod audit;
mod event_schemas;
mod events;
mod health;
mod oidc;
mod open_api;
mod operations;
mod problem;
mod second_factor;
mod session;
mod setup;
mod usage;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::routing::{delete, get, post, put};
use commands::SystemClock;

use crate::accounts::Accounts;
use crate::auth::{Hosts, Session, Verifier};
use crate::context::{Asked, Context, RequestContext};
use crate::doors::Settings;
use crate::error::UNAVAILABLE_RETRY_AFTER;
use crate::federation::watch::Watch;
use crate::transport::{BODY_WAIT_MAX, Streams};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[cfg(test)]
pub(crate) use async_api::document as async_api_document;
#[cfg(test)]
pub(crate) use open_api::document as open_api_document;
pub use problem::Problem;

/// Renders the metrics of the process in the Prometheus text format.
#[derive(Clone)]
pub struct RenderMetrics(pub Arc<dyn Fn() -> String + Send + Sync>);

impl fmt::Debug for RenderMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RenderMetrics")
    }
}

/// Feeds that one principal may follow or wait for at a time.
const STREAMS_PER_PRINCIPAL_MAX: usize = 50;

/// What the handlers share.
#[derive(Clone, Debug)]
struct Door {
    context: Context,
    verifier: Verifier,
    hosts: Hosts,
    accounts: Accounts,
    watch: Watch,
    metrics: RenderMetrics,
    ready_lag_max: Duration,
    shutdown: CancellationToken,
    streams: Streams,
}

impl Door {
    /// Who sent a request with these headers.
    async fn session(&self, headers: &HeaderMap) -> Result<Session, Problem> {
        let verified = self.verifier.verified(headers)?;
        let verified = verified.ok_or_else(crate::transport::Refusal::unauthenticated)?;
        Ok(verified.enter(&self.context).await?)
    }

    /// What one operation of `session` needs.
    fn request(&self, session: &Session, headers: &HeaderMap) -> RequestContext {
        self.context.request(session.clone(), Asked::of(headers))
    }
}

/// The routes of these doors.
#[derive(Clone, Debug)]
pub(crate) struct Doors(Door);

impl Doors {
    pub(crate) fn new(
        context: Context,
        (hosts, verifier): (Hosts, Verifier),
        settings: &Settings,
        metrics: RenderMetrics,
    ) -> Self {
        let (ready_lag_max, shutdown) = (settings.ready_lag_max, settings.shutdown.clone());
        let streams = Streams::new(STREAMS_PER_PRINCIPAL_MAX);
        let accounts = Accounts::new(context.keyring().clone(), Arc::new(SystemClock));
        let watch = Watch::new(settings.providers.clone());
        Self(Door {
            context,
            verifier,
            hosts,
            accounts,
            watch,
            metrics,
            ready_lag_max,
            shutdown,
            streams,
        })
    }

    /// Those that answer soon.
    pub(crate) fn short(&self) -> Router {
        let little = DefaultBodyLimit::max(operations::RESUME_BYTES_MAX);
        let resume = post(operations::resume).layer(little);
        Router::new()
            .route("/api/v1/usage", get(usage::report::show).post(usage::record))
            .route("/api/v1/projections", get(operations::status))
            .route("/api/v1/projections/{model}/resume", resume)
            .route("/api/v1/session", delete(session::end))
            .route("/api/v1/audit/keys", get(audit::keys))
            .route("/metrics", get(operations::metrics))
            .with_state(self.0.clone())
            .merge(self.of_accounts())
    }

    /// Those at which somebody proves who they are.
    fn of_accounts(&self) -> Router {
        let token = DefaultBodyLimit::max(oidc::exchange::BYTES_MAX);
        Router::new()
            .route("/api/v1/sign-in", post(accounts::enter))
            .route("/api/v1/invites/accept", post(accounts::accept))
            .route("/api/v1/account/password", put(accounts::change))
            .route("/api/v1/account", get(second_factor::show))
            .route("/api/v1/account/totp", post(second_factor::enrol))
            .route("/api/v1/account/totp/confirm", post(second_factor::confirm))
            .route("/api/v1/account/totp/remove", post(second_factor::remove))
            .route("/api/v1/account/recovery-codes", post(second_factor::renew))
            .route("/api/v1/setup", post(setup::set_up))
            .route("/api/v1/sign-in/oidc/{provider}", get(oidc::leave).post(oidc::prepare))
            .route("/api/v1/sign-in/oidc/{provider}/callback", get(oidc::come_back))
            .layer(DefaultBodyLimit::max(accounts::BYTES_MAX))
            .route(
                "/api/v1/sign-in/oidc/{provider}/token",
                post(oidc::exchange::change).layer(token),
            )
            .with_state(self.0.clone())
    }

    /// Those that may take their time, and those that must answer however much is going on.
    pub(crate) fn unbounded(&self) -> Router {
        Router::new()
            .route("/api/v1/events", get(events::feed))
            .route("/api/v1/audit/export", get(audit::export))
            .route("/api/v1/projections/{model}/rebuild", post(operations::rebuild))
            .route("/api/v1/openapi.json", get(open_api::show))
            .route("/api/v1/asyncapi.json", get(async_api::show))
            .route("/schemas/events/{file}", get(event_schemas::show))
            .route("/healthz", get(health::live))
            .route("/readyz", get(health::ready))
            .with_state(self.0.clone())
    }
}

/// The routes of a node that has not started yet.
pub(crate) fn while_starting(waits_for: watch::Receiver<Option<&'static str>>) -> Router {
    Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::starting))
        .fallback(not_started)
        .with_state(waits_for)
}

/// The answer of every other door of such a node.
async fn not_started() -> Problem {
    let detail = "this process has not started yet; `/readyz` says what it waits for";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", detail)
        .retry_after(Some(UNAVAILABLE_RETRY_AFTER))
}

/// Reads the body of a request to its end, within the bound of its route. For handlers that
/// have looked at the head: nothing is read for who may not ask.
pub(crate) async fn read_body(request: Request) -> Result<Bytes, Problem> {
    let reading = Bytes::from_request(request, &());
    let Ok(read) = tokio::time::timeout(BODY_WAIT_MAX, reading).await else {
        let detail = format!("the body did not arrive within {} s", BODY_WAIT_MAX.as_secs());
        let mut problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", detail);
        problem.headers.push((header::CONNECTION, HeaderValue::from_static("close")));
        return Err(problem);
    };
    read.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = "the body is too large; say less in one request";
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", detail)
        }
        _ => Problem::bad_request("the body ended before its time"),
    })
}

/// The answer where nothing is.
pub(crate) async fn no_such_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is nothing at this path")
}

/// The answer to a method that a path does not know.
pub(crate) async fn no_such_method() -> Problem {
    let detail = "this path does not know this method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", detail)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use crate::doors::bounded::TIME_MAX;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_told_so_before_the_request_is_given_up() {
        let begun = tokio::time::Instant::now();
        let never = futures::stream::pending::<Result<Bytes, std::io::Error>>();
        let request = Request::post("/api/v1/usage").body(Body::from_stream(never)).unwrap();
        let problem = read_body(request).await.unwrap_err();
        assert_eq!((problem.status.as_u16(), &*problem.code), (408, "REQUEST_TIMEOUT"));
        assert!(begun.elapsed() < TIME_MAX, "of the clock that is paused");
    }
}
