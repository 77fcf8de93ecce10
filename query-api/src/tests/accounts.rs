//! Signing in with a password at the doors, accepting invites, and the first account of all.

use std::collections::HashMap;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{self, Method as Verb};
use domain::id::{ActorId, TenantId};
use domain::member::Term;
use projections::temporary::Kind;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

use super::roles::{REMOVE, member};
use super::sessions::INVITE;
use crate::accounts::{Accounts, Grant, LoginName, Once, console, forget_former, offer_setup};
use crate::doors::ClientAddress;
use crate::testing::{Member, Site, doors, on_each_kind, soon};

pub(super) const PASSWORD: &str = "correct zebra window asterisk";
const OTHER: &str = "uvlhqktmrozc";

/// Gives a member an account.
pub(super) async fn account(site: &Site, tenant: TenantId, member: ActorId, login: &str) {
    let accounts = Accounts::new(site.keyring.clone(), std::sync::Arc::new(commands::SystemClock));
    let login = LoginName::new(login).unwrap();
    let hashed = accounts.hash(tenant, login, PASSWORD.into(), Vec::new(), ClientAddress(None));
    let hashed = hashed.await.unwrap();
    let text = Uuid::now_v7().to_string();
    let once = Once::Invite(&text, chrono::Utc::now());
    let grant = Grant { tenant, member, term: Term(1), once };
    accounts.set(&grant, &hashed, |_, _| true).await.unwrap();
}

/// What a browser is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// All but the one that tells it from other answers.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn code(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Who has the session that was begun.
    pub(super) fn session(&self, tenant: TenantId) -> Member {
        assert_eq!(self.status, 204, "{self:?}");
        let cookie = self.headers.iter().find(|it| it.0 == "set-cookie").expect("there is one");
        for said in ["Secure", "HttpOnly", "SameSite=", "Path=/"] {
            assert!(cookie.1.contains(said), "{cookie:?}");
        }
        let text = cookie.1.split([';', '=']).nth(1).unwrap();
        Member { tenant, token: text.to_owned() }
    }
}

/// The doors, as browsers on one machine see them.
pub(super) struct Browser(Router);

impl Browser {
    pub(super) fn of(site: &Site) -> Self {
        Self(doors(site.context.clone(), &CancellationToken::new()))
    }

    pub(super) async fn send(&self, request: http::Request<Body>) -> Answer {
        let response = soon(self.0.clone().oneshot(request)).await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers = headers.map(|it| (it.0.to_string(), it.1.to_str().unwrap().to_owned()));
        let headers = headers.filter(|it| it.0 != "x-request-id").collect();
        let body = to_bytes(response.into_body(), 64 * 1024).await.unwrap();
        Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// A page of this host says this there.
    pub(super) async fn say(&self, host: &str, path: &str, body: &Value) -> Answer {
        self.send(page(Verb::POST, host, path, body.to_string()).body()).await
    }

    pub(super) async fn sign_in(&self, host: &str, login: &str, password: &str) -> Answer {
        let body = json!({ "login": login, "password": password });
        self.say(host, "/api/v1/sign-in", &body).await
    }
}

/// A request in the making.
pub(super) struct Page(http::request::Builder, String);

pub(super) fn page(verb: Verb, host: &str, path: &str, body: String) -> Page {
    let request = http::Request::builder().method(verb).uri(path);
    let scheme = if host.contains("localhost") { "http" } else { "https" };
    let request = request.header("host", host).header("origin", format!("{scheme}://{host}"));
    let request = request.extension(ClientAddress::of("192.0.2.7".parse().unwrap()));
    Page(request.header("content-type", "application/json"), body)
}

impl Page {
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        let headers = self.0.headers_mut().unwrap();
        headers.insert(name, value.parse().unwrap());
        self
    }

    fn without(mut self, name: &'static str) -> Self {
        self.0.headers_mut().unwrap().remove(name);
        self
    }

    pub(super) fn body(self) -> http::Request<Body> {
        self.0.body(Body::from(self.1)).unwrap()
    }
}

pub(super) async fn is_in(site: &Site, who: &Member) -> bool {
    site.get(who, "/graphql?query=%7Bviewer%7Bactor%7D%7D").await.status == 200
}

