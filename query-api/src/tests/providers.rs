//! Signing in at identity providers: who is let in, and everything that must not let anybody in.

pub(super) mod issuer;
mod step_up;
pub(super) mod tokens;

use std::collections::HashMap;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{self, header};
use chrono::Utc;
use domain::id::{ActorId, TenantId};
use projections::temporary::Kind;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use self::issuer::{CLIENT, Issuer, SECRET, Signed};
use super::accounts::account;
use super::roles::member;
use super::sessions::{INVITE, signed_in};
use crate::doors::ClientAddress;
use crate::testing::{Member, Site, doors, on_each_kind, soon};

const HOST: &str = "alpha.localhost";

/// A provider of A that lies, and the doors as browsers see them.
struct Ground {
    site: Site,
    issuer: Issuer,
    provider: String,
    doors: Router,
}

/// What a browser is answered.
struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Value,
}

impl Answer {
    fn cookie(&self, name: &str) -> Option<String> {
        let set = self.headers.get_all(header::SET_COOKIE).iter().map(|it| it.to_str().unwrap());
        let pairs = set.filter_map(|it| it.split(';').next()?.split_once('='));
        pairs.filter(|it| it.0 == name).map(|it| it.1.to_owned()).find(|it| !it.is_empty())
    }

    /// Who has the session that was begun.
    #[track_caller]
    fn session(&self, tenant: TenantId) -> Member {
        assert_eq!((self.status, &self.body), (303, &Value::Null));
        assert_eq!(self.headers[header::LOCATION], "/");
        Member { tenant, token: self.cookie("__Host-callboard").expect("there is a session") }
    }
}

/// A sign-in that was begun: what the browser keeps, and what the provider is asked.
#[derive(Clone)]
struct Begun {
    cookie: String,
    asked: HashMap<String, String>,
}

/// What is wrong with an answer of the provider.
#[derive(Clone, Copy)]
enum Wrong {
    Claim(&'static str, fn() -> Value),
    Signature(Signed),
    Back(&'static str, &'static str),
    Without(&'static str),
}

async fn ground(on: Kind) -> Ground {
    let (site, issuer) = (Site::start_on(on).await, Issuer::start().await);
    let provider = add(&site, &site.a, &issuer.url).await;
    let doors = doors(site.context.clone(), &CancellationToken::new());
    Ground { site, issuer, provider, doors }
}

/// Has a tenant take the word of an issuer.
pub(super) async fn add(site: &Site, who: &Member, issuer: &str) -> String {
    let add = "mutation($input: AddProviderInput!) {
        addProvider(input: $input) { providerId userErrors { code message path } }
    }";
    let input = json!({
        "name": "Login", "issuer": issuer, "clientId": CLIENT, "clientSecret": SECRET,
        "scopes": ["profile"],
    });
    let added = site.mutate(who, add, json!({ "input": input })).await;
    added["providerId"].as_str().unwrap().to_owned()
}

impl Ground {
    fn path(&self) -> String {
        format!("/api/v1/sign-in/oidc/{}", self.provider)
    }

    async fn send(&self, request: http::Request<Body>) -> Answer {
        let response = soon(self.doors.clone().oneshot(request)).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = to_bytes(response.into_body(), 64 * 1024).await.unwrap();
        Answer { status, headers, body: serde_json::from_slice(&body).unwrap_or_default() }
    }

