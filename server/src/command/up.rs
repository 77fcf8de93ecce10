//! `callboard up`: a node and its doors, until it is told to stop.

use std::os::fd::AsFd as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::Utc;
use domain::directory::{Entry, Standing};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use query_api::limits::Limits;
use query_api::rest::RenderMetrics;
use query_api::{Connections, Doors, Settings};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client;
use crate::config::{Config, Environment, StorageKind};
use crate::connections;
use crate::demo::{self, Demo};
use crate::folder::{Folder, Purpose};
use crate::node::Node;
use crate::output;
use crate::providers::Outbound;
use crate::waiting::Waiting;

/// How long open requests may take to end once the node is told to stop. In seconds: 10.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// How long answers given before the start may take to reach whoever asked. In seconds: 1.
const STARTED_MAX: Duration = Duration::from_secs(1);

/// How far a read model may lag for the node to call itself ready. In seconds: 30.
const READY_LAG_MAX: Duration = Duration::from_secs(30);

/// Runs every role in this process until it is interrupted.
///
/// # Errors
///
/// If the folder, the address or a part of the node cannot be used.
pub(crate) async fn run(config: &Config, purpose: Purpose) -> Result<()> {
    let address = config.http.listen;
    if purpose == Purpose::Demo && !address.ip().is_loopback() {
        bail!("a demo listens on this machine only, and `{address}` is not a loopback address");
    }
    let folder = config.storage.open(purpose)?;
    let metrics = recorder()?;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("could not listen on {address}; is it in use?"))?;
    let address = listener.local_addr()?;
    let mut told = pin!(interrupted());
    let waiting = Waiting::new(config);
    let connections = connections::of(&config.http);
    let starting = Starting::open(&listener, &waiting, connections.clone())?;
    let demo = (purpose == Purpose::Demo).then(|| Demo::new(Utc::now().date_naive()));
    let mut node = tokio::select! {
        started = start(config, demo.as_ref(), &folder, &waiting) => started?,
        told = &mut told => return told,
    };
    let shutdown = CancellationToken::new();
    let settings = settings(config, &shutdown);
    // At once: whoever has let go of a partition passes on what comes for it.
    let closed_to_peers = CancellationToken::new();
    let between = node.listener.take().map(|listener| {
        let router = Doors::between_processes(node.context.clone(), &settings);
        let (connections, closed) = (Connections::of_peers(), closed_to_peers.clone());
        tokio::spawn(Doors::serve(listener, router, connections, closed))
    });
    let between = between.map(|it| (it, closed_to_peers));
    let told_early = tokio::select! {
        () = node.has_owner() => None,
        told = &mut told => Some(told),
    };
    if let Some(told) = told_early {
        leave(node, None, between).await;
        return told;
    }
    starting.close().await;
    let render = RenderMetrics(Arc::new(move || metrics.render()));
    let router = Doors::router(node.context.clone(), &settings, render);
    let said = async {
        announce(config, &node, demo.as_ref(), &format!("http://{address}")).await?;
        offer_setup(&node).await
    };
    if let Err(error) = said.await {
        leave(node, None, between).await;
        return Err(error);
    }
    let mut server = tokio::spawn(Doors::serve(listener, router, connections, shutdown.clone()));
    let excluded = tokio::select! {
        ended = &mut server => ended.map(|()| None)?,
        told = &mut told => told.map(|()| None)?,
        excluded = node.commands.excluded() => Some(excluded),
    };
    leave(node, Some((server, shutdown)), between).await;
    excluded.map_or(Ok(()), |it| Err(it.into()))
}

/// A door that is served, and what closes it.
type Open = (JoinHandle<()>, CancellationToken);

/// Hands over what is owned, closes the doors, and stops.
async fn leave(node: Node, public: Option<Open>, between: Option<Open>) {
    tracing::info!("stopping");
    if between.is_some() {
        // Others take over while what comes in here is passed on to them.
        node.commands.leave().await;
    }
    for (door, closed) in public.into_iter().chain(between) {
        closed.cancel();
        drain(door).await;
    }
    node.stop().await;
}

/// Starts the node, with what a demo shows where it is for that.
async fn start(
    config: &Config,
    demo: Option<&Demo>,
    folder: &Folder,
    waiting: &Waiting,
) -> Result<Node> {
    if config.storage.read_models == StorageKind::Sqlite {
        folder.check_models()?;
    }
    let node = Node::start(config, folder, waiting).await.map_err(|it| folder.explain(it))?;
    if let Some(demo) = demo {
        node.has_owner().await;
        node.owns_all().await.context("a demo writes to every partition")?;
        demo::seed::seed(&node, demo).await?;
        node.shows_all().await?;
    }
    Ok(node)
}

