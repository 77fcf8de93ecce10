//! All doors of one node, put together.

pub(crate) mod bounded;
mod clients;
mod connections;
pub(crate) mod observed;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::serve::Listener;
use axum::{Router, middleware};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::bounded::Bounds;
pub(crate) use self::connections::ClientAddress;
pub use self::connections::{Connections, NoProxies, Proxies};
use crate::auth::{GraphqlAuthenticator, Hosts, Verifier};
use crate::context::Context;
use crate::federation::Fetch;
use crate::limits::Limits;
use crate::{peers, rest, schema, transport};

/// What an operator sets about the doors.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What one GraphQL document may ask for, introspection and suggestions included.
    pub limits: Limits,
    /// GraphQL operations in one request.
    pub batch_max: usize,
    /// What the hosts end in that select a tenant by its slug.
    pub host_suffix: Arc<str>,
    /// Size of a request's body. In bytes.
    pub body_bytes_max: usize,
    /// Whether the GraphiQL page is served.
    pub graphiql: bool,
    /// How far a read model may lag for the node to call itself ready.
    pub ready_lag_max: Duration,
    /// How identity providers are talked to.
    pub providers: Arc<dyn Fetch>,
    /// When cancelled, streams end so that the server can stop.
    pub shutdown: CancellationToken,
}

/// All doors of one node.
#[derive(Clone, Copy, Debug)]
pub struct Doors;

impl Doors {
    /// Serves `router` on `listener` until `shutdown` is cancelled and open requests have ended.
    pub async fn serve<L>(
        listener: L,
        router: Router,
        bounds: Connections,
        shutdown: CancellationToken,
    ) where
        L: Listener<Addr = SocketAddr>,
    {
        connections::serve(listener, router, bounds, shutdown).await;
    }

    /// The routes of a node that has not started yet, and may be waiting for something.
    pub fn while_starting(waits_for: watch::Receiver<Option<&'static str>>) -> Router {
        rest::while_starting(waits_for)
    }

    /// What other processes of the installation ask for; for a [`peers::PeerListener`] only.
    pub fn between_processes(context: Context, settings: &Settings) -> Router {
        peers::router(context, settings)
    }

    /// The routes of every public door. `metrics` renders what `/metrics` answers.
    pub fn router(context: Context, settings: &Settings, metrics: rest::RenderMetrics) -> Router {
        let hosts = Hosts::new(context.commands().clone(), settings.host_suffix.clone());
        let verifier = Verifier::new(context.keyring().clone(), hosts.clone());
        let turns = context.turns().clone();
        let authenticator = GraphqlAuthenticator {
            verifier: verifier.clone(),
            context: context.clone(),
            turns: turns.clone(),
        };
        let transport = transport::Settings {
            limits: settings.limits.clone(),
            body_bytes_max: settings.body_bytes_max,
            batch_max: settings.batch_max,
            graphiql: settings.graphiql,
            shutdown: settings.shutdown.clone(),
            ..transport::Settings::default()
        };
        let schema = transport::prepare(schema::builder(), &settings.limits).finish();
        let graphql = transport::router(schema, Arc::new(authenticator), transport);
        let bounds = Bounds::new(verifier.clone(), turns);
        let machines = rest::Doors::new(context, (hosts, verifier), settings, metrics);
        machines
            .short()
            .merge(graphql)
            .layer(middleware::from_fn_with_state(bounds, bounded::bound))
            .merge(machines.unbounded())
            .fallback(rest::no_such_route)
            .method_not_allowed_fallback(rest::no_such_method)
            .layer(DefaultBodyLimit::max(settings.body_bytes_max))
            .layer(middleware::from_fn(clients::tell))
            .layer(middleware::from_fn(observed::observe))
    }
}