    async fn get(&self, host: &str, path: &str, cookie: Option<&str>) -> Answer {
        let mut request = http::Request::get(path).header("host", host);
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// A page of the tenant wants something of the provider.
    async fn want(&self, body: &Value, session: Option<&Member>) -> Answer {
        let origin = format!("http://{HOST}");
        let mut request = http::Request::post(self.path())
            .header("host", HOST)
            .header("origin", origin)
            .header("content-type", "application/json")
            .extension(ClientAddress::of("192.0.2.7".parse().unwrap()));
        if let Some(Member { token, .. }) = session {
            request = request.header("cookie", format!("__Host-callboard={token}"));
            request = request.header("callboard-request", "1");
        }
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Begins a sign-in, which the provider then says that `subject` has made.
    fn begun(&self, answer: &Answer, subject: &str) -> Begun {
        let location = match answer.status {
            303 => answer.headers[header::LOCATION].to_str().unwrap(),
            200 => answer.body["location"].as_str().unwrap(),
            status => panic!("{status}: {}", answer.body),
        };
        let (place, asked) = location.split_once('?').unwrap();
        assert_eq!(place, format!("{}/enter", self.issuer.url));
        let asked: HashMap<_, _> = form_urlencoded::parse(asked.as_bytes()).into_owned().collect();
        assert_eq!(asked["redirect_uri"], format!("http://{HOST}{}/callback", self.path()));
        assert_eq!((&*asked["scope"], &*asked["response_type"]), ("openid profile", "code"));
        assert_eq!(asked["code_challenge_method"], "S256");
        let now = Utc::now().timestamp();
        let mut lies = self.issuer.lies();
        lies.challenge = asked["code_challenge"].clone();
        lies.claims = json!({
            "iss": self.issuer.url, "aud": CLIENT, "sub": subject, "nonce": asked["nonce"],
            "iat": now, "exp": now + 300, "email": "ada@example.org", "email_verified": true,
            "amr": ["pwd", "mfa", "unheard-of"],
        });
        let cookie = answer.cookie("__Host-callboard-login").expect("there is one");
        Begun { cookie: format!("__Host-callboard-login={cookie}"), asked }
    }

    async fn begin(&self, subject: &str) -> Begun {
        let answer = self.get(HOST, &self.path(), None).await;
        self.begun(&answer, subject)
    }

    fn back(&self, begun: &Begun) -> Vec<(&'static str, String)> {
        let state = begun.asked["state"].clone();
        vec![("state", state), ("code", "a code".into()), ("iss", self.issuer.url.clone())]
    }

    fn callback(&self, back: &[(&'static str, String)]) -> String {
        let back = form_urlencoded::Serializer::new(String::new()).extend_pairs(back).finish();
        format!("{}/callback?{back}", self.path())
    }

    async fn come_back(&self, begun: &Begun) -> Answer {
        self.get(HOST, &self.callback(&self.back(begun)), Some(&begun.cookie)).await
    }

    async fn invite(&self, member: ActorId) -> String {
        let variables = json!({ "input": { "memberId": member.to_string() } });
        let made = self.site.mutate(&self.site.a, INVITE, variables).await;
        made["invite"]["text"].as_str().unwrap().to_owned()
    }

    /// Links somebody at the provider with a member, who accepts an invite with it.
    async fn accept(&self, invite: &str, subject: &str) -> Answer {
        let begun = self.begun(&self.want(&json!({ "invite": invite }), None).await, subject);
        self.come_back(&begun).await
    }

    /// A member who signs in at the provider.
    async fn linked(&self, subject: &str) -> ActorId {
        let (actor, _) = member(&self.site, &["developer"]).await;
        let accepted = self.accept(&self.invite(actor).await, subject).await;
        accepted.session(self.site.a.tenant);
        actor
    }

    async fn is(&self, session: &Member, actor: ActorId) -> bool {
        let viewer = "{ viewer { actor sessions { methods } } }";
        let viewer = self.site.data(session, viewer, json!({})).await;
        viewer["viewer"]["actor"] == json!(actor.to_string())
    }

    async fn try_wrong(&self, wrong: Wrong) -> Answer {
        let begun = self.begin("ada").await;
        let back = self.falsified(self.back(&begun), wrong);
        let answer = self.get(HOST, &self.callback(&back), Some(&begun.cookie)).await;
        self.issuer.lies().signed = Signed::Well;
        answer
    }

    /// Has the provider say something wrong, or send somebody back with it.
    fn falsified(
        &self,
        mut back: Vec<(&'static str, String)>,
        wrong: Wrong,
    ) -> Vec<(&'static str, String)> {
        let mut lies = self.issuer.lies();
        match wrong {
            Wrong::Claim(name, value) => lies.claims[name] = value(),
            Wrong::Signature(signed) => lies.signed = signed,
            Wrong::Back(name, value) => {
                back.retain(|it| it.0 != name);
                back.push((name, value.to_owned()));
            }
            Wrong::Without(name) => {
                back.retain(|it| it.0 != name);
                lies.claims.as_object_mut().unwrap().remove(name);
            }
        }
        back
    }
}

#[track_caller]
fn refused(answer: &Answer, what: &str) {
    assert_eq!(
        (answer.status, answer.body["code"].as_str()),
        (403, Some("SIGN_IN_REFUSED")),
        "{what}"
    );
    assert_eq!(answer.cookie("__Host-callboard"), None, "{what}");
}

fn from_now(seconds: i64) -> Value {
    (Utc::now().timestamp() + seconds).into()
}

on_each_kind! {
    who_accepts_an_invite_at_a_provider_signs_in_there_from_then_on_and_nowhere_else
    a_sign_in_comes_back_once_to_the_browser_and_the_tenant_that_began_it
    a_member_links_a_provider_from_a_session_and_nobody_is_two_members
    a_provider_that_was_removed_or_added_anew_lets_nobody_in
}

async fn who_accepts_an_invite_at_a_provider_signs_in_there_from_then_on_and_nowhere_else(
    on: Kind,
) {
    let ground = ground(on).await;
    let (site, tenant) = (&ground.site, ground.site.a.tenant);
    let (ada, _) = member(site, &["developer"]).await;
    account(site, tenant, ada, "ada").await;
    let before = signed_in(site, &site.stranger(tenant, ada)).await;
    refused(&ground.come_back(&ground.begin("ada").await).await, "nobody is linked");
    let invite = ground.invite(ada).await;
    let accepted = ground.accept(&invite, "ada").await.session(tenant);
    assert!(ground.is(&accepted, ada).await);
    let begun = ground.begin("ada").await;
    let session = ground.come_back(&begun).await.session(tenant);
    assert!(ground.is(&session, ada).await && session.token != accepted.token);
    let viewer = "{ viewer { sessions { methods } } }";
    let sessions = site.data(&session, viewer, json!({})).await;
    assert_eq!(sessions["viewer"]["sessions"][0]["methods"], json!(["pwd", "mfa", "fed"]));

    // What proved before who they are does no longer.
    assert_eq!(site.get(&before, "/api/v1/events").await.status, 401);
    let accounts = crate::accounts::Accounts::new(
        site.keyring.clone(),
        std::sync::Arc::new(commands::SystemClock),
    );
    assert!(accounts.login_of(tenant, ada).await.unwrap().is_none());
    let again = ground.want(&json!({ "invite": invite }), None).await;
    let again = ground.come_back(&ground.begun(&again, "ada")).await;
    assert_eq!((again.status, again.body["code"].as_str()), (403, Some("INVITE_REFUSED")));
    // And an invite that is accepted with a password ends it in turn.
    account(site, tenant, ada, "ada").await;
    refused(&ground.come_back(&ground.begin("ada").await).await, "a password was set");
}

/// Each is wrong in one way, and all are answered alike.
#[tokio::test]
async fn an_answer_that_is_wrong_in_any_way_lets_nobody_in() {
    let ground = ground(Kind::Sqlite).await;
    ground.linked("ada").await;
    let wrong: Vec<(&str, Wrong)> = vec![
        ("a foreign audience", Wrong::Claim("aud", || json!("somebody-else"))),
        ("two audiences", Wrong::Claim("aud", || json!([CLIENT, "somebody-else"]))),
        ("a foreign party", Wrong::Claim("azp", || json!("somebody-else"))),
        ("no audience", Wrong::Without("aud")),
        ("a wrong nonce", Wrong::Claim("nonce", || json!("x"))),
        ("no nonce", Wrong::Without("nonce")),
        ("expired", Wrong::Claim("exp", || from_now(-61))),
        ("no end", Wrong::Without("exp")),
        ("not yet good", Wrong::Claim("nbf", || from_now(90))),
        ("made before", Wrong::Claim("iat", || from_now(-90))),
        ("made later", Wrong::Claim("iat", || from_now(90))),
        ("another issuer", Wrong::Claim("iss", || json!("https://login.example"))),
        ("nobody", Wrong::Claim("sub", || json!(""))),
        ("somebody else", Wrong::Claim("sub", || json!("eve"))),
        ("another key", Wrong::Signature(Signed::ByAnother)),
        ("the public key as a secret", Wrong::Signature(Signed::WithThePublicKey)),
        ("no signature", Wrong::Signature(Signed::Not)),
        ("from another provider", Wrong::Back("iss", "https://login.example")),
        ("from nobody", Wrong::Without("iss")),
        ("another code", Wrong::Back("code", "another")),
        ("no code", Wrong::Without("code")),
        ("an error", Wrong::Back("error", "access_denied")),
        ("another state", Wrong::Back("state", "another")),
        ("no state", Wrong::Without("state")),
    ];
    let mut answers = Vec::new();
    for (what, wrong) in wrong {
        let answer = ground.try_wrong(wrong).await;
        refused(&answer, what);
        answers.push(answer.body);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    // The controls: what is as it should be, or hardly not.
    for right in [
        Wrong::Claim("email", || json!("eve@example.org")),
        Wrong::Claim("azp", || json!(CLIENT)),
        Wrong::Claim("aud", || json!([CLIENT])),
        Wrong::Claim("exp", || from_now(-30)),
        Wrong::Claim("iat", || from_now(-30)),
    ] {
        ground.try_wrong(right).await.session(ground.site.a.tenant);
    }
}

async fn a_sign_in_comes_back_once_to_the_browser_and_the_tenant_that_began_it(on: Kind) {
    let ground = ground(on).await;
    ground.linked("ada").await;
    let (tenant, begun) = (ground.site.a.tenant, ground.begin("ada").await);
    let callback = ground.callback(&ground.back(&begun));
    refused(&ground.get(HOST, &callback, None).await, "another browser");
    let other = ground.begin("ada").await;
    refused(&ground.get(HOST, &callback, Some(&other.cookie)).await, "another sign-in");
    let two = format!("{}; {}", begun.cookie, other.cookie);
    refused(&ground.get(HOST, &callback, Some(&two)).await, "two sign-ins");
    for host in ["bravo.localhost", "localhost", "nobody.localhost"] {
        refused(&ground.get(host, &callback, Some(&begun.cookie)).await, host);
        refused(&ground.get(host, &ground.path(), None).await, "A's provider is nobody else's");
    }
    // None of that has ended it.
    ground.issuer.lies().challenge = begun.asked["code_challenge"].clone();
    ground.issuer.lies().claims["nonce"] = json!(begun.asked["nonce"]);
    ground.come_back(&begun).await.session(tenant);
    ground.issuer.lies().challenge = begun.asked["code_challenge"].clone();
    refused(&ground.come_back(&begun).await, "again");

    // Who comes back wrongly has come back, too.
    let begun = ground.begin("ada").await;
    let mut denied = ground.back(&begun);
    denied.push(("error", "access_denied".to_owned()));
    refused(&ground.get(HOST, &ground.callback(&denied), Some(&begun.cookie)).await, "denied");
    refused(&ground.come_back(&begun).await, "after that");
}

async fn a_member_links_a_provider_from_a_session_and_nobody_is_two_members(on: Kind) {
    let ground = ground(on).await;
    let (site, tenant) = (&ground.site, ground.site.a.tenant);
    ground.linked("eve").await;
    let (ada, token) = member(site, &["developer"]).await;
    let session = signed_in(site, &token).await;
    let nobody = ground.want(&json!({}), None).await;
    assert_eq!(nobody.status, 401);
    let begun = ground.begun(&ground.want(&json!({}), Some(&session)).await, "ada");
    let linked = ground.come_back(&begun).await;
    assert_eq!((linked.status, linked.cookie("__Host-callboard")), (303, None));
    let entered = ground.come_back(&ground.begin("ada").await).await.session(tenant);
    assert!(ground.is(&entered, ada).await);

    let begun = ground.begun(&ground.want(&json!({}), Some(&session)).await, "eve");
    refused(&ground.come_back(&begun).await, "somebody else's");
    let invite = ground.invite(ada).await;
    refused(&ground.accept(&invite, "eve").await, "somebody else's, with an invite");
    let begun = ground.begun(&ground.want(&json!({}), Some(&session)).await, "ada-two");
    site.mutate(&session, "mutation { signOut { userErrors { code } } }", json!({})).await;
    refused(&ground.come_back(&begun).await, "the session has ended");

    let remove = "mutation($id: String!) { removeMember(memberId: $id) { userErrors { code } } }";
    site.mutate(&site.a, remove, json!({ "id": ada.to_string() })).await;
    refused(&ground.come_back(&ground.begin("ada").await).await, "no member any more");
    let add = "mutation($input: AddMemberInput!) {
        addMember(input: $input) { userErrors { code } } }";
    let input = json!({ "memberId": ada.to_string(), "roles": ["developer"] });
    site.mutate(&site.a, add, json!({ "input": input })).await;
    refused(&ground.come_back(&ground.begin("ada").await).await, "whoever comes again begins anew");
    let other = ground.linked("ada").await;
    let session = ground.come_back(&ground.begin("ada").await).await.session(tenant);
    assert!(ground.is(&session, other).await, "who was somebody may be somebody else");
}

async fn a_provider_that_was_removed_or_added_anew_lets_nobody_in(on: Kind) {
    let mut ground = ground(on).await;
    ground.linked("ada").await;
    let begun = ground.begin("ada").await;
    let remove =
        "mutation($id: String!) { removeProvider(providerId: $id) { userErrors { code } } }";
    ground.site.mutate(&ground.site.a, remove, json!({ "id": ground.provider })).await;
    refused(&ground.come_back(&begun).await, "on the way");
    refused(&ground.get(HOST, &ground.path(), None).await, "from now on");
    ground.provider = add(&ground.site, &ground.site.a, &ground.issuer.url).await;
    refused(&ground.come_back(&ground.begin("ada").await).await, "it is another one");
}

#[tokio::test]
async fn a_provider_changes_its_keys_at_any_moment_and_may_be_away_for_a_while() {
    let ground = ground(Kind::Sqlite).await;
    let tenant = ground.site.a.tenant;
    ground.linked("ada").await;
    for key in ["3", "4", "5"] {
        let begun = ground.begin("ada").await;
        ground.issuer.change_key(key).await;
        ground.come_back(&begun).await.session(tenant);
    }
    // While nobody shows its keys those that are known are good, and no others.
    ground.issuer.lies().hides_keys = true;
    ground.come_back(&ground.begin("ada").await).await.session(tenant);
    let begun = ground.begin("ada").await;
    ground.issuer.change_key("6").await;
    refused(&ground.come_back(&begun).await, "a key that nobody has shown");
}

#[tokio::test]
async fn a_provider_that_signs_with_ever_other_keys_is_not_asked_for_them_without_end() {
    let ground = ground(Kind::Sqlite).await;
    ground.linked("ada").await;
    let mut let_in = 0;
    for key in ["3", "4", "5", "6", "7", "8", "9", "a"] {
        let begun = ground.begin("ada").await;
        ground.issuer.change_key(key).await;
        let_in += usize::from(ground.come_back(&begun).await.status == 303);
    }
    assert_eq!((let_in, ground.issuer.lies().asked_for_keys), (5, 6));
}

#[tokio::test]
async fn a_provider_that_is_another_one_or_away_is_left_alone() {
    let ground = ground(Kind::Sqlite).await;
    ground.issuer.lies().calls_itself = Some("https://login.example".to_owned());
    refused(&ground.get(HOST, &ground.path(), None).await, "it calls itself otherwise");
    let nowhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", nowhere.local_addr().unwrap());
    drop(nowhere);
    let away = add(&ground.site, &ground.site.a, &url).await;
    let away = ground.get(HOST, &format!("/api/v1/sign-in/oidc/{away}"), None).await;
    assert_eq!((away.status, away.body["code"].as_str()), (503, Some("UNAVAILABLE")));
}
