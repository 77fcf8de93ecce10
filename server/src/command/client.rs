//! A client of the doors of a running server, for the command line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use domain::id::{ActorId, TenantId};
use futures::StreamExt;
use outbound::{Client, Limits, Reach, Request, Response, StreamedResponse};
use query_api::context::POSITION_HEADER;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;
use vault::{Keyring, KeyringError};

use crate::config::Config;
use crate::failure::Failure;
use crate::stores::OpenVault;

/// How long one request may take. In seconds: 60.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a request may take that reads all of the log. In seconds: one day.
const REBUILD_TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long to wait until something written is shown. In seconds: 60.
const VISIBLE_TIME_MAX: Duration = Duration::from_secs(60);

/// When to ask again whether it is. In milliseconds: 50.
const VISIBLE_AGAIN: Duration = Duration::from_millis(50);

/// How large an answer may be. In bytes: 64 MiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How much is read of what a server says instead of a stream. In bytes: 64 KiB.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

/// Talks to a server on this machine with tokens minted from its own data folder.
#[derive(Debug)]
pub(crate) struct Api {
    base: Url,
    address: IpAddr,
    client: Client,
    keyring: Keyring,
    lifetime: Duration,
    /// For whom it asks; for the command line itself if none.
    member: Option<ActorId>,
}

/// What a server answered to a GraphQL request.
#[derive(Debug, Deserialize)]
struct GraphqlAnswer {
    data: Option<Value>,
    #[serde(default)]
    errors: Vec<GraphqlError>,
}

#[derive(Debug, Deserialize)]
struct GraphqlError {
    message: String,
    #[serde(default)]
    extensions: Value,
}

impl GraphqlError {
    fn code(&self) -> Option<&str> {
        self.extensions["code"].as_str()
    }
}

/// A page of a list.
#[derive(Debug, Deserialize)]
struct Page<T> {
    page: Nodes<T>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Nodes<T> {
    nodes: Vec<T>,
    page_info: PageInfo,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

/// A tenant as the directory names it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TenantEntry {
    /// The identity.
    pub tenant_id: TenantId,
    /// The slug.
    pub slug: String,
    /// The display name.
    pub name: String,
    /// Whether it may change things.
    pub standing: StandingEntry,
}

/// Whether a tenant may change things.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct StandingEntry {
    /// `ACTIVE`, `SUSPENDED` or `CLOSED`.
    pub status: String,
}

impl Api {
    /// The server that `config` describes.
    ///
    /// # Errors
    ///
    /// If there is no data folder, or its keys cannot be opened.
    pub(crate) async fn open(config: &Config) -> Result<Self> {
        let folder = config.storage.existing()?;
        let address = from_here(config.http.listen);
        let base = format!("http://{address}");
        Ok(Self {
            base: Url::parse(&base).context("the address of the server")?,
            address: address.ip(),
            client: client(address.ip(), REQUEST_TIME_MAX),
            keyring: OpenVault::of(config, &folder).await?.keyring(&folder).await?,
            lifetime: Duration::from_secs(config.tokens.lifetime_seconds),
            member: None,
        })
    }

    /// The same server, which may take as long as it needs to read all of the log.
    pub(crate) fn patient(self) -> Self {
        Self { client: client(self.address, REBUILD_TIME_MAX), ..self }
    }

    /// The same, which asks for `member` if there is one.
    #[must_use]
    pub(crate) fn on_behalf_of(self, member: Option<ActorId>) -> Self {
        Self { member, ..self }
    }

    /// A token in `tenant` for whom this asks: the operator of this data folder, or a member.
    ///
    /// # Errors
    ///
    /// If the issuer cannot sign.
    pub(crate) async fn token(
        &self,
        tenant: TenantId,
        lifetime: Option<Duration>,
    ) -> Result<String> {
        let actor = match self.member {
            Some(member) => member,
            None => actor(&self.keyring).await?,
        };
        let lifetime = lifetime.unwrap_or(self.lifetime);
        Ok(query_api::auth::mint(self.keyring.issuer(), tenant, actor, lifetime)?)
    }

    /// The tenant that goes by this slug or `ten_…` id.
    ///
    /// # Errors
    ///
    /// If there is none, or the server does not answer.
    pub(crate) async fn tenant(&self, name: &str) -> Result<TenantId> {
        if let Ok(id) = name.parse() {
            return Ok(id);
        }
        let found = self.tenants(Some(name)).await?;
        let tenant = found.into_iter().next();
        let unknown = || Failure::Usage(format!("there is no tenant `{name}`"));
        Ok(tenant.ok_or_else(unknown)?.tenant_id)
    }

