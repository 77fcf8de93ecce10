//! What other processes may ask, and what they cannot.

mod alone;
mod asserted;
mod authority;
mod bounds;
mod processes;
mod versions;

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use bytes::Bytes;
use commands::request::Repetition;
use commands::{Cause, CommandError, IdempotencyKey, Outcome, Request};
use domain::id::{ActorId, TenantId};
use domain::operation::Operation;
use event_log::{Partition, Position};
use outbound::{Limits, PeerClient, PeerError, Response};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::authority::Authority;
use super::{COMMANDS, Carried, NotCarried, PeerListener, REACTIONS};
use crate::auth::Credential;
use crate::testing::{Member, SOON, Site};
use crate::{Connections, Doors, Settings, auth};

/// The body of the largest request that fits.
const BODY_BYTES_MAX: usize = 4_096;

/// The door between processes of a site.
struct Door {
    site: Site,
    authority: Authority,
    address: String,
    peer: PeerClient,
    /// What is behind the door, without the way there.
    router: Router,
}

fn client(identity: &outbound::PeerIdentity) -> PeerClient {
    PeerClient::new(identity, Limits { time: SOON, ..Limits::default() }).unwrap()
}

/// Carries a request as the real carrier does.
async fn carried(
    client: &PeerClient,
    address: &str,
    path: &str,
    credential: Option<&Credential>,
    body: Bytes,
) -> Result<Carried, NotCarried> {
    match client.post(address, path, credential.map(Credential::authorization), body).await {
        Ok(answer) => Ok(Carried { status: answer.status, body: answer.body }),
        Err(error @ PeerError::NotSent { .. }) => Err(NotCarried::NotSent(error.to_string())),
        Err(error @ PeerError::NoAnswer { .. }) => Err(NotCarried::NoAnswer(error.to_string())),
    }
}

impl Door {
    async fn open() -> Self {
        let (site, authority) = (Site::start().await, Authority::new());
        let identity = authority.identity("127.0.0.1");
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = PeerListener::bind(any, authority::shown(&identity)).await.unwrap();
        let address = listener.address().to_string();
        let settings = Settings { body_bytes_max: BODY_BYTES_MAX, ..site.settings() };
        let router = Doors::between_processes(site.context.clone(), &settings);
        let forever = CancellationToken::new();
        tokio::spawn(Doors::serve(listener, router.clone(), Connections::of_peers(), forever));
        Self { peer: client(&identity), site, authority, address, router }
    }

    async fn send(&self, path: &str, token: Option<&str>, body: &Value) -> Response {
        let authorization = token.map(|it| format!("Bearer {it}"));
        let body = body.to_string().into();
        self.peer.post(&self.address, path, authorization.as_deref(), body).await.unwrap()
    }

    /// What is decided when `who` asks for something through another process.
    async fn decided(&self, who: &Member, request: &Request) -> Result<Outcome, CommandError> {
        let body = serde_json::to_value(request).unwrap();
        let answer = self.send(COMMANDS, Some(&who.token), &body).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).unwrap()
    }

    async fn name_of(&self, who: &Member, position: Position) -> Value {
        let models = self.site.context.projections().models();
        models.wait_for_followers(Partition(0), position, SOON).await;
        self.site.data(who, "{ tenant { name } }", json!({})).await["tenant"]["name"].clone()
    }
}

fn rename(name: &str) -> Request {
    Request::new(Operation::RenameTenant { name: name.parse().unwrap() })
}

