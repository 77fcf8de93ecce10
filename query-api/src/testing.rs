//! A whole site for tests: both sides, the doors on a loopback port, two tenants and an operator.

pub(crate) mod held;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use bytes::Bytes;
use commands::{Commands, SystemClock};
use domain::Principal;
use domain::id::{ActorId, TenantId};
use domain::operation::Operation;
use domain::role::{BuiltIn, RoleName};
use event_log::{EventLog, MemoryLog, Partition, Position};
use outbound::{Client, Limits as ClientLimits, Reach, Request};
use projections::temporary::{Kind, Temporary};
use projections::{Model, Projections};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;
use vault::{Keyring, MemoryVault, PostgresVault, Root};

use self::held::{HeldLog, Hold};
use crate::federation::{Fetch, Fetched, Unfetched};
use crate::limits::Limits;
use crate::rest::RenderMetrics;
use crate::{Connections, Context, Doors, Settings, auth};

/// What one operation may read and say: less than usual, so that little is too much.
pub(crate) const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Connections that the vault may have in PostgreSQL.
const VAULT_CONNECTIONS_MAX: u32 = 4;

/// How long anything may take before a test gives up on it.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Bounds everything a test waits for.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it happens in time")
}

/// Everything, running.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) log: Arc<dyn EventLog>,
    /// Holds what the keyring does where the read models are on SQLite.
    pub(crate) vault: Arc<MemoryVault>,
    pub(crate) keyring: Keyring,
    pub(crate) context: Context,
    pub(crate) commands: Commands,
    pub(crate) projections: Arc<Projections>,
    /// Holds back what is to be shown.
    pub(crate) showing: Hold,
    /// Holds back what is to follow from what was recorded.
    pub(crate) following: Hold,
    pub(crate) operator: Member,
    pub(crate) a: Member,
    pub(crate) b: Member,
    pub(crate) shutdown: CancellationToken,
    client: Client,
    _folder: TempDir,
    _place: Temporary,
}

/// Somebody with a token.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) tenant: TenantId,
    pub(crate) token: String,
}

