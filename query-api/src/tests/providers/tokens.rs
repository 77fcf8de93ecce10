//! Programs that change a provider's token for one of ours.

use std::sync::Arc;

use commands::SystemClock;

use super::*;
use crate::accounts::{Accounts, Identity, Right};

/// What is wrong with a token.
#[derive(Clone, Copy)]
enum Bad {
    Claim(&'static str, fn() -> Value),
    Without(&'static str),
    Kind(Option<&'static str>),
    Signature(Signed),
}

/// A token for a program that is a member of the tenant of `who`.
pub(in crate::tests) async fn of_program(
    site: &Site,
    who: &Member,
    issuer: &Issuer,
    provider: &str,
) -> String {
    let (program, _) = member(site, &["viewer"]).await;
    let accounts = Accounts::new(site.keyring.clone(), Arc::new(SystemClock));
    let identity = Identity {
        provider: provider.parse().unwrap(),
        issuer: issuer.url.clone(),
        subject: "program".to_owned(),
    };
    let term = site.commands.term(who.tenant, program).unwrap();
    let linked = accounts.link(who.tenant, (program, term), &identity, Right::Session, |_, _| true);
    linked.await.unwrap();
    let mut lies = issuer.lies();
    lies.claims = json!({
        "iss": issuer.url, "aud": format!("urn:callboard:{provider}"), "sub": "program",
        "iat": from_now(0), "exp": from_now(3_600),
    });
    lies.token()
}

impl Ground {
    fn audience(&self) -> String {
        format!("urn:callboard:{}", self.provider)
    }

    /// A token for the doors, as the provider makes it for `subject`.
    fn token(&self, subject: &str) -> String {
        let mut lies = self.issuer.lies();
        lies.claims = json!({
            "iss": self.issuer.url, "aud": ["account", self.audience()], "sub": subject,
            "iat": from_now(0), "exp": from_now(300), "client_id": "robot", "azp": "robot",
        });
        lies.token()
    }

    fn bad_token(&self, bad: Bad) -> String {
        self.token("robot");
        let mut lies = self.issuer.lies();
        match bad {
            Bad::Claim(name, value) => lies.claims[name] = value(),
            Bad::Without(name) => drop(lies.claims.as_object_mut().unwrap().remove(name)),
            Bad::Kind(kind) => lies.kind = kind.map(str::to_owned),
            Bad::Signature(signed) => lies.signed = signed,
        }
        let token = lies.token();
        (lies.signed, lies.kind) = (Signed::Well, Some("JWT".to_owned()));
        token
    }

    async fn change_at(&self, host: &str, body: &Value) -> Answer {
        let request = http::Request::post(format!("{}/token", self.path()))
            .header("host", host)
            .header("content-type", "application/json")
            .extension(ClientAddress::of("192.0.2.7".parse().unwrap()));
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    async fn change(&self, token: &str) -> Answer {
        self.change_at(HOST, &json!({ "token": token })).await
    }

    /// A member that is a program.
    async fn robot(&self) -> ActorId {
        let (robot, _) = member(&self.site, &["developer"]).await;
        let body = json!({ "token": self.token("robot"), "invite": self.invite(robot).await });
        self.changed(&self.change_at(HOST, &body).await);
        robot
    }

    /// Who has the token that another one was changed for.
    #[track_caller]
    fn changed(&self, answer: &Answer) -> Member {
        assert_eq!(answer.status, 200, "{}", answer.body);
        let token = answer.body["token"].as_str().unwrap().to_owned();
        Member { tenant: self.site.a.tenant, token }
    }
}

on_each_kind! {
    a_program_is_the_member_whose_invite_it_accepted_and_has_no_session
    a_token_is_good_for_the_provider_the_tenant_and_the_member_only
}

async fn a_program_is_the_member_whose_invite_it_accepted_and_has_no_session(on: Kind) {
    let ground = ground(on).await;
    let (site, tenant) = (&ground.site, ground.site.a.tenant);
    let (robot, _) = member(site, &["developer"]).await;
    let before = signed_in(site, &site.stranger(tenant, robot)).await;
    refused(&ground.change(&ground.token("robot")).await, "nobody is linked");

    let body = json!({ "token": ground.token("robot"), "invite": ground.invite(robot).await });
    let accepted = ground.change_at(HOST, &body).await;
    let changed = ground.changed(&accepted);
    assert!(ground.is(&changed, robot).await);
    assert_eq!(accepted.cookie("__Host-callboard"), None);
    let viewer = "{ viewer { sessions { methods } } }";
    let sessions = site.data(&changed, viewer, json!({})).await;
    assert_eq!(sessions["viewer"]["sessions"], json!([]));
    assert_eq!(site.get(&before, "/api/v1/events").await.status, 401, "it proves otherwise now");
    let again = ground.change_at(HOST, &body).await;
    assert_eq!((again.status, again.body["code"].as_str()), (403, Some("INVITE_REFUSED")));

    let changed = ground.change(&ground.token("robot")).await;
    assert!(ground.is(&ground.changed(&changed), robot).await);
    let ends: chrono::DateTime<Utc> = changed.body["expiresAt"].as_str().unwrap().parse().unwrap();
    assert!(ends.timestamp() <= Utc::now().timestamp() + 300 + 60, "{ends}");
    // What is good for longer there is good for a quarter of an hour here.
    let long = ground.change(&ground.bad_token(Bad::Claim("exp", || from_now(7_200)))).await;
    ground.changed(&long);
    let ends: chrono::DateTime<Utc> = long.body["expiresAt"].as_str().unwrap().parse().unwrap();
    assert!(ends.timestamp() <= Utc::now().timestamp() + 900, "{ends}");
}

/// Each is wrong in one way, and all are answered alike.
#[tokio::test]
async fn a_token_that_is_wrong_in_any_way_is_changed_for_nothing() {
    let ground = ground(Kind::Sqlite).await;
    ground.robot().await;
    let bad: Vec<(&str, Bad)> = vec![
        ("for signing in", Bad::Claim("aud", || json!(CLIENT))),
        ("for others", Bad::Claim("aud", || json!(["account"]))),
        ("for another provider", {
            Bad::Claim("aud", || json!("urn:callboard:idp_01981234567870008000000000000007"))
        }),
        ("for nobody", Bad::Without("aud")),
        ("by another issuer", Bad::Claim("iss", || json!("https://login.example"))),
        ("by nobody", Bad::Without("iss")),
        ("expired", Bad::Claim("exp", || from_now(-61))),
        ("without an end", Bad::Without("exp")),
        ("good for too long", Bad::Claim("exp", || from_now(25 * 3_600))),
        ("not yet good", Bad::Claim("nbf", || from_now(90))),
        ("made later", Bad::Claim("iat", || from_now(90))),
        ("made at no time", Bad::Without("iat")),
        ("of nobody", Bad::Claim("sub", || json!(""))),
        ("of somebody else", Bad::Claim("sub", || json!("eve"))),
        ("that signs out", Bad::Kind(Some("logout+jwt"))),
        ("of a kind nobody knows", Bad::Kind(Some("dpop+jwt"))),
        ("that tells of something", Bad::Claim("events", || json!({}))),
        ("an ID token of Keycloak", Bad::Claim("typ", || json!("ID"))),
        ("a refresh token of Keycloak", Bad::Claim("typ", || json!("Refresh"))),
        ("signed by another key", Bad::Signature(Signed::ByAnother)),
        ("the public key as a secret", Bad::Signature(Signed::WithThePublicKey)),
        ("without a signature", Bad::Signature(Signed::Not)),
    ];
    let mut answers = Vec::new();
    for (what, bad) in bad {
        let answer = ground.change(&ground.bad_token(bad)).await;
        refused(&answer, what);
        answers.push(answer.body);
    }
    for nothing in ["", "x", "a.b.c", &"x".repeat(60_000)] {
        let answer = ground.change(nothing).await;
        refused(&answer, nothing);
        answers.push(answer.body);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(ground.change(&"x".repeat(70_000)).await.status, 413);
    // The controls: what is as it should be, or hardly not.
    for good in [
        Bad::Kind(None),
        Bad::Kind(Some("at+jwt")),
        Bad::Kind(Some("application/at+JWT")),
        Bad::Claim("typ", || json!("Bearer")),
        Bad::Claim("exp", || from_now(-30)),
        Bad::Claim("email", || json!("eve@example.org")),
    ] {
        ground.changed(&ground.change(&ground.bad_token(good)).await);
    }
}

async fn a_token_is_good_for_the_provider_the_tenant_and_the_member_only(on: Kind) {
    let mut ground = ground(on).await;
    let robot = ground.robot().await;
    let (site, token) = (&ground.site, ground.token("robot"));
    for host in ["bravo.localhost", "localhost", "nobody.localhost"] {
        refused(&ground.change_at(host, &json!({ "token": token })).await, host);
    }
    // The same issuer is another provider elsewhere, for which the token was not made.
    let own = ground.provider.clone();
    let others = add(&ground.site, &ground.site.b, &ground.issuer.url).await;
    ground.provider = others;
    refused(&ground.change_at("bravo.localhost", &json!({ "token": token })).await, "B's");
    refused(&ground.change(&token).await, "B's at A");
    ground.provider = own;

    let remove = "mutation($id: String!) { removeMember(memberId: $id) { userErrors { code } } }";
    ground.changed(&ground.change(&token).await);
    site.mutate(&site.a, remove, json!({ "id": robot.to_string() })).await;
    refused(&ground.change(&token).await, "no member any more");
    let input = json!({ "memberId": robot.to_string(), "roles": ["developer"] });
    let add = "mutation($input: AddMemberInput!) {
        addMember(input: $input) { userErrors { code } } }";
    site.mutate(&site.a, add, json!({ "input": input })).await;
    refused(&ground.change(&token).await, "whoever comes again begins anew");

    ground.robot().await;
    ground.changed(&ground.change(&token).await);
    let remove =
        "mutation($id: String!) { removeProvider(providerId: $id) { userErrors { code } } }";
    ground.site.mutate(&ground.site.a, remove, json!({ "id": ground.provider })).await;
    refused(&ground.change(&token).await, "the provider is gone");
}
