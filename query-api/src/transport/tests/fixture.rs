//! A small schema, an authenticator, and a server that speaks both.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use async_graphql::{
    ComplexObject, Context, Data, Enum, InputObject, Object, Result, Schema, SimpleObject,
    Subscription,
};
use async_trait::async_trait;
use axum::http::request::Parts;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt, stream};
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::sync::CancellationToken;

use crate::limits::Limits;
use crate::transport::{Authenticator, Caller, Refusal, Settings, prepare, router};
use crate::turns::{Turn, Turns};

/// Bounds everything a test waits for.
pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("it happens in time")
}

/// What a test can do to the schema behind the server, and see of it.
#[derive(Clone)]
pub(super) struct Controls {
    pub(super) ticks: broadcast::Sender<i32>,
    /// How many `ticks` subscriptions are running.
    pub(super) listening: watch::Sender<usize>,
    pub(super) counter: Arc<AtomicI32>,
    /// Ends every credential.
    pub(super) revoke: CancellationToken,
    pub(super) shutdown: CancellationToken,
    /// Lets `countWhenReleased` go on.
    pub(super) release: CancellationToken,
}

impl Controls {
    pub(super) async fn wait_for_listeners(&self, count: usize) {
        let mut listening = self.listening.subscribe();
        within(listening.wait_for(|it| *it == count)).await.unwrap();
    }
}

pub(super) struct Query;

#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct Node {
    name: String,
}

#[ComplexObject]
impl Node {
    async fn child(&self) -> Node {
        Node { name: format!("{}'", self.name) }
    }
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Small,
    Large,
}

#[derive(InputObject)]
pub(super) struct Shape {
    width: i32,
    size: Option<Size>,
}

#[Object]
impl Query {
    async fn greeting(&self, name: String) -> String {
        format!("hello {name}")
    }
    async fn area(&self, shapes: Vec<Shape>) -> i32 {
        let factor = |it: &Shape| if it.size == Some(Size::Large) { 2 } else { 1 };
        shapes.iter().map(|it| it.width * factor(it)).sum()
    }
    async fn node(&self) -> Node {
        Node { name: "node".to_owned() }
    }
    async fn fails(&self) -> Result<Option<i32>> {
        Err("it fails".into())
    }
    async fn breaks(&self) -> Result<i32> {
        Err("it breaks".into())
    }
    async fn panics(&self) -> i32 {
        bug()
    }
    async fn whoami(&self, context: &Context<'_>) -> String {
        context.data_unchecked::<Name>().0.clone()
    }
}

fn bug() -> i32 {
    panic!("a secret")
}

pub(super) struct Mutation;

#[Object]
impl Mutation {
    async fn count(&self, context: &Context<'_>) -> i32 {
        context.data_unchecked::<Controls>().counter.fetch_add(1, Ordering::SeqCst) + 1
    }
    async fn count_when_released(&self, context: &Context<'_>) -> i32 {
        let controls = context.data_unchecked::<Controls>();
        controls.listening.send_modify(|it| *it += 1);
        controls.release.cancelled().await;
        controls.counter.fetch_add(1, Ordering::SeqCst) + 1
    }
}

pub(super) struct Subscriptions;

/// Counts itself while it lives.
struct Listening(watch::Sender<usize>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.send_modify(|it| *it -= 1);
    }
}

#[Subscription]
impl Subscriptions {
    async fn countdown(&self, from: i32) -> impl Stream<Item = i32> {
        stream::iter((0..from).rev())
    }
    async fn ticks(&self, context: &Context<'_>) -> impl Stream<Item = i32> + use<> {
        let controls = context.data_unchecked::<Controls>();
        let ticks = BroadcastStream::new(controls.ticks.subscribe());
        controls.listening.send_modify(|it| *it += 1);
        let listening = Listening(controls.listening.clone());
        ticks.filter_map(move |tick| {
            let _held = &listening;
            std::future::ready(tick.ok())
        })
    }
    async fn unavailable(&self) -> Result<stream::Empty<i32>> {
        Err("the source is unavailable".into())
    }
    async fn panics(&self) -> impl Stream<Item = i32> {
        stream::iter([1, 2]).map(|it| if it == 2 { bug() } else { it })
    }
    /// More than any socket buffers.
    async fn flood(&self) -> impl Stream<Item = String> {
        stream::repeat("x".repeat(64 * 1024))
    }
}

