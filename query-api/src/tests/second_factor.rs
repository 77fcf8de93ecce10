//! What a member shows beside a password, at the doors.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::Method as Verb;
use domain::id::{ActorId, TenantId};
use domain::member::Term;
use futures::future::join_all;
use projections::Model;
use projections::temporary::Kind;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret};

use super::accounts::{Answer, Browser, PASSWORD, account, is_in, page};
use super::roles::{REMOVE, member};
use crate::accounts::{Accounts, forget_former};
use crate::testing::{Member, Site, on_each_kind, soon};

/// The host of the first tenant.
const HOST: &str = "alpha.localhost";

on_each_kind! {
    an_app_is_set_up_asked_for_and_removed
    of_many_who_show_a_recovery_code_at_once_one_comes_in
    a_password_is_changed_by_who_shows_what_is_asked_for_beside_it
}

/// What an app that was told this secret shows so many steps from now.
fn shows(secret: &str, steps: u64) -> String {
    let secret = Secret::try_from_base32(secret).unwrap();
    let app = Builder::new().with_secret(secret).build().unwrap();
    let now = u64::try_from(chrono::Utc::now().timestamp()).unwrap();
    app.generate(now + 30 * steps).to_string()
}

impl Browser {
    /// A page says this there in a session.
    async fn within(&self, session: &Member, path: &str, body: &Value) -> Answer {
        let cookie = format!("__Host-callboard={}", session.token);
        let page = page(Verb::POST, HOST, path, body.to_string()).with("cookie", &cookie);
        self.send(page.with("callboard-request", "1").body()).await
    }