    /// The directory, or the tenant with this slug.
    ///
    /// # Errors
    ///
    /// If the server does not answer.
    pub(crate) async fn tenants(&self, slug: Option<&str>) -> Result<Vec<TenantEntry>> {
        let query = "query($slug: String, $after: String) {
            page: tenants(slug: $slug, first: 100, after: $after) {
                nodes { tenantId slug name standing { status } }
                pageInfo { hasNextPage endCursor }
            }
        }";
        self.all(TenantId::SYSTEM, query, json!({"slug": slug})).await
    }

    /// All nodes of the list that `query` calls `page` and asks for after `$after`, for `tenant`.
    ///
    /// # Errors
    ///
    /// If the server does not answer, refuses, or answers with errors.
    pub(crate) async fn all<T: DeserializeOwned>(
        &self,
        tenant: TenantId,
        query: &str,
        mut variables: Value,
    ) -> Result<Vec<T>> {
        let mut all = Vec::new();
        loop {
            let Page { page } = self.graphql(tenant, query, variables.clone()).await?;
            all.extend(page.nodes);
            if !page.page_info.has_next_page {
                return Ok(all);
            }
            variables["after"] = page.page_info.end_cursor.into();
        }
    }

    /// Asks for the change that `query` calls `answer`, for `tenant`, and says what came of it.
    ///
    /// # Errors
    ///
    /// If the server does not answer, refuses, answers with errors, or rejects the change.
    pub(crate) async fn change(
        &self,
        tenant: TenantId,
        query: &str,
        variables: Value,
    ) -> Result<Value> {
        let mut data: Value = self.graphql(tenant, query, variables).await?;
        let answer = data["answer"].take();
        match answer["userErrors"][0]["message"].as_str() {
            Some(message) => Err(Failure::Rejected(message.to_owned()).into()),
            None => Ok(answer),
        }
    }

    /// Asks the GraphQL door, for `tenant`.
    ///
    /// # Errors
    ///
    /// If the server does not answer, refuses, or answers with errors.
    pub(crate) async fn graphql<T: DeserializeOwned>(
        &self,
        tenant: TenantId,
        query: &str,
        variables: Value,
    ) -> Result<T> {
        let answer = self.ask(tenant, self.question(query, &variables)?).await?;
        if let Some(error) = answer.errors.first() {
            return Err(refusal(&error.message, error.code()));
        }
        let data = answer.data.context("the server answered nothing")?;
        Ok(serde_json::from_value(data)?)
    }

    /// Waits until the catalog shows what was written at `position`; why it does not, if it does
    /// not.
    ///
    /// # Errors
    ///
    /// If the server does not answer, or refuses.
    pub(crate) async fn shows(&self, tenant: TenantId, position: &str) -> Result<Option<String>> {
        let began = Instant::now();
        let query = "{ entities(first: 1) { pageInfo { hasNextPage } } }";
        loop {
            let question = self.question(query, &Value::Null)?;
            let question = question.with_header(POSITION_HEADER, position);
            let answer = self.ask(tenant, question).await?;
            let Some(error) = answer.errors.first() else { return Ok(None) };
            if error.code() != Some("NOT_YET_VISIBLE") {
                return Err(refusal(&error.message, error.code()));
            }
            if error.extensions["parked"] == true || began.elapsed() > VISIBLE_TIME_MAX {
                return Ok(Some(error.message.clone()));
            }
            tokio::time::sleep(VISIBLE_AGAIN).await;
        }
    }

    fn question(&self, query: &str, variables: &Value) -> Result<Request> {
        let body = serde_json::to_vec(&json!({"query": query, "variables": variables}))?;
        Ok(Request::post(self.base.join("/graphql")?, "application/json", body))
    }

    async fn ask(&self, tenant: TenantId, question: Request) -> Result<GraphqlAnswer> {
        let response = self.send(tenant, question).await?;
        if let Some(problem) = problem(&response) {
            return Err(problem);
        }
        serde_json::from_slice(&response.body).context("the server answered no GraphQL")
    }

    /// Sends a request to another door, for `tenant`, and reads its JSON.
    ///
    /// # Errors
    ///
    /// If the server does not answer, or refuses.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        tenant: TenantId,
        request: Request,
    ) -> Result<T> {
        let response = self.send(tenant, request).await?;
        if response.status >= 400 {
            let status = response.status;
            let none = || refusal(&format!("the server answered {status}"), None);
            return Err(problem(&response).unwrap_or_else(none));
        }
        Ok(serde_json::from_slice(&response.body)?)
    }

    /// Opens an endless answer, for `tenant`.
    ///
    /// # Errors
    ///
    /// If the server does not answer, or refuses.
    pub(crate) async fn stream(
        &self,
        tenant: TenantId,
        request: Request,
    ) -> Result<StreamedResponse> {
        let token = self.token(tenant, None).await?;
        let request = request.with_header("authorization", &format!("Bearer {token}"));
        let answer = self.client.stream(request).await.map_err(|it| self.unreachable(&it))?;
        match answer.status {
            200 => Ok(answer),
            status => {
                let none = || refusal(&format!("the server answered {status}"), None);
                Err(problem(&gathered(answer).await).unwrap_or_else(none))
            }
        }
    }

    /// The address of a door.
    ///
    /// # Errors
    ///
    /// If `path` is not one.
    pub(crate) fn url(&self, path: &str) -> Result<Url> {
        Ok(self.base.join(path)?)
    }

    async fn send(&self, tenant: TenantId, request: Request) -> Result<Response> {
        let token = self.token(tenant, None).await?;
        let request = request.with_header("authorization", &format!("Bearer {token}"));
        self.client.send(request).await.map_err(|it| self.unreachable(&it))
    }

    fn unreachable(&self, error: &outbound::OutboundError) -> anyhow::Error {
        let message = format!("no server answers at {} ({error}); start `callboard up`", self.base);
        Failure::Unreachable(message).into()
    }
}

