//! Programs that sign in at a provider, for themselves and for somebody, and change what they get there
//! for a token of ours.

use serde_json::{Value, json};
use url::Url;

use super::ground::{Ground, Tenant};
use super::{PASSWORD, Provider, SECRET};
use crate::harness::{Asked, Browser, exchange};

/// What the provider calls the program.
pub(super) const PROGRAM: &str = "robot";

/// Where the provider sends somebody back to who has signed in for the program. Nobody listens there.
pub(super) const APP: &str = "http://127.0.0.1:9/back";

/// What proves that who asks for a token has begun the sign-in, and what is told of it before: the pair
/// of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(super) async fn programs_change_tokens_for_themselves_and_for_somebody(
    provider: &dyn Provider,
) {
    let ground = Ground::of(provider, &["acme", "globex"]).await;
    let [acme, globex] = ground.tenants.as_slice() else { unreachable!("there are two") };
    let audience = acme.audience();
    provider.register_program(PROGRAM, &audience);
    let app = App { endpoints: endpoints(provider), audience: &audience };

    // For itself: nobody, until it has accepted an invite.
    let own = app.for_itself();
    refused(&own, acme, &[]);
    let robot = ground.invited(acme, "developer");
    let invite = [("invite", robot.invite.as_str())];
    let first = changed(&own, acme, &invite);
    assert_eq!(viewer(&first, acme), *robot.id);
    let next = changed(&app.for_itself(), acme, &[]);
    assert_eq!(viewer(&next, acme), *robot.id);

    // For somebody who signs in at the provider with their browser, and is the member for whom that is.
    let ada = ground.linked(acme, &mut Browser::default(), "ada");
    let tokens = app.for_somebody("ada");
    let token = tokens["access_token"].as_str().expect("a text");
    assert_eq!(viewer(&changed(token, acme, &[]), acme), *ada.id);
    let of_bob = app.for_somebody("bob");
    refused(of_bob["access_token"].as_str().expect("a text"), acme, &[]);

    // What was made for another end, another tenant or nobody in particular is good for nothing.
    let id_token = tokens["id_token"].as_str().expect("a text");
    refused(id_token, acme, &[]);
    refused(token, globex, &[]);
    let elsewhere = App { audience: "urn:example:elsewhere", ..app.clone() };
    provider.register_program("other", "urn:example:elsewhere");
    refused(&elsewhere.for_itself_as("other"), acme, &[]);
    assert_eq!(ask(token, acme).status, 401, "it is no credential itself");

    // Keys may change.
    provider.change_key();
    assert_eq!(viewer(&changed(&app.for_itself(), acme, &[]), acme), *robot.id);
    ground.run("acme", &["member", "remove", &robot.id], "");
    refused(&app.for_itself(), acme, &[]);
    ground.server.stop().await;
}

/// A program at a provider.
#[derive(Clone)]
struct App<'a> {
    endpoints: Value,
    /// For whom its tokens are to be.
    audience: &'a str,
}

impl App<'_> {
    /// A token with which it signs in itself.
    fn for_itself(&self) -> String {
        self.for_itself_as(PROGRAM)
    }

    fn for_itself_as(&self, client: &str) -> String {
        let given = self.tokens(&[
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", SECRET),
            ("resource", self.audience),
        ]);
        given["access_token"].as_str().expect("a text").to_owned()
    }

    /// What it is given for somebody who signs in with a browser.
    fn for_somebody(&self, who: &str) -> Value {
        let enter = self.endpoint("authorization_endpoint");
        let mut enter: Url = enter.parse().expect("an address");
        enter.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", PROGRAM),
            ("redirect_uri", APP),
            ("scope", "openid"),
            ("state", "of no matter"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("resource", self.audience),
        ]);
        let back: Url = APP.parse().expect("an address");
        let mut browser = Browser::default();
        let mut page = browser.open(&enter).expect("it answers");
        let sent_back = loop {
            page = browser.follow(page, |next| next.path() != back.path()).expect("it answers");
            let Some(mut form) = page.form().filter(|_| page.status() == 200) else {
                break page.leads_to().expect("it is sent back");
            };
            form.fill(&["username", "login"], who);
            form.fill(&["password"], PASSWORD);
            page = browser.submit(&page, &form).expect("it answers");
        };
        let code = sent_back.query_pairs().find(|it| it.0 == "code").expect("a code").1;
        self.tokens(&[
            ("grant_type", "authorization_code"),
            ("client_id", PROGRAM),
            ("client_secret", SECRET),
            ("redirect_uri", APP),
            ("code", &code),
            ("code_verifier", VERIFIER),
            ("resource", self.audience),
        ])
    }

    fn tokens(&self, form: &[(&str, &str)]) -> Value {
        let form: Vec<_> =
            form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let place = self.endpoint("token_endpoint").parse().expect("an address");
        let answer = exchange(&Asked::form(&place, &form)).expect("it answers");
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).expect("JSON")
    }

    fn endpoint(&self, name: &str) -> &str {
        self.endpoints[name].as_str().expect("a text")
    }
}

/// What a provider says of itself.
fn endpoints(provider: &dyn Provider) -> Value {
    let place = format!("{}/.well-known/openid-configuration", provider.issuer());
    let said = exchange(&Asked::get(&place.parse().expect("an address"))).expect("it answers");
    serde_json::from_str(&said.body).expect("JSON")
}

/// What becomes of a token that is shown at the tenant's door.
fn change(token: &str, tenant: &Tenant, more: &[(&str, &str)]) -> (u16, Value) {
    let mut body = json!({ "token": token });
    for (name, value) in more {
        body[*name] = json!(value);
    }
    let door = tenant.url(&format!("{}/token", tenant.door().path()));
    let answer = exchange(&Asked::json("POST", &door, &body)).expect("it answers");
    (answer.status, serde_json::from_str(&answer.body).expect("JSON"))
}

#[track_caller]
fn changed(token: &str, tenant: &Tenant, more: &[(&str, &str)]) -> String {
    let (status, body) = change(token, tenant, more);
    assert_eq!(status, 200, "{body}");
    body["token"].as_str().expect("a text").to_owned()
}

#[track_caller]
fn refused(token: &str, tenant: &Tenant, more: &[(&str, &str)]) {
    let (status, body) = change(token, tenant, more);
    assert_eq!((status, &body["code"]), (403, &json!("SIGN_IN_REFUSED")), "{body}");
}

/// Asks with a token who one is.
fn ask(token: &str, tenant: &Tenant) -> crate::harness::Answer {
    let query = json!({ "query": "{ viewer { actor } }" });
    let asked = Asked::json("POST", &tenant.url("/graphql"), &query);
    exchange(&asked.header("authorization", &format!("Bearer {token}"))).expect("it answers")
}

#[track_caller]
fn viewer(token: &str, tenant: &Tenant) -> Value {
    let answer = ask(token, tenant);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let said: Value = serde_json::from_str(&answer.body).expect("JSON");
    said["data"]["viewer"]["actor"].clone()
}