on_each_kind! {
    a_password_is_good_for_a_session_at_its_tenants_host
    whoever_is_not_let_in_does_not_learn_why
    an_invite_is_accepted_once_and_where_it_is_for
    a_password_is_changed_in_a_session_by_who_knows_it
    the_first_operator_is_made_by_whoever_has_the_setup_token
    what_a_former_member_signed_in_with_is_forgotten
    a_browser_has_one_session_of_a_host_and_forgets_what_it_leaves
}

async fn a_password_is_good_for_a_session_at_its_tenants_host(on: Kind) {
    let site = Site::start_on(on).await;
    let ((ada, _), browser) = (member(&site, &["developer"]).await, Browser::of(&site));
    account(&site, site.a.tenant, ada, "ada").await;
    let answer = browser.sign_in("alpha.localhost", "Ada", PASSWORD).await;
    let session = answer.session(site.a.tenant);
    assert!(answer.headers.contains(&("cache-control".to_owned(), "no-store".to_owned())));
    let viewer = site.data(&session, "{ viewer { actor } }", json!({})).await;
    assert_eq!(viewer["viewer"]["actor"], json!(ada.to_string()));
    // The next one is neither refused nor delayed, whatever cookie comes with it.
    let cookie = format!("__Host-callboard={}", session.token);
    let body = json!({ "login": "ada", "password": PASSWORD }).to_string();
    let again =
        page(Verb::POST, "alpha.localhost", "/api/v1/sign-in", body).with("cookie", &cookie);
    browser.send(again.body()).await.session(site.a.tenant);
}

