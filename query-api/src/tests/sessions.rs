//! Sessions at the doors: a cookie that is good on its tenant's host, for pages of that host, until it
//! ends; and invites.

use axum::body::Body;
use axum::http::{self, HeaderValue, Method as Verb, StatusCode, header};
use axum::response::Response;
use domain::id::{ActorId, TenantId};
use domain::member::{Lifetime, Method};
use futures::StreamExt;
use outbound::Request;
use projections::temporary::Kind;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

use super::live::{Socket, receive, send};
use super::roles::member;
use crate::auth::{self, Secret};
use crate::testing::{Member, Site, doors, on_each_kind, soon};
use commands::SecretOf;

const OUT: &str = "mutation($input: SignOutInput) {
    signOut(input: $input) { userErrors { code path } outcome { position events { type } } }
}";

pub(super) const INVITE: &str = "mutation($input: InviteMemberInput!, $options: CommandOptions) {
    inviteMember(input: $input, options: $options) {
        invite { text expiresAt } userErrors { code message path } outcome { position }
    }
}";

/// Somebody's own id.
pub(super) async fn actor(site: &Site, who: &Member) -> ActorId {
    let viewer = site.data(who, "{ viewer { actor } }", json!({})).await;
    viewer["viewer"]["actor"].as_str().unwrap().parse().unwrap()
}

/// A session as it is asked for by who knows a password.
fn asking(lifetime: Lifetime) -> auth::Asking {
    let methods = [Method::Pwd].into();
    auth::Asking {
        methods,
        proved_s_ago: Some(0),
        lifetime,
        others: auth::Others::Stay,
        term: None,
    }
}

/// The same person in a new session.
pub(super) async fn signed_in(site: &Site, who: &Member) -> Member {
    let actor = actor(site, who).await;
    let asking = asking(Lifetime::SESSION_MAX);
    let signed_in = auth::sign_in(&site.context, who.tenant, actor, asking).await;
    let cookie = signed_in.unwrap().cookie;
    let text = cookie.to_str().unwrap().split([';', '=']).nth(1).unwrap();
    Member { tenant: who.tenant, token: text.to_owned() }
}

async fn status(site: &Site, who: &Member) -> u16 {
    site.get(who, "/api/v1/events").await.status
}