/// Who asks a server at `address` for answers that take no longer than `time`.
fn client(address: IpAddr, time: Duration) -> Client {
    let limits = Limits { time, body_bytes: ANSWER_BYTES_MAX, redirects: 0 };
    Client::new(Reach::Exactly(address), limits)
}

/// How a server that listens at `listen` is reached from its own machine: one that listens
/// everywhere listens on loopback too.
fn from_here(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => (Ipv4Addr::LOCALHOST, listen.port()).into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => (Ipv6Addr::LOCALHOST, listen.port()).into(),
        _ => listen,
    }
}

/// The beginning of an answer that is no stream after all.
async fn gathered(answer: StreamedResponse) -> Response {
    let StreamedResponse { status, mut body } = answer;
    let mut bytes = Vec::new();
    while let Some(Ok(piece)) = body.next().await
        && bytes.len() < PROBLEM_BYTES_MAX
    {
        bytes.extend_from_slice(&piece);
    }
    Response { status, content_type: None, retry_after: None, body: bytes.into() }
}

/// The problem document that a door has answered with, before or instead of what was asked of it.
fn problem(response: &Response) -> Option<anyhow::Error> {
    let said: Value = serde_json::from_slice(&response.body).ok()?;
    let detail = said["detail"].as_str().filter(|_| response.status >= 400)?;
    Some(refusal(detail, said["code"].as_str()))
}

fn refusal(message: &str, code: Option<&str>) -> anyhow::Error {
    match code {
        Some("FORBIDDEN" | "UNAUTHENTICATED") => Failure::Refused(message.to_owned()).into(),
        Some("BAD_USER_INPUT") => Failure::Usage(message.to_owned()).into(),
        Some("UNAVAILABLE" | "TIMED_OUT" | "BUSY") => {
            Failure::Unreachable(message.to_owned()).into()
        }
        Some(code @ ("INTERNAL" | "OUTCOME_UNKNOWN")) => anyhow!("{message} ({code})"),
        Some(code) => Failure::Rejected(format!("{message} ({code})")).into(),
        None => anyhow!("{message}"),
    }
}

/// Who the command line acts as.
///
/// # Errors
///
/// If the keys cannot be read, or if the system tenant has none.
pub(crate) async fn actor(keyring: &Keyring) -> Result<ActorId> {
    query_api::accounts::console(keyring).await.map_err(|error| match error {
        KeyringError::Missing(_) => anyhow::Error::new(error).context(
            "the system tenant has no key: the first start of an installation makes it; if there was \
             one, put it back into the vault from a backup",
        ),
        error => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vault::{MemoryVault, Root};

    use super::*;
    use crate::failure::exit_code;

    #[tokio::test]
    async fn the_command_line_makes_no_key() {
        let root = Root::from_bytes(&[7; 32].into());
        let keyring = Keyring::open(Arc::new(MemoryVault::default()), root).await.unwrap();
        let told = format!("{:#}", actor(&keyring).await.unwrap_err());
        assert!(told.contains("put it back into the vault"), "{told}");
        let key = keyring.existing(TenantId::SYSTEM).await;
        assert!(matches!(key, Err(KeyringError::Missing(_))), "{key:?}");
    }

    #[test]
    fn a_server_that_listens_everywhere_is_reached_on_loopback() {
        let reached = |text: &str| from_here(text.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:7420"), "127.0.0.1:7420");
        assert_eq!(reached("[::]:7420"), "[::1]:7420");
        assert_eq!(reached("127.0.0.1:7420"), "127.0.0.1:7420");
        assert_eq!(reached("10.0.0.1:7420"), "10.0.0.1:7420");
    }

    #[test]
    fn whoever_may_ask_again_is_told_so_whatever_door_has_given_up() {
        for (status, code, ends_with) in [
            (503, "UNAVAILABLE", 4),
            (503, "BUSY", 4),
            (504, "TIMED_OUT", 4),
            (504, "OUTCOME_UNKNOWN", 1),
            (403, "FORBIDDEN", 5),
            (400, "BAD_USER_INPUT", 2),
            (409, "REVISION_CONFLICT", 3),
        ] {
            let body = json!({"code": code, "detail": "as the door says"}).to_string().into();
            let (content_type, retry_after) = (None, None);
            let said = problem(&Response { status, content_type, retry_after, body }).unwrap();
            assert_eq!(exit_code(&said), ends_with, "{code}");
            assert!(said.to_string().contains("as the door says"), "{said}");
        }
    }
}