/// What is wrong is not told, and neither is who waits.
async fn whoever_is_not_let_in_does_not_learn_why(on: Kind) {
    let site = Site::start_on(on).await;
    let (ada, _) = member(&site, &["developer"]).await;
    let (removed, _) = member(&site, &["developer"]).await;
    let closed = site.register("closed").await;
    let suspended = site.register("suspended").await;
    for (tenant, member, login) in [
        (site.a.tenant, ada, "ada"),
        (site.a.tenant, removed, "removed"),
        (closed.tenant, ada, "ada"),
        (suspended.tenant, ada, "ada"),
    ] {
        account(&site, tenant, member, login).await;
    }
    let remove = "mutation($id: String!) { removeMember(memberId: $id) { userErrors { code } } }";
    site.mutate(&site.a, remove, json!({ "id": removed.to_string() })).await;
    site.mutate(&closed, "mutation { closeTenant { userErrors { code } } }", json!({})).await;
    let suspend = "mutation($id: String!) {
        suspendTenant(tenantId: $id, reason: REQUESTED) { userErrors { code } } }";
    let id = suspended.tenant.to_string();
    site.mutate(&site.operator, suspend, json!({ "id": id })).await;
    for tenant in [closed.tenant, suspended.tenant] {
        while site.commands.check_active(tenant).is_ok() {
            tokio::task::yield_now().await;
        }
    }
    let browser = Browser::of(&site);
    let mut answers = Vec::new();
    for (host, login, password) in [
        ("alpha.localhost", "ada", OTHER),
        ("alpha.localhost", "nobody", PASSWORD),
        ("alpha.localhost", "removed", PASSWORD),
        ("nowhere.localhost", "ada", PASSWORD),
        ("elsewhere.example", "ada", PASSWORD),
        ("closed.localhost", "ada", PASSWORD),
        ("suspended.localhost", "ada", PASSWORD),
    ] {
        // The second time it is told to wait, for a second at most.
        let first = browser.sign_in(host, login, password).await;
        // A port is no part of whom a host selects.
        let second = browser.sign_in(&format!("{host}:8080"), login, password).await;
        assert_eq!((first.status, second.status), (403, 429), "{host} {login}: {second:?}");
        assert!(second.headers.contains(&("retry-after".to_owned(), "1".to_owned())), "{second:?}");
        answers.push((host, login, first, second));
    }
    for (host, login, first, second) in &answers {
        assert_eq!((first, second), (&answers[0].2, &answers[0].3), "{host} {login}");
    }
    // The control: Ada's own password opens the door, once the second is over.
    let entered = async {
        loop {
            let answer = browser.sign_in("alpha.localhost", "ada", PASSWORD).await;
            if answer.status != 429 {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    assert!(is_in(&site, &soon(entered).await.session(site.a.tenant)).await);
}

#[tokio::test]
async fn only_pages_of_the_host_say_so_in_json_and_little() {
    let site = Site::start().await;
    let (ada, _) = member(&site, &["developer"]).await;
    account(&site, site.a.tenant, ada, "ada").await;
    let browser = Browser::of(&site);
    let good = json!({ "login": "ada", "password": PASSWORD }).to_string();
    let page = |body: &str| page(Verb::POST, "alpha.localhost", "/api/v1/sign-in", body.to_owned());
    let secret = "sesame-opens-nothing";
    let wrong = |body: Value| page(&body.to_string());
    for (what, page, expected) in [
        ("another site's page", page(&good).with("origin", "https://evil.example"), 403),
        ("a neighbour's page", page(&good).with("origin", "http://bravo.localhost"), 403),
        ("a page in a sandbox", page(&good).with("origin", "null"), 403),
        ("a form", page(&good).with("content-type", "text/plain"), 415),
        ("too much", page(&format!("{good}{}", " ".repeat(4_096))), 413),
        ("no object", page(&format!("\"{secret}\"")), 400),
        ("a number", wrong(json!({ "login": "ada", "password": 17_170_717 })), 400),
        ("another field", wrong(json!({ "login": "ada", "password": secret, "x": secret })), 400),
        ("no name", wrong(json!({ "login": "", "password": secret })), 400),
        ("a long name", wrong(json!({ "login": secret.repeat(10), "password": secret })), 400),
    ] {
        let answer = browser.send(page.body()).await;
        assert_eq!(answer.status, expected, "{what}: {answer:?}");
        assert!(!answer.body.contains("sesame") && !answer.body.contains("1717"), "{answer:?}");
    }
    // A program has no origin.
    browser.send(page(&good).without("origin").body()).await.session(site.a.tenant);
}

async fn invite(site: &Site, member: ActorId) -> String {
    let variables = json!({ "input": { "memberId": member.to_string() } });
    let made = site.mutate(&site.a, INVITE, variables).await;
    made["invite"]["text"].as_str().expect("it is shown").to_owned()
}

async fn an_invite_is_accepted_once_and_where_it_is_for(on: Kind) {
    let site = Site::start_on(on).await;
    let ((ada, _), browser) = (member(&site, &["developer"]).await, Browser::of(&site));
    let text = invite(&site, ada).await;
    let accept = async |host: &str, invite: &str, password: &str| {
        let body = json!({ "invite": invite, "login": "ada", "password": password });
        browser.say(host, "/api/v1/invites/accept", &body).await
    };
    for (host, invite) in [
        ("bravo.localhost", text.as_str()),
        ("localhost", &text),
        ("nowhere.localhost", &text),
        ("alpha.localhost", &text[..text.len() - 1]),
        ("alpha.localhost", "cbi_"),
    ] {
        let refused = accept(host, invite, PASSWORD).await;
        assert_eq!((refused.status, refused.code().as_str()), (403, "INVITE_REFUSED"), "{host}");
    }
    let refused = accept("alpha.localhost", &text, "alpha").await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.body.contains("password: expected 12 to 128"), "{refused:?}");

    let ends = tokio::join!(
        accept("alpha.localhost", &text, PASSWORD),
        accept("alpha.localhost", &text, OTHER)
    );
    let mut ends = [(ends.0, PASSWORD), (ends.1, OTHER)];
    ends.sort_by_key(|it| it.0.status);
    assert_eq!(ends.clone().map(|it| it.0.status), [204, 403], "{ends:?}");
    assert!(is_in(&site, &ends[0].0.session(site.a.tenant)).await);
    assert_eq!(accept("alpha.localhost", &text, PASSWORD).await.status, 403);
    browser.sign_in("alpha.localhost", "ada", ends[0].1).await.session(site.a.tenant);

    // Somebody else cannot have the same login name, and Ada a new password.
    let (eve, _) = member(&site, &["developer"]).await;
    let hers = invite(&site, eve).await;
    let taken = accept("alpha.localhost", &hers, PASSWORD).await;
    assert_eq!((taken.status, taken.code().as_str()), (409, "LOGIN_TAKEN"));
    let next = invite(&site, ada).await;
    let again = accept("alpha.localhost", &next, ends[1].1).await.session(site.a.tenant);
    assert!(is_in(&site, &again).await);
    assert!(!is_in(&site, &ends[0].0.session(site.a.tenant)).await, "it ends the others");
    browser.sign_in("alpha.localhost", "ada", ends[1].1).await.session(site.a.tenant);
}

async fn a_password_is_changed_in_a_session_by_who_knows_it(on: Kind) {
    let site = Site::start_on(on).await;
    let ((ada, token), browser) = (member(&site, &["developer"]).await, Browser::of(&site));
    account(&site, site.a.tenant, ada, "ada").await;
    let session = browser.sign_in("alpha.localhost", "ada", PASSWORD).await.session(site.a.tenant);
    let change = async |name: &'static str, value: &str, current: &str, new: &str| {
        let body = json!({ "current": current, "new": new }).to_string();
        let path = "/api/v1/account/password";
        let page = page(Verb::PUT, "alpha.localhost", path, body).with(name, value);
        browser.send(page.with("callboard-request", "1").body()).await
    };
    let cookie = format!("__Host-callboard={}", session.token);
    let bearer = format!("Bearer {}", token.token);
    assert_eq!(change("x-none", "1", PASSWORD, OTHER).await.status, 401);
    assert_eq!(change("authorization", &bearer, PASSWORD, OTHER).await.status, 403);
    let weak = change("cookie", &cookie, PASSWORD, "alpha1234567").await;
    assert_eq!(weak.status, 400, "{weak:?}");
    assert!(weak.body.contains("\"field\":\"new\""), "{weak:?}");
    let elsewhere = browser.sign_in("alpha.localhost", "ada", PASSWORD).await;
    let elsewhere = elsewhere.session(site.a.tenant);
    let changed = change("cookie", &cookie, PASSWORD, OTHER).await.session(site.a.tenant);
    for ended in [&session, &elsewhere] {
        assert!(!is_in(&site, ended).await, "whoever had the old one may be in it");
    }
    let cookie = format!("__Host-callboard={}", changed.token);
    let refused = change("cookie", &cookie, PASSWORD, OTHER).await;
    assert_eq!(refused.code(), "SIGN_IN_REFUSED");
    assert_eq!(change("cookie", &cookie, OTHER, PASSWORD).await.code(), "TOO_MANY_ATTEMPTS");
    assert!(is_in(&site, &changed).await);
}