struct Name(String);

struct Person {
    name: String,
    principal: String,
    revoke: CancellationToken,
}

impl Caller for Person {
    fn principal(&self) -> &str {
        &self.principal
    }
    fn attach(&self, data: &mut Data) {
        data.insert(Name(self.name.clone()));
    }
    fn turn(&self) -> Option<Turn> {
        Some(Turns::new(1).of(None))
    }
    fn ended(&self) -> BoxFuture<'static, ()> {
        self.revoke.clone().cancelled_owned().boxed()
    }
}

/// Believes `Authorization: Bearer <name>` and `connection_init` with `{"token": <name>}`, unless the
/// name is `mallory`.
struct Trusting {
    revoke: CancellationToken,
    /// Who somebody without a credential is.
    anonymous: Option<&'static str>,
    flaw: Flaw,
}

/// A step of the authenticator that is left out, to see that a test notices.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// Everybody is the same principal.
    OnePrincipal,
    /// A credential that ends tells nobody.
    NeverEnds,
}

impl Trusting {
    fn person(&self, name: &str) -> Result<Arc<dyn Caller>, Refusal> {
        if name == "mallory" {
            return Err(Refusal::unauthenticated());
        }
        let principal = if self.flaw == Flaw::OnePrincipal { "everybody" } else { name };
        let revoke = match self.flaw {
            Flaw::NeverEnds => CancellationToken::new(),
            Flaw::None | Flaw::OnePrincipal => self.revoke.clone(),
        };
        Ok(Arc::new(Person { name: name.to_owned(), principal: principal.to_owned(), revoke }))
    }
}

#[async_trait]
impl Authenticator for Trusting {
    async fn authenticate(&self, head: &Parts) -> Result<Option<Arc<dyn Caller>>, Refusal> {
        let bearer = head.headers.get("authorization").and_then(|it| it.to_str().ok());
        let name = bearer.and_then(|it| it.strip_prefix("Bearer ")).or(self.anonymous);
        name.map(|name| self.person(name)).transpose()
    }

    async fn connection_init(
        &self,
        _: &Parts,
        present: Option<Arc<dyn Caller>>,
        payload: Option<&Map<String, Value>>,
    ) -> Result<Arc<dyn Caller>, Refusal> {
        let token = payload.and_then(|it| it.get("token")).and_then(Value::as_str);
        match (present, token) {
            (Some(present), Some(token)) if present.principal() != token => {
                Err(Refusal::unauthenticated())
            }
            (Some(present), _) => Ok(present),
            (None, Some(token)) => self.person(token),
            (None, None) => Err(Refusal::unauthenticated()),
        }
    }
}

/// A running server and the handles to what is behind it.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) controls: Controls,
}

/// Settings that tell everything, as in development.
pub(super) fn settings() -> Settings {
    Settings { limits: Limits::development(), ..Settings::default() }
}

/// A server where somebody without a credential is `anybody`.
pub(super) async fn open_server(settings: Settings) -> Server {
    start(settings, Some("anybody"), Flaw::None).await
}

/// A server that asks for a credential.
pub(super) async fn closed_server(settings: Settings) -> Server {
    start(settings, None, Flaw::None).await
}

/// A server that asks for a credential and makes a mistake about it.
pub(super) async fn flawed_server(settings: Settings, flaw: Flaw) -> Server {
    start(settings, None, flaw).await
}

async fn start(settings: Settings, anonymous: Option<&'static str>, flaw: Flaw) -> Server {
    let controls = Controls {
        ticks: broadcast::Sender::new(1024),
        listening: watch::Sender::new(0),
        counter: Arc::default(),
        revoke: CancellationToken::new(),
        shutdown: settings.shutdown.clone(),
        release: CancellationToken::new(),
    };
    let schema = Schema::build(Query, Mutation, Subscriptions).data(controls.clone());
    let schema = prepare(schema, &settings.limits).finish();
    let authenticator = Trusting { revoke: controls.revoke.clone(), anonymous, flaw };
    let application = router(schema, Arc::new(authenticator), settings);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, application).await.unwrap() });
    Server { address, controls }
}