/// The status and code of a refusal.
fn refused(answer: &Response) -> (u16, String) {
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    (answer.status, problem["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_change_is_decided_for_whoever_the_credential_says() {
    let door = Door::open().await;
    let (a, b) = (&door.site.a, &door.site.b);
    let key: IdempotencyKey = "once".parse().unwrap();
    let keyed = Request { idempotency_key: Some(key), ..rename("Alpha & Co") };
    let first = door.decided(a, &keyed).await.unwrap();
    assert_eq!((first.events.len(), first.repetition), (1, Repetition::First));
    let again = door.decided(a, &keyed).await.unwrap();
    assert_eq!((again.command, again.repetition), (first.command, Repetition::Remembered));
    assert_eq!(door.name_of(a, first.position).await, "Alpha & Co");
    assert_eq!(door.name_of(b, first.position).await, "bravo");
    // What the rules forbid comes back as it is said here.
    let denied = Operation::ReactivateTenant { tenant: b.tenant };
    let denied = door.decided(a, &Request::new(denied)).await.unwrap_err();
    assert!(matches!(denied, CommandError::Denied(_)), "{denied:?}");
}

#[tokio::test]
async fn nobody_is_somebody_by_saying_so() {
    let door = Door::open().await;
    let (a, b) = (&door.site.a, &door.site.b);
    let body = serde_json::to_value(rename("Taken")).unwrap();
    assert_eq!(refused(&door.send(COMMANDS, None, &body).await), (401, "UNAUTHENTICATED".into()));
    let other = Site::start().await;
    // The same tenant by name of another installation's issuer.
    let hour = Duration::from_secs(3_600);
    let stranger = vault::Keyring::open(
        std::sync::Arc::new(vault::MemoryVault::default()),
        vault::Root::from_hex(&"08".repeat(32), "the test").unwrap(),
    );
    let stranger = stranger.await.unwrap();
    let forged = auth::mint(stranger.issuer(), b.tenant, ActorId::SYSTEM, hour).unwrap();
    let cut = &a.token[..a.token.len() - 2];
    for token in [&*forged, cut, "", &other.a.token] {
        let answer = door.send(COMMANDS, Some(token), &body).await;
        assert_eq!(refused(&answer), (401, "UNAUTHENTICATED".into()), "{token}");
    }
    // A body that names somebody else means nothing.
    let mut asserted = body.clone();
    asserted["principal"] = json!({"tenant": b.tenant.to_string(), "actor": "usr_0"});
    asserted["tenant"] = json!(b.tenant.to_string());
    let answer = door.send(COMMANDS, Some(&a.token), &asserted).await;
    let decided: Result<Outcome, CommandError> = serde_json::from_slice(&answer.body).unwrap();
    let position = decided.unwrap().position;
    assert_eq!(door.name_of(b, position).await, "bravo");
    // Positive control: it did mean the credential's tenant.
    assert_eq!(door.name_of(a, position).await, "Taken");
}

#[tokio::test]
async fn only_processes_with_a_certificate_of_the_authority_are_heard() {
    let door = Door::open().await;
    let body = serde_json::to_vec(&rename("Alpha")).unwrap();
    let authorization = format!("Bearer {}", door.site.a.token);
    let asks = async |peer: &PeerClient| {
        peer.post(&door.address, COMMANDS, Some(&authorization), body.clone().into()).await
    };
    let mut stranger = Authority::new().identity("127.0.0.1");
    stranger.authorities = door.authority.pem();
    let error = asks(&client(&stranger)).await.unwrap_err();
    assert!(matches!(error, PeerError::NoAnswer { .. }), "{error:?}");
    let url = format!("https://{}{COMMANDS}", door.address).parse().unwrap();
    let bare = outbound::Client::new(outbound::Reach::Loopback, Limits::default());
    bare.send(outbound::Request::get(url)).await.unwrap_err();
    let plain = format!("http://{}{COMMANDS}", door.address).parse().unwrap();
    bare.send(outbound::Request::get(plain)).await.unwrap_err();
    // Positive control: another process of the same authority is.
    let answer = asks(&client(&door.authority.identity("node-2"))).await.unwrap();
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn what_follows_from_an_event_is_read_and_not_believed() {
    let door = Door::open().await;
    let end = door.site.log.end(Partition(0)).await.unwrap();
    let asked = |position: u64, target: TenantId| json!({"source": 0, "position": position, "target": target.to_string()});
    // The whole log, for a tenant of whom nothing more follows, and a place where nothing is.
    for position in 0..end.0 {
        let answer = door.send(REACTIONS, None, &asked(position, door.site.a.tenant)).await;
        let decided: Result<(), CommandError> = serde_json::from_slice(&answer.body).unwrap();
        decided.unwrap();
    }
    let answer = door.send(REACTIONS, None, &asked(end.0 + 7, door.site.a.tenant)).await;
    let decided: Result<(), CommandError> = serde_json::from_slice(&answer.body).unwrap();
    assert!(matches!(decided, Err(CommandError::Unavailable(_))), "{decided:?}");
    assert_eq!(door.site.log.end(Partition(0)).await.unwrap(), end, "nothing follows twice");
    let cause = Cause { source: Partition(0), position: Position(0), target: door.site.a.tenant };
    door.site.commands.react_to(cause).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_read_or_is_too_large_is_refused_for_what_it_is() {
    let door = Door::open().await;
    let token = Some(&*door.site.a.token);
    let newer = json!({"operation": {"splitTenant": {}}, "expected": "any", "mode": "commit"});
    let answer = door.send(COMMANDS, token, &newer).await;
    assert_eq!(refused(&answer), (400, "NOT_UNDERSTOOD".into()));
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("unknown variant `splitTenant`"), "{text}");
    let sized = |bytes: usize| {
        let mut body = serde_json::to_value(rename("Alpha")).unwrap();
        body["ignored"] = "x".repeat(bytes).into();
        body
    };
    assert_eq!(door.send(COMMANDS, token, &sized(2 * BODY_BYTES_MAX)).await.status, 200);
    let too_large = door.send(COMMANDS, token, &sized(2 * BODY_BYTES_MAX + 70_000)).await;
    assert_eq!(too_large.status, StatusCode::PAYLOAD_TOO_LARGE);
    let too_large = door.send(REACTIONS, None, &sized(1_100)).await;
    assert_eq!(too_large.status, StatusCode::PAYLOAD_TOO_LARGE);
    // Nothing else is behind this door.
    assert_eq!(
        door.send("/graphql", token, &json!({"query": "{ tenant { name } }"})).await.status,
        404
    );
}