async fn the_first_operator_is_made_by_whoever_has_the_setup_token(on: Kind) {
    let (site, tenant) = (Site::start_on(on).await, TenantId::SYSTEM);
    let browser = Browser::of(&site);
    // As whoever owns the partition does at its start.
    site.make_owner(tenant, console(&site.keyring).await.unwrap()).await;
    let token = offer_setup(&site.keyring).await.unwrap().unwrap();
    let set_up = async |host: &str, token: &str, login: &str| {
        let body =
            json!({ "token": token, "login": login, "password": PASSWORD, "name": "Grace Hopper" });
        browser.say(host, "/api/v1/setup", &body).await
    };
    for (host, text) in [("alpha.localhost", token.as_str()), ("localhost", "cbs_x")] {
        assert_eq!(set_up(host, text, "grace").await.code(), "SETUP_REFUSED", "{host}");
    }
    let session = set_up("localhost:7420", &token, "grace").await.session(tenant);
    let document = "{ viewer { actor permissions { name } }
        audit(first: 20) { nodes { type actor } } }";
    let ask = || {
        let body = json!({ "query": document }).to_string();
        page(Verb::POST, "localhost:7420", "/graphql", body)
            .with("cookie", &format!("__Host-callboard={}", session.token))
            .with("callboard-request", "1")
            .with("accept", "application/json")
            .body()
    };
    let shown = async {
        loop {
            let seen = browser.send(ask()).await;
            // Once the audit trail shows it.
            if seen.body.contains("member.signed-in") {
                return seen;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let seen = soon(shown).await;
    assert!(seen.body.contains("directory.write"), "{seen:?}");
    assert!(!seen.body.contains("grace"), "{seen:?}");

    assert_eq!(set_up("localhost", &token, "eve").await.code(), "SETUP_REFUSED");
    assert_eq!(offer_setup(&site.keyring).await.unwrap(), None);
    browser.sign_in("localhost", "grace", PASSWORD).await.session(tenant);
}

/// Who was removed and comes back begins anew, and what they had before goes.
async fn what_a_former_member_signed_in_with_is_forgotten(on: Kind) {
    let site = Site::start_on(on).await;
    let ((ada, _), browser) = (member(&site, &["developer"]).await, Browser::of(&site));
    account(&site, site.a.tenant, ada, "ada").await;
    let add = "mutation($id: String!) { addMember(input: {memberId: $id, roles: [\"viewer\"]}) {
        userErrors { code } } }";
    site.mutate(&site.a, REMOVE, json!({ "member": ada.to_string() })).await;
    site.mutate(&site.a, add, json!({ "id": ada.to_string() })).await;
    let refused = browser.sign_in("alpha.localhost", "ada", PASSWORD).await;
    assert_eq!(refused.code(), "SIGN_IN_REFUSED", "{refused:?}");
    let accept = async |text: &str, login: &str| {
        let body = json!({ "invite": text, "login": login, "password": OTHER });
        browser.say("alpha.localhost", "/api/v1/invites/accept", &body).await
    };
    accept(&invite(&site, ada).await, "lovelace").await.session(site.a.tenant);

    // The name is free at once for others, and what is stored of a former member goes.
    let (eve, _) = member(&site, &["developer"]).await;
    accept(&invite(&site, eve).await, "ada").await.session(site.a.tenant);
    site.mutate(&site.a, REMOVE, json!({ "member": ada.to_string() })).await;
    let accounts = Accounts::new(site.keyring.clone(), std::sync::Arc::new(commands::SystemClock));
    let has_account = async |who| accounts.login_of(site.a.tenant, who).await.unwrap().is_some();
    assert!(has_account(ada).await, "the control");
    let mut done = HashMap::new();
    forget_former(&site.commands, &site.keyring, &mut done).await.unwrap();
    assert!(!has_account(ada).await && has_account(eve).await);
    assert_eq!(done.len(), 1);
}