/// The doors of a node that has not started yet, at the address where it will serve.
struct Starting {
    closed: CancellationToken,
    server: JoinHandle<()>,
}

impl Starting {
    fn open(listener: &TcpListener, waiting: &Waiting, most: Connections) -> Result<Self> {
        let closed = CancellationToken::new();
        // Both are the same socket: who comes in between waits in its queue.
        let listener = std::net::TcpListener::from(listener.as_fd().try_clone_to_owned()?);
        let listener = TcpListener::from_std(listener)?;
        let router = Doors::while_starting(waiting.shown());
        let server = tokio::spawn(Doors::serve(listener, router, most, closed.clone()));
        Ok(Self { closed, server })
    }

    /// Takes no more connections, and lets those end that there are.
    async fn close(self) {
        self.closed.cancel();
        // One that says nothing more is not waited for; nothing was promised to it.
        drop(tokio::time::timeout(STARTED_MAX, self.server).await);
    }
}

/// Waits until the requests at a door that was closed have ended, within bounds.
async fn drain(door: JoinHandle<()>) {
    if tokio::time::timeout(DRAIN_MAX, door).await.is_err() {
        tracing::warn!(waited_s = DRAIN_MAX.as_secs(), "some requests did not end in time");
    }
}

fn recorder() -> Result<PrometheusHandle> {
    PrometheusBuilder::new().install_recorder().context("metrics cannot be recorded")
}

fn settings(config: &Config, shutdown: &CancellationToken) -> Settings {
    let development = config.environment == Environment::Development;
    let limits = if development { Limits::development() } else { Limits::default() };
    Settings {
        limits: Limits {
            depth_max: config.graphql.depth_max,
            complexity_max: config.graphql.complexity_max,
            aliases_max: config.graphql.aliases_max,
            ..limits
        },
        batch_max: config.graphql.batch_max,
        host_suffix: config.http.host_suffix.as_str().into(),
        body_bytes_max: config.http.body_bytes_max,
        graphiql: development,
        ready_lag_max: READY_LAG_MAX,
        providers: Arc::new(Outbound::new(config.providers.reach)),
        shutdown: shutdown.clone(),
    }
}

/// Says where the doors are and, for a demo, hands over a key to them.
async fn announce(config: &Config, node: &Node, demo: Option<&Demo>, base: &str) -> Result<()> {
    output::line(&format!("Callboard serves {base}/graphql"))?;
    if config.environment == Environment::Development {
        output::line(&format!("Try it in the browser: {base}/graphiql"))?;
    }
    let Some(demo) = demo else { return Ok(()) };
    let directory = node.commands.directory();
    let registered = demo.tenants.iter().filter_map(|it| Some((it.id, directory.entry(it.id)?)));
    let open: Vec<_> = registered.filter(|(_, it)| it.standing != Standing::Closed).collect();
    output::line("\nTenants of this demo:")?;
    for (_, Entry { slug, name, .. }) in &open {
        output::line(&format!("  {:14} {}", slug.as_str(), name.as_str()))?;
    }
    let Some((tenant, Entry { slug, .. })) = open.first() else { return Ok(()) };
    let actor = client::actor(&node.keyring).await?;
    let lifetime = Duration::from_secs(config.tokens.lifetime_seconds);
    let token = query_api::auth::mint(node.keyring.issuer(), *tenant, actor, lifetime)?;
    let minutes = lifetime.as_secs() / 60;
    output::line(&format!("\nA token for {}, good for {minutes} minutes:", slug.as_str()))?;
    output::line(&format!("  {token}"))
}

/// Hands over what makes the first account, as long as no operator has one.
async fn offer_setup(node: &Node) -> Result<()> {
    let token = match query_api::accounts::offer_setup(&node.keyring).await {
        Ok(Some(token)) => token,
        Ok(None) => return Ok(()),
        // It serves all the same; another start prints one.
        Err(error) => {
            tracing::warn!(error = ?error, "a setup token could not be made");
            return Ok(());
        }
    };
    let minutes = query_api::accounts::SETUP_LASTS.num_minutes();
    output::line(&format!(
        "\nNo operator has an account yet. A setup token, good once and for {minutes} minutes:"
    ))?;
    output::line(&format!("  {token}"))
}

/// Completes once the process is asked to stop.
async fn interrupted() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        told = tokio::signal::ctrl_c() => Ok(told?),
        _ = terminate.recv() => Ok(()),
    }
}