/// Makes a test of each function with the read models on each kind of tables: of those whose answers
/// come from them, or from the vault. What is refused before, decided in memory or read from the log is
/// the same on both.
macro_rules! on_each_kind {
    ($($name:ident)*) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(projections::temporary::Kind::Sqlite).await;
            })*
        }

        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                let kind = projections::temporary::Kind::Postgres;
                if kind.is_there() {
                    super::$name(kind).await;
                }
            })*
        }
    };
}
pub(crate) use on_each_kind;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Site {
    /// An empty site but for the tenants `alpha` (A) and `bravo` (B), which are on one partition.
    pub(crate) async fn start() -> Self {
        Self::start_on(Kind::Sqlite).await
    }

    /// The same with its read models there. Where that is PostgreSQL, so is its vault.
    pub(crate) async fn start_on(kind: Kind) -> Self {
        let mut site = Self::begin(kind, Hold::new(false)).await;
        soon(site.ready()).await;
        site.a = site.register("alpha").await;
        site.b = site.register("bravo").await;
        site.all_shown(&Model::ALL).await;
        site
    }

    /// Completes once these models show all that is recorded by now.
    pub(crate) async fn all_shown(&self, models: &[Model]) {
        let last = Position(self.log.end(Partition(0)).await.unwrap().0 - 1);
        let shown = self.projections.models().wait_for(models, Partition(0), last, SOON).await;
        shown.unwrap();
    }

    /// Completes once it calls itself ready.
    pub(crate) async fn ready(&self) {
        while self.get(&self.operator, "/readyz").await.status != 200 {
            tokio::task::yield_now().await;
        }
    }

    /// An empty site that need not be ready.
    pub(crate) async fn begin(kind: Kind, showing: Hold) -> Self {
        let place = Temporary::new(kind).await;
        let folder = TempDir::new().unwrap();
        let root = Root::from_hex(&"07".repeat(32), "the test").unwrap();
        let vault = Arc::new(MemoryVault::default());
        let keyring = match place.url() {
            None => Keyring::open(vault.clone(), root).await,
            Some(url) => {
                let vault = PostgresVault::open(url, VAULT_CONNECTIONS_MAX).await.unwrap();
                Keyring::open(Arc::new(vault), root).await
            }
        };
        let keyring = keyring.unwrap();
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(1));
        let settings = commands::Settings::new(folder.path().join("identities"));
        let clock = Arc::new(SystemClock);
        let following = Hold::new(false);
        let followed = Arc::new(HeldLog { log: log.clone(), hold: following.clone() });
        let commands = Commands::start(followed, keyring.clone(), clock, settings).await.unwrap();
        let settings = projections::Settings { read_bytes_max: READ_BYTES_MAX, ..place.settings() };
        let held = Arc::new(HeldLog { log: log.clone(), hold: showing.clone() });
        let projections = Projections::start(settings, held, keyring.clone()).await;
        let projections = Arc::new(projections.unwrap());
        let sides = (commands.clone(), projections.clone());
        let context = Context::new(sides.0, sides.1, log.clone(), keyring.clone(), SOON);

        let shutdown = CancellationToken::new();
        let doors = doors(context.clone(), &shutdown);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let forever = CancellationToken::new();
        let connections = Connections {
            most: 1_024,
            head_time_max: SOON,
            idle_time_max: SOON,
            ..Connections::of_peers()
        };
        tokio::spawn(Doors::serve(listener, doors, connections, forever));

        let nobody = Member { tenant: TenantId::SYSTEM, token: String::new() };
        let limits = ClientLimits { time: SOON, ..ClientLimits::default() };
        let mut site = Self {
            address,
            log,
            vault,
            keyring,
            context,
            commands,
            projections,
            showing,
            following,
            operator: nobody.clone(),
            a: nobody.clone(),
            b: nobody,
            shutdown,
            client: Client::new(Reach::Loopback, limits),
            _folder: folder,
            _place: place,
        };
        site.operator = site.member(TenantId::SYSTEM).await;
        site
    }

    /// The settings of its doors.
    pub(crate) fn settings(&self) -> Settings {
        self::settings(&self.shutdown)
    }

    /// Somebody new who is an owner of a tenant.
    pub(crate) async fn member(&self, tenant: TenantId) -> Member {
        let actor = ActorId(Uuid::now_v7());
        self.make_owner(tenant, actor).await;
        self.stranger(tenant, actor)
    }

    /// Makes somebody an owner of a tenant.
    pub(crate) async fn make_owner(&self, tenant: TenantId, actor: ActorId) {
        let roles = BTreeSet::from([RoleName::from(BuiltIn::Owner)]);
        let add = Operation::AddMember { member: actor, name: None, roles };
        let request = commands::Request::new(add);
        self.commands.submit(&Principal::system(tenant), request).await.unwrap();
    }

    /// Somebody with a token for a tenant, whatever they are there.
    pub(crate) fn stranger(&self, tenant: TenantId, actor: ActorId) -> Member {
        let lifetime = Duration::from_secs(3600);
        let token = auth::mint(self.keyring.issuer(), tenant, actor, lifetime).unwrap();
        Member { tenant, token }
    }

    /// Registers a tenant through the API; its owner.
    pub(crate) async fn register(&self, slug: &str) -> Member {
        let owner = ActorId(Uuid::now_v7());
        let document = "mutation($slug: String!, $owner: String!) {
            registerTenant(input: {slug: $slug, name: $slug, ownerId: $owner}) {
                tenantId userErrors { code message }
            }
        }";
        let data = self
            .data(&self.operator, document, json!({ "slug": slug, "owner": owner.to_string() }))
            .await;
        let tenant = data["registerTenant"]["tenantId"].as_str().expect("it is registered");
        self.stranger(tenant.parse().unwrap(), owner)
    }

    /// The answer to a GraphQL document, errors and all.
    pub(crate) async fn graphql(&self, who: &Member, document: &str, variables: Value) -> Value {
        self.graphql_after(who, None, document, variables).await
    }

    /// The same, once everything up to `position` can be seen.
    pub(crate) async fn graphql_after(
        &self,
        who: &Member,
        position: Option<&str>,
        document: &str,
        variables: Value,
    ) -> Value {
        let body = json!({ "query": document, "variables": variables }).to_string();
        let mut request = Request::post(self.url("/graphql"), "application/json", body)
            .with_header("accept", "application/json");
        if let Some(position) = position {
            request = request.with_header("callboard-position", position);
        }
        self.send(who, request).await.json()
    }

    /// The data of the answer, which must have no errors.
    pub(crate) async fn data(&self, who: &Member, document: &str, variables: Value) -> Value {
        let mut answer = self.graphql(who, document, variables).await;
        assert!(answer.get("errors").is_none(), "{document}: {answer}");
        answer["data"].take()
    }

    /// The same, once everything up to `position` can be seen.
    pub(crate) async fn seen(&self, who: &Member, position: &str, document: &str) -> Value {
        let answer = self.graphql_after(who, Some(position), document, json!({})).await;
        let mut answer = answer;
        assert!(answer.get("errors").is_none(), "{document}: {answer}");
        answer["data"].take()
    }

    /// Runs a mutation, which must be accepted; its payload.
    pub(crate) async fn mutate(&self, who: &Member, mutation: &str, variables: Value) -> Value {
        let mut data = self.data(who, mutation, variables).await;
        let payload = data.as_object_mut().unwrap().values_mut().next().unwrap().take();
        assert_eq!(payload["userErrors"], json!([]), "{mutation}");
        payload
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    pub(crate) async fn get(&self, who: &Member, path: &str) -> Reply {
        self.send(who, Request::get(self.url(path))).await
    }

    pub(crate) async fn post(
        &self,
        who: &Member,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Reply {
        self.send(who, Request::post(self.url(path), content_type, body)).await
    }

    /// A request with the token of `who`, if there is one. A session comes with a page of its host.
    fn authorized(&self, who: &Member, request: Request) -> Request {
        match who.token.as_str() {
            "" => request,
            session if session.starts_with("cbt_") => {
                let directory = self.commands.directory();
                let entry = directory.entry(who.tenant).expect("it is registered");
                let host = format!("{}.localhost", entry.slug.as_str());
                request
                    .with_header("cookie", &format!("__Host-callboard={session}"))
                    .with_header("host", &host)
                    .with_header("origin", &format!("http://{host}"))
                    .with_header("callboard-request", "1")
            }
            token => request.with_header("authorization", &format!("Bearer {token}")),
        }
    }

    /// Sends a request with the token of `who`, if there is one.
    pub(crate) async fn send(&self, who: &Member, request: Request) -> Reply {
        let request = self.authorized(who, request);
        let response = self.client.send(request).await.unwrap();
        Reply {
            status: response.status,
            content_type: response.content_type.unwrap_or_default(),
            retry_after: response.retry_after,
            body: response.body,
        }
    }

    /// Opens an event stream.
    pub(crate) async fn stream(&self, who: &Member, request: Request) -> EventStream {
        let request = self.authorized(who, request).with_header("accept", "text/event-stream");
        let response = self.client.stream(request).await.unwrap();
        EventStream { status: response.status, body: response.body, text: String::new() }
    }
}

/// Talks to the providers of a test.
#[derive(Debug)]
pub(crate) struct Fetching(pub(crate) Client);

impl Fetching {
    async fn send(&self, request: Request) -> Result<Fetched, Unfetched> {
        let answer = self.0.send(request).await.map_err(|it| Unfetched(it.into()))?;
        Ok(Fetched { status: answer.status, body: answer.body })
    }
}

#[async_trait]
impl Fetch for Fetching {
    async fn get(&self, url: &str) -> Result<Fetched, Unfetched> {
        self.send(Request::get(Url::parse(url).unwrap())).await
    }

    async fn post(
        &self,
        url: &str,
        form: String,
        authorization: Option<String>,
    ) -> Result<Fetched, Unfetched> {
        let url = Url::parse(url).unwrap();
        let mut request = Request::post(url, "application/x-www-form-urlencoded", form);
        if let Some(authorization) = authorization {
            request = request.with_header("authorization", &authorization);
        }
        self.send(request).await
    }
}

/// The settings of the doors of a test.
pub(crate) fn settings(shutdown: &CancellationToken) -> Settings {
    Settings {
        limits: Limits { complexity_max: 50_000, ..Limits::development() },
        batch_max: 10,
        host_suffix: "localhost".into(),
        body_bytes_max: 1024 * 1024,
        graphiql: true,
        ready_lag_max: Duration::from_secs(3600),
        providers: Arc::new(Fetching(Client::new(
            Reach::Loopback,
            ClientLimits { redirects: 0, ..ClientLimits::default() },
        ))),
        shutdown: shutdown.clone(),
    }
}

/// The doors of a site.
pub(crate) fn doors(context: Context, shutdown: &CancellationToken) -> Router {
    let metrics = RenderMetrics(Arc::new(|| "up 1\n".to_owned()));
    Doors::router(context, &settings(shutdown), metrics)
}

/// Server-sent events as they come.
pub(crate) struct EventStream {
    pub(crate) status: u16,
    body: futures::stream::BoxStream<'static, Result<Bytes, outbound::OutboundError>>,
    text: String,
}

/// One server-sent event.
#[derive(Debug, PartialEq)]
pub(crate) struct SentEvent {
    pub(crate) id: Option<u64>,
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl EventStream {
    /// The next event; none once the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<SentEvent> {
        use futures::StreamExt;
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if !event.starts_with(':') {
                    return Some(sent(&event));
                }
                continue;
            }
            let piece = soon(self.body.next()).await?.ok()?;
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }
}

fn sent(event: &str) -> SentEvent {
    let field = |name: &str| {
        event.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    let data = field("data").filter(|it| !it.is_empty());
    SentEvent {
        id: field("id").map(|it| it.parse().unwrap()),
        name: field("event").unwrap_or("message").to_owned(),
        data: data.map_or(Value::Null, |it| serde_json::from_str(it).unwrap()),
    }
}