async fn a_browser_has_one_session_of_a_host_and_forgets_what_it_leaves(on: Kind) {
    let site = Site::start_on(on).await;
    let ((ada, _), browser) = (member(&site, &["developer"]).await, Browser::of(&site));
    account(&site, site.a.tenant, ada, "ada").await;
    let first = browser.sign_in("alpha.localhost", "ada", PASSWORD).await.session(site.a.tenant);
    let elsewhere = browser.sign_in("alpha.localhost", "ada", PASSWORD).await;
    let cookie = format!("__Host-callboard={}", first.token);
    let body = json!({ "login": "ada", "password": PASSWORD }).to_string();
    let path = "/api/v1/sign-in";
    let again = page(Verb::POST, "alpha.localhost", path, body).with("cookie", &cookie);
    let again = browser.send(again.with("callboard-request", "1").body()).await;
    let again = again.session(site.a.tenant);
    assert!(!is_in(&site, &first).await, "it was presented");
    assert!(is_in(&site, &again).await && is_in(&site, &elsewhere.session(site.a.tenant)).await);

    let leave = |cookie: &str| {
        let path = "/api/v1/session";
        let page =
            page(Verb::DELETE, "alpha.localhost", path, String::new()).with("cookie", cookie);
        page.with("callboard-request", "1")
    };
    let clears = |answer: &Answer| answer.headers.iter().any(|it| it.1.contains("Max-Age=0"));
    // One that has ended leaves the browser, too; but no page of another site makes it.
    let ended = browser.send(leave(&cookie).body()).await;
    assert!(ended.status == 401 && clears(&ended), "{ended:?}");
    let foreign = leave(&cookie).with("origin", "https://evil.example");
    let foreign = browser.send(foreign.body()).await;
    assert!(foreign.status == 403 && !clears(&foreign), "{foreign:?}");
    let left = browser.send(leave(&format!("__Host-callboard={}", again.token)).body()).await;
    assert!(left.status == 204 && clears(&left), "{left:?}");
}

/// Nothing that is recorded says what somebody signs in with.
#[tokio::test]
async fn neither_login_names_nor_passwords_are_recorded() {
    let site = Site::start().await;
    let ((ada, _), browser) = (member(&site, &["developer"]).await, Browser::of(&site));
    let text = invite(&site, ada).await;
    let body = json!({ "invite": text, "login": "ada.lovelace", "password": PASSWORD });
    browser.say("alpha.localhost", "/api/v1/invites/accept", &body).await.session(site.a.tenant);
    assert_eq!(browser.sign_in("alpha.localhost", "ada.lovelace", OTHER).await.status, 403);
    let feed = site.get(&site.a, "/api/v1/events?limit=1000").await.text();
    // The control: other texts that were said are found.
    assert!(feed.contains("member.signed-in.v1") && feed.contains(&ada.to_string()), "{feed}");
    assert!(!feed.contains("lovelace") && !feed.contains("zebra"), "{feed}");
}