/// A WebSocket whose handshake has these headers.
async fn handshake(site: &Site, headers: &[(&'static str, String)]) -> Result<Socket, u16> {
    let mut request = format!("ws://{}/graphql", site.address).into_client_request().unwrap();
    let protocol = HeaderValue::from_static("graphql-transport-ws");
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match soon(tokio_tungstenite::connect_async(request)).await {
        Ok((socket, _)) => Ok(socket),
        Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

fn of_page(who: &Member, origin: &str) -> Vec<(&'static str, String)> {
    let cookie = format!("__Host-callboard={}", who.token);
    vec![("host", "alpha.localhost".to_owned()), ("origin", origin.to_owned()), ("cookie", cookie)]
}

async fn sessions(site: &Site, who: &Member) -> Vec<Value> {
    let document = "{ viewer { sessions { sessionId methods since until } } }";
    let mut viewer = site.data(who, document, json!({})).await;
    match viewer["viewer"]["sessions"].take() {
        Value::Array(sessions) => sessions,
        other => panic!("{other}"),
    }
}

on_each_kind! {
    a_session_is_a_credential_at_every_door_until_it_is_ended
    sessions_are_ended_by_their_member_and_by_who_manages_members
    an_invite_is_shown_once_and_to_whoever_made_it_out
}

async fn a_session_is_a_credential_at_every_door_until_it_is_ended(on: Kind) {
    let site = Site::start_on(on).await;
    let (here, there) = (signed_in(&site, &site.a).await, signed_in(&site, &site.a).await);
    assert_eq!(actor(&site, &here).await, actor(&site, &site.a).await);
    let known = sessions(&site, &here).await;
    assert_eq!((known.len(), &known[0]["methods"]), (2, &json!(["pwd"])));
    assert_eq!(status(&site, &here).await, 200);

    let request = Request::get(site.url("/api/v1/events?after=0"));
    let mut stream = site.stream(&here, request).await;
    let first = stream.next().await.expect("there is something to be read");
    let mut socket = handshake(&site, &of_page(&here, "http://alpha.localhost")).await.unwrap();
    send(&mut socket, json!({ "type": "connection_init" })).await;
    assert_eq!(receive(&mut socket).await["type"], "connection_ack");
    let ended = site.mutate(&here, OUT, json!({})).await;
    assert_eq!(ended["outcome"]["events"][0]["type"], "member.signed-out.v1", "{ended}");
    let rest = async {
        let mut last = first.id;
        while let Some(event) = stream.next().await {
            last = event.id.or(last);
        }
        last.expect("an event has a sequence")
    };
    let last = soon(rest).await;
    let closed = soon(socket.next()).await.unwrap().unwrap();
    assert!(matches!(closed, Message::Close(_)), "{closed:?}");
    assert_eq!((status(&site, &here).await, status(&site, &there).await), (401, 200));

    // After another sign-in the stream goes on where it was.
    let again = signed_in(&site, &site.a).await;
    let request = Request::get(site.url(&format!("/api/v1/events?after={last}")));
    let next = site.stream(&again, request).await.next().await.unwrap();
    assert_eq!(next.id, Some(last + 1));
}

/// Headers that a request has instead of the usual ones, or beside them.
type Change<'c> = &'c [(&'static str, &'c [&'c str])];

/// A request of a page of A's host, which these headers take the place of others in, or add to.
fn of_browser(who: &Member, verb: Verb, path: &str, change: Change<'_>) -> http::Request<Body> {
    let mut request = http::Request::builder().method(verb).uri(path);
    let cookie = format!("__Host-callboard={}", who.token);
    let usual = [
        ("host", "alpha.localhost:7420"),
        ("origin", "http://alpha.localhost:7420"),
        ("callboard-request", "1"),
        ("content-type", "application/json"),
        ("accept", "application/json"),
        ("cookie", &cookie),
    ];
    for (name, value) in usual.iter().filter(|it| !change.iter().any(|other| other.0 == it.0)) {
        request = request.header(*name, *value);
    }
    for (name, values) in change {
        request = values.iter().fold(request, |request, it| request.header(*name, *it));
    }
    let body = json!({ "query": "{ viewer { actor } }" }).to_string();
    request.body(Body::from(body)).unwrap()
}

async fn answer(site: &Site, request: http::Request<Body>) -> Response {
    let doors = doors(site.context.clone(), &CancellationToken::new());
    soon(doors.oneshot(request)).await.unwrap()
}

/// What was answered otherwise than expected, so that one run tells every guard that is missing.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    /// Asks at every kind of door what a browser may ask.
    async fn check(&mut self, site: &Site, who: &Member, change: Change<'_>, expected: u16) {
        let graphql = "/graphql?query=%7B%20viewer%20%7B%20actor%20%7D%20%7D";
        let stream = [change, &[("accept", &["text/event-stream"])]].concat();
        for (verb, path, change) in [
            (Verb::POST, "/graphql", change),
            (Verb::GET, graphql, change),
            (Verb::GET, graphql, &stream),
            (Verb::GET, "/api/v1/events?limit=1", change),
            (Verb::GET, "/api/v1/events", &stream),
        ] {
            let status = answer(site, of_browser(who, verb, path, change)).await.status().as_u16();
            if status != expected {
                self.0.push(format!("{status} at {path} {change:?}"));
            }
        }
    }
}

impl Drop for Wrong {
    fn drop(&mut self) {
        assert!(std::thread::panicking() || self.0.is_empty(), "{:#?}", self.0);
    }
}

#[tokio::test]
async fn a_cookie_is_good_for_pages_of_its_own_host_only() {
    let site = Site::start().await;
    let here = signed_in(&site, &site.a).await;
    let mut wrong = Wrong::default();
    wrong.check(&site, &here, &[], 200).await;
    let unsaid = [("origin", &[][..]), ("sec-fetch-site", &["same-origin"])];
    wrong.check(&site, &here, &unsaid, 200).await;
    let cross_origin: [Change<'_>; 9] = [
        // A form or an image of any site; another site, tenant, port and scheme; a page in a sandbox;
        // two origins, and none; a neighbour.
        &[("callboard-request", &[])],
        &[("origin", &["https://evil.example"])],
        &[("origin", &["http://bravo.localhost:7420"])],
        &[("origin", &["http://alpha.localhost:7421"])],
        &[("origin", &["https://alpha.localhost:7420"])],
        &[("origin", &["null"])],
        &[("origin", &["http://alpha.localhost:7420", "https://evil.example"])],
        &[("origin", &[])],
        &[("origin", &[]), ("sec-fetch-site", &["same-site"])],
    ];
    for change in cross_origin {
        wrong.check(&site, &here, change, 403).await;
    }
}

#[tokio::test]
async fn a_cookie_is_good_on_the_host_of_its_tenant_only() {
    let site = Site::start().await;
    let here = signed_in(&site, &site.a).await;
    let mut wrong = Wrong::default();
    for host in ["bravo.localhost", "nobody.localhost", "localhost", "127.0.0.1", "[::1]:80"] {
        let origin = format!("http://{host}");
        wrong.check(&site, &here, &[("host", &[host]), ("origin", &[&origin])], 400).await;
    }
    let own = [("host", &["portal.example.com"][..]), ("origin", &["https://portal.example.com"])];
    wrong.check(&site, &here, &own, 400).await;
    let add =
        "mutation($tenant: String!) { addHost(tenantId: $tenant, host: \"portal.example.com\") {
        userErrors { code } } }";
    site.mutate(&site.operator, add, json!({ "tenant": site.a.tenant.to_string() })).await;
    wrong.check(&site, &here, &own, 200).await;
    let twice = ["alpha.localhost:7420", "alpha.localhost:7420"];
    wrong.check(&site, &here, &[("host", &twice)], 400).await;
}

#[tokio::test]
async fn a_cookie_comes_once_and_alone() {
    let site = Site::start().await;
    let here = signed_in(&site, &site.a).await;
    let mut wrong = Wrong::default();
    let cookie = format!("__Host-callboard={}", here.token);
    wrong.check(&site, &here, &[("cookie", &[&cookie, &cookie])], 400).await;
    let joined = format!("theme=dark; {cookie}; __Host-callboard=");
    wrong.check(&site, &here, &[("cookie", &[&joined])], 400).await;
    let among_others = format!("theme=dark; {cookie}; other=__Host-callboard");
    wrong.check(&site, &here, &[("cookie", &[&among_others])], 200).await;
    let bearer = format!("Bearer {}", site.a.token);
    wrong.check(&site, &here, &[("authorization", &[&bearer])], 400).await;
}

#[tokio::test]
async fn only_the_text_of_a_session_that_has_begun_is_taken_for_one_and_only_in_the_cookie() {
    let site = Site::start().await;
    let here = signed_in(&site, &site.a).await;
    let mut wrong = Wrong::default();
    let bearer = format!("Bearer {}", here.token);
    wrong.check(&site, &here, &[("cookie", &[]), ("authorization", &[&bearer])], 401).await;
    let owner = actor(&site, &site.a).await;
    let draw = |of| Secret::draw(&site.keyring, of, site.a.tenant, owner);
    let [a, b] = [site.a.tenant, site.b.tenant].map(|it| it.0.as_simple().to_string());
    for text in [
        // Whoever has the root key still cannot choose one for somebody to sign in with.
        draw(SecretOf::Session),
        draw(SecretOf::Invite),
        draw(SecretOf::ApiKey),
        here.token.replace(&a, &b),
        here.token[..here.token.len() - 1].to_owned(),
        site.a.token.clone(),
        String::new(),
    ] {
        let cookie = format!("__Host-callboard={text}");
        wrong.check(&site, &here, &[("cookie", &[&cookie])], 401).await;
    }
    // What somebody had before they signed in is no session afterwards either.
    let fixed = Member { token: draw(SecretOf::Session), ..site.a.clone() };
    signed_in(&site, &site.a).await;
    wrong.check(&site, &fixed, &[], 401).await;
    wrong.check(&site, &here, &[], 200).await;
}

#[tokio::test]
async fn a_socket_with_a_cookie_is_opened_by_pages_of_its_own_host_and_stays_theirs() {
    let site = Site::start().await;
    let here = signed_in(&site, &site.a).await;
    for origin in ["https://evil.example", "http://bravo.localhost", "null"] {
        assert_eq!(handshake(&site, &of_page(&here, origin)).await.err(), Some(403), "{origin}");
    }
    let mut nameless = of_page(&here, "");
    nameless[1] = ("sec-fetch-site", "same-origin".to_owned());
    assert_eq!(handshake(&site, &nameless).await.err(), Some(403), "a handshake has an origin");

    let mut socket = handshake(&site, &of_page(&here, "http://alpha.localhost")).await.unwrap();
    let payload = json!({ "authorization": format!("Bearer {}", site.b.token) });
    send(&mut socket, json!({ "type": "connection_init", "payload": payload })).await;
    let closed = soon(socket.next()).await.unwrap().unwrap();
    let Message::Close(Some(frame)) = closed else { panic!("{closed:?}") };
    assert_eq!(u16::from(frame.code), 4403);

    // Nor does a session come in later.
    let mut socket = handshake(&site, &[]).await.unwrap();
    let payload = json!({ "authorization": format!("Bearer {}", here.token) });
    send(&mut socket, json!({ "type": "connection_init", "payload": payload })).await;
    let closed = soon(socket.next()).await.unwrap().unwrap();
    assert!(matches!(closed, Message::Close(Some(_))), "{closed:?}");
}

#[tokio::test]
async fn whoever_leaves_has_the_cookie_taken_back() {
    let site = Site::start().await;
    let here = signed_in(&site, &site.a).await;
    let leave = |change: Change<'_>| of_browser(&here, Verb::DELETE, "/api/v1/session", change);
    let forged = answer(&site, leave(&[("origin", &["https://evil.example"])])).await;
    assert_eq!(forged.status(), StatusCode::FORBIDDEN);
    assert_eq!(status(&site, &here).await, 200);
    let left = answer(&site, leave(&[])).await;
    assert_eq!(left.status(), StatusCode::NO_CONTENT);
    let cookie = left.headers()[header::SET_COOKIE].to_str().unwrap();
    let cleared = "__Host-callboard=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0";
    assert_eq!(cookie, cleared);
    assert_eq!(status(&site, &here).await, 401);
    let bearer = format!("Bearer {}", site.a.token);
    let token = [("cookie", &[][..]), ("authorization", &[bearer.as_str()])];
    assert_eq!(answer(&site, leave(&token)).await.status(), StatusCode::BAD_REQUEST);
}

async fn sessions_are_ended_by_their_member_and_by_who_manages_members(on: Kind) {
    let site = Site::start_on(on).await;
    let (ada, hers) = member(&site, &["developer"]).await;
    let (here, there) = (signed_in(&site, &hers).await, signed_in(&site, &hers).await);
    let known = sessions(&site, &here).await;
    let out = async |who: &Member, input: Value| {
        let mut data = site.data(who, OUT, json!({ "input": input })).await;
        data["signOut"].take()
    };
    let nothing = out(&site.a, json!({})).await;
    assert_eq!(nothing["userErrors"][0]["path"], "input.sessionId", "{nothing}");
    let foreign = out(&site.b, json!({ "memberId": ada, "everywhere": true })).await;
    assert_eq!(foreign["userErrors"][0]["code"], "MEMBER_NOT_FOUND", "{foreign}");
    let first = out(&there, json!({ "sessionId": known[0]["sessionId"] })).await;
    assert_eq!(first["userErrors"], json!([]));
    assert_eq!((status_of(&site, &here).await, status_of(&site, &there).await), (401, 200));

    let last = out(&site.a, json!({ "memberId": ada, "everywhere": true })).await;
    assert_eq!(status_of(&site, &there).await, 401);
    let document = "{ members(first: 10) { nodes { memberId sessions { sessionId } } } }";
    let position = last["outcome"]["position"].as_str().unwrap();
    let seen = site.seen(&site.a, position, document).await;
    let nodes = seen["members"]["nodes"].as_array().unwrap();
    let hers = nodes.iter().find(|it| it["memberId"] == json!(ada)).unwrap();
    assert_eq!(hers["sessions"], json!([]));
}

async fn status_of(site: &Site, who: &Member) -> u16 {
    site.get(who, "/graphql?query=%7Bviewer%7Bactor%7D%7D").await.status
}

#[tokio::test]
async fn a_session_ends_by_itself() {
    let site = Site::start().await;
    let ada = actor(&site, &site.a).await;
    let asking = asking(Lifetime::seconds(2));
    let brief = auth::sign_in(&site.context, site.a.tenant, ada, asking).await.unwrap();
    let text = brief.cookie.to_str().unwrap().split([';', '=']).nth(1).unwrap();
    let brief = Member { token: text.to_owned(), ..site.a.clone() };
    // On a busy machine it may have ended before.
    let mut stream = site.stream(&brief, Request::get(site.url("/api/v1/events?after=0"))).await;
    soon(async { while stream.next().await.is_some() {} }).await;
    assert_eq!(status(&site, &brief).await, 401);
}

#[tokio::test]
async fn the_host_names_the_tenant_of_every_credential_that_it_names_a_tenant_for() {
    let site = Site::start().await;
    let bearer = format!("Bearer {}", site.a.token);
    let at = |host: &'static str| {
        of_browser(
            &site.a,
            Verb::GET,
            "/api/v1/events?limit=1",
            &[("cookie", &[]), ("authorization", &[&bearer]), ("host", &[host])],
        )
    };
    for (host, expected) in [
        ("alpha.localhost", 200),
        ("ALPHA.localhost:80", 200),
        ("localhost:7420", 200),
        ("127.0.0.1:7420", 200),
        ("callboard.internal", 200),
        ("bravo.localhost", 400),
        ("nobody.localhost", 400),
        ("deep.alpha.localhost", 400),
    ] {
        assert_eq!(answer(&site, at(host)).await.status().as_u16(), expected, "{host}");
    }
}

async fn an_invite_is_shown_once_and_to_whoever_made_it_out(on: Kind) {
    let site = Site::start_on(on).await;
    let (ada, hers) = member(&site, &["developer"]).await;
    let options = json!({ "idempotencyKey": "once" });
    let input = json!({ "memberId": ada });
    let variables = json!({ "input": input, "options": options });
    let first = site.mutate(&site.a, INVITE, variables.clone()).await;
    let again = site.mutate(&site.a, INVITE, variables).await;
    let text = first["invite"]["text"].as_str().expect("it is shown").to_owned();
    assert_eq!(again["invite"]["text"], Value::Null);
    assert_eq!(again["invite"]["expiresAt"], first["invite"]["expiresAt"]);
    let preview = json!({ "input": input, "options": { "preview": true } });
    assert_eq!(site.mutate(&site.a, INVITE, preview).await["invite"]["text"], Value::Null);

    let made = Secret::read(&site.keyring, SecretOf::Invite, &text).expect("it is ours");
    assert_eq!((made.tenant, made.actor.to_string()), (site.a.tenant, ada.to_string()));
    let is_invited = async |tenant: TenantId, actor, text: &str| {
        site.commands.invited(tenant, actor, text).await.unwrap().is_some()
    };
    assert!(is_invited(made.tenant, made.actor, &text).await);
    let forged = Secret::draw(&site.keyring, SecretOf::Invite, made.tenant, made.actor);
    assert!(!is_invited(made.tenant, made.actor, &forged).await);
    let renewed = site.mutate(&site.a, INVITE, json!({ "input": input })).await;
    assert!(!is_invited(made.tenant, made.actor, &text).await, "there is another one");

    // Nothing that is recorded or can be read holds it, and it opens no door.
    let document =
        "{ members(first: 10) { nodes { memberId } } audit(first: 10) { nodes { body } } }";
    let position = renewed["outcome"]["position"].as_str().unwrap();
    let seen = site.seen(&site.a, position, document).await.to_string();
    assert!(seen.contains("secret") && !seen.contains(&text[40..]), "{seen}");
    let bearer = Member { token: text, ..hers.clone() };
    assert_eq!(site.get(&bearer, "/graphql?query=%7Bviewer%7Bactor%7D%7D").await.status, 401);

    let too_long = json!({ "input": { "memberId": ada, "hours": 169 } });
    let refused = site.data(&site.a, INVITE, too_long).await;
    assert_eq!(refused["inviteMember"]["userErrors"][0]["path"], "lifetime", "{refused}");
    let denied = site.graphql(&hers, INVITE, json!({ "input": input })).await;
    assert_eq!(denied["errors"][0]["extensions"]["code"], "FORBIDDEN");
    let stranger = json!({ "input": { "memberId": ActorId(Uuid::now_v7()).to_string() } });
    let unknown = site.data(&site.a, INVITE, stranger).await;
    assert_eq!(unknown["inviteMember"]["userErrors"][0]["code"], "MEMBER_NOT_FOUND");
}