    /// What is told to put into an app, once the delay is over that a wrong password has left.
    async fn begins_to_enrol(&self, session: &Member) -> Answer {
        let body = json!({ "password": PASSWORD });
        loop {
            let told = self.within(session, "/api/v1/account/totp", &body).await;
            if told.status != 429 {
                return told;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// What the member of a session sees of how they sign in.
    async fn sees_account(&self, session: &Member) -> Value {
        let cookie = format!("__Host-callboard={}", session.token);
        let page = page(Verb::GET, HOST, "/api/v1/account", String::new()).with("cookie", &cookie);
        json_of(&self.send(page.with("callboard-request", "1").body()).await)
    }
}

fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

/// How the session that has begun last was proved.
async fn methods(site: &Site, tenant: TenantId, session: &Member) -> Vec<String> {
    assert_eq!(session.tenant, tenant);
    let document = "{ viewer { sessions { methods since } } }";
    let seen = site.data(session, document, json!({})).await;
    let sessions = seen["viewer"]["sessions"].as_array().unwrap();
    let last = sessions.iter().max_by_key(|it| it["since"].as_str().unwrap().to_owned()).unwrap();
    last["methods"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// What the audit trail tells of what a member proves who they are by.
async fn told_of(site: &Site, member: ActorId) -> Vec<String> {
    site.all_shown(&[Model::Audit]).await;
    let document = "query($stream: String!) {
        audit(last: 9, matching: {stream: $stream, types: [\"member.credential-changed\"]}) {
            nodes { sequence actor body }
        }
    }";
    let stream = member.to_string();
    let trail = site.data(&site.a, document, json!({ "stream": stream })).await;
    let mut nodes = trail["audit"]["nodes"].as_array().unwrap().clone();
    nodes.sort_by_key(|it| it["sequence"].as_u64());
    assert!(nodes.iter().all(|it| it["actor"] == json!(stream)), "they did it themselves");
    nodes.iter().map(|it| it["body"]["change"].as_str().unwrap().to_owned()).collect()
}

/// Has an app be asked for from the member of a session: their next one, the secret and recovery codes.
async fn equip(browser: &Browser, session: &Member) -> (Member, String, Vec<String>) {
    let body = json!({ "password": PASSWORD });
    let told = json_of(&browser.within(session, "/api/v1/account/totp", &body).await);
    let secret = told["secret"].as_str().unwrap().to_owned();
    let body = json!({ "code": shows(&secret, 0) });
    let path = "/api/v1/account/totp/confirm";
    let mut confirmed = browser.within(session, path, &body).await;
    let said = json_of(&confirmed);
    assert_eq!(said["otherSessionsEnded"], json!(true));
    confirmed.status = 204;
    let codes = serde_json::from_value(said["recoveryCodes"].clone()).unwrap();
    (confirmed.session(session.tenant), secret, codes)
}

/// In a database others come between looking and writing.
async fn of_many_who_show_a_recovery_code_at_once_one_comes_in(on: Kind) {
    let site = Site::start_on(on).await;
    let ((ada, _), browser) = (member(&site, &["developer"]).await, Browser::of(&site));
    account(&site, site.a.tenant, ada, "ada").await;
    let session = browser.sign_in(HOST, "ada", PASSWORD).await.session(site.a.tenant);
    let (_, _, codes) = equip(&browser, &session).await;
    let body = json!({ "login": "ada", "password": PASSWORD, "recoveryCode": codes[0] });
    let all = (0..4).map(|_| browser.say(HOST, "/api/v1/sign-in", &body));
    let all = join_all(all).await;
    let entered = all.iter().filter(|it| it.status == 204).count();
    assert_eq!(entered, 1, "{all:?}");

    // And what is asked for goes with the member.
    let accounts = Accounts::new(site.keyring.clone(), Arc::new(commands::SystemClock));
    let left = async || accounts.second_factor(site.a.tenant, ada, Term(1)).await.unwrap();
    assert_eq!(left().await.unwrap().recovery_codes_left, 9);
    site.mutate(&site.a, REMOVE, json!({ "member": ada.to_string() })).await;
    forget_former(&site.commands, &site.keyring, &mut HashMap::new()).await.unwrap();
    assert_eq!(left().await, None);
}

async fn a_password_is_changed_by_who_shows_what_is_asked_for_beside_it(on: Kind) {
    let site = Site::start_on(on).await;
    let ((ada, _), browser) = (member(&site, &["developer"]).await, Browser::of(&site));
    let tenant = site.a.tenant;
    account(&site, tenant, ada, "ada").await;
    let session = browser.sign_in(HOST, "ada", PASSWORD).await.session(tenant);
    let (session, secret, _) = equip(&browser, &session).await;
    let change = async |beside: Value| {
        let mut body = json!({ "current": PASSWORD, "new": "uvlhqktmrozc" });
        body.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
        let page = page(Verb::PUT, HOST, "/api/v1/account/password", body.to_string());
        let cookie = format!("__Host-callboard={}", session.token);
        browser.send(page.with("cookie", &cookie).with("callboard-request", "1").body()).await
    };
    assert_eq!(change(json!({})).await.code(), "SECOND_FACTOR_REQUIRED");
    let changed = change(json!({ "code": shows(&secret, 1) })).await.session(tenant);
    assert_eq!(methods(&site, tenant, &changed).await, ["pwd", "otp", "mfa"]);
    let asked = browser.sign_in(HOST, "ada", "uvlhqktmrozc").await;
    assert_eq!(asked.code(), "SECOND_FACTOR_REQUIRED", "it is asked for beside the new one");
}

async fn an_app_is_set_up_asked_for_and_removed(on: Kind) {
    let site = Site::start_on(on).await;
    let ((ada, bearer), browser) = (member(&site, &["developer"]).await, Browser::of(&site));
    let tenant = site.a.tenant;
    account(&site, tenant, ada, "ada").await;
    let session = browser.sign_in(HOST, "ada", PASSWORD).await.session(tenant);
    let elsewhere = browser.sign_in(HOST, "ada", PASSWORD).await.session(tenant);
    assert_eq!(browser.sees_account(&session).await, json!({ "login": "ada" }));

    let totp = "/api/v1/account/totp";
    let refused = browser.within(&session, totp, &json!({ "password": "uvlhqktmrozc" })).await;
    assert_eq!(refused.code(), "SIGN_IN_REFUSED");
    let confirm = "/api/v1/account/totp/confirm";
    let early = browser.within(&session, confirm, &json!({ "code": "000000" })).await;
    assert_eq!(early.code(), "NO_ENROLMENT");
    let told = soon(browser.begins_to_enrol(&session)).await;
    assert!(told.headers.contains(&("cache-control".to_owned(), "no-store".to_owned())));
    let told = json_of(&told);
    let secret = told["secret"].as_str().unwrap();
    assert!(told["uri"].as_str().unwrap().starts_with("otpauth://totp/"), "{told}");
    let wrong = browser.within(&session, confirm, &json!({ "code": "x" })).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (403, "SECOND_FACTOR_REFUSED"));
    let code = shows(secret, 0);
    let mut confirmed = browser.within(&session, confirm, &json!({ "code": code })).await;
    let codes = json_of(&confirmed)["recoveryCodes"].clone();
    let codes: Vec<String> = serde_json::from_value(codes).unwrap();
    assert_eq!(codes.len(), 10);
    confirmed.status = 204;
    let anew = confirmed.session(tenant);
    for ended in [&session, &elsewhere] {
        assert!(!is_in(&site, ended).await, "who is in them has shown the password alone");
    }
    assert_eq!(methods(&site, tenant, &anew).await, ["pwd", "otp", "mfa"]);
    let expected = json!({ "login": "ada", "secondFactor": { "recoveryCodesLeft": 10 } });
    assert_eq!(browser.sees_account(&anew).await, expected);

    let sign_in = async |beside: Value| {
        let mut body = json!({ "login": "ada", "password": PASSWORD });
        body.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
        browser.say(HOST, "/api/v1/sign-in", &body).await
    };
    let asked = sign_in(json!({})).await;
    assert_eq!((asked.status, asked.code().as_str()), (403, "SECOND_FACTOR_REQUIRED"));
    let both = sign_in(json!({ "code": code, "recoveryCode": codes[0] })).await;
    assert_eq!(both.status, 400, "{both:?}");
    let next = sign_in(json!({ "code": shows(secret, 1) })).await.session(tenant);
    assert!(is_in(&site, &next).await);
    let replayed = sign_in(json!({ "code": code })).await;
    assert_eq!(replayed.code(), "SECOND_FACTOR_REFUSED");
    let recovered = sign_in(json!({ "recoveryCode": codes[0] })).await.session(tenant);
    assert_eq!(methods(&site, tenant, &recovered).await, ["pwd", "mfa"]);

    let again = |code: &str| json!({ "password": PASSWORD, "recoveryCode": code });
    let renew = "/api/v1/account/recovery-codes";
    let renewed = json_of(&browser.within(&recovered, renew, &again(&codes[1])).await);
    let renewed: Vec<String> = serde_json::from_value(renewed["recoveryCodes"].clone()).unwrap();
    let remove = "/api/v1/account/totp/remove";
    let former = browser.within(&recovered, remove, &again(&codes[2])).await;
    assert_eq!(former.code(), "SECOND_FACTOR_REFUSED");
    let removed = browser.within(&recovered, remove, &again(&renewed[0])).await.session(tenant);
    assert!(!is_in(&site, &recovered).await && is_in(&site, &removed).await);
    assert_eq!(browser.sees_account(&removed).await, json!({ "login": "ada" }));
    let nothing = browser.within(&removed, remove, &json!({ "password": PASSWORD })).await;
    assert_eq!(nothing.code(), "NO_SECOND_FACTOR");
    browser.sign_in(HOST, "ada", PASSWORD).await.session(tenant);
    let expected = ["second-factor-set", "recovery-codes-replaced", "second-factor-removed"];
    assert_eq!(told_of(&site, ada).await, expected);

    // Whoever is in no session says nothing about an account.
    for path in [totp, confirm, remove, renew] {
        let page = page(Verb::POST, HOST, path, json!({ "password": PASSWORD }).to_string());
        let bearer = format!("Bearer {}", bearer.token);
        assert_eq!(browser.send(page.with("authorization", &bearer).body()).await.status, 403);
    }
}
