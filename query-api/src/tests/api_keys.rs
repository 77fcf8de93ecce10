//! API keys at the doors: shown once, good for what they were issued for, and for no longer.

use chrono::{TimeDelta, Utc};
use domain::id::{ActorId, TenantId};
use futures::StreamExt;
use outbound::Request;
use projections::temporary::Kind;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::live::connect;
use super::seeded::{apply, component, put};
use crate::testing::{Member, Site, on_each_kind, soon};

pub(super) const ISSUE: &str = "mutation($input: IssueApiKeyInput!, $options: CommandOptions) {
    issueApiKey(input: $input, options: $options) {
        keyId secret userErrors { code message path } outcome { remembered position }
    }
}";

pub(super) const REVOKE: &str = "mutation($key: String!) {
    revokeApiKey(keyId: $key) { userErrors { code } outcome { position } }
}";

fn input(scope: &[&str], hours: i64) -> Value {
    let ends = Utc::now() + TimeDelta::hours(hours);
    json!({ "name": "ci", "scope": scope, "expiresAt": ends.to_rfc3339() })
}

/// A new key of somebody, good for an hour.
pub(super) async fn issue(site: &Site, who: &Member, scope: &[&str]) -> (String, Member) {
    let variables = json!({ "input": input(scope, 1) });
    let issued = site.mutate(who, ISSUE, variables).await;
    let text = |field: &str| issued[field].as_str().expect("it was issued").to_owned();
    (text("keyId"), Member { tenant: who.tenant, token: text("secret") })
}

async fn status(site: &Site, who: &Member) -> u16 {
    site.get(who, "/api/v1/events").await.status
}

on_each_kind! {
    a_key_is_a_credential_at_every_door_until_it_is_revoked
    a_key_is_shown_once
}

async fn a_key_is_a_credential_at_every_door_until_it_is_revoked(on: Kind) {
    let site = Site::start_on(on).await;
    let (id, key) = issue(&site, &site.a, &["entity.read", "entity.write", "audit.read"]).await;
    let document = "{ viewer { actor tenantId permissions { name } apiKeys { keyId } } }";
    let viewer = site.data(&key, document, json!({})).await["viewer"].take();
    assert_eq!((&viewer["actor"], &viewer["apiKeys"][0]["keyId"]), (&json!(id), &json!(id)));
    assert_eq!(viewer["permissions"].as_array().unwrap().len(), 3, "{viewer}");
    let changes = json!([put(&component("web", "amber"), None)]);
    let applied = apply(&site, &key, changes).await;
    assert_eq!(status(&site, &key).await, 200);
    let denied = site.graphql(&key, "{ meters { totalCount } }", json!({})).await;
    assert_eq!(denied["errors"][0]["extensions"]["code"], "FORBIDDEN");

    // What it did is recorded under its own name.
    let document = "{ audit(first: 1) { nodes { actor } } }";
    let position = applied["outcome"]["position"].as_str().unwrap();
    let events = site.seen(&site.a, position, document).await;
    assert_eq!(events["audit"]["nodes"][0]["actor"], json!(id), "{events}");

    let request = Request::get(site.url("/api/v1/events?after=0"));
    let mut stream = site.stream(&key, request).await;
    stream.next().await.expect("there is something to be read");
    let mut socket = connect(&site, &key).await;
    site.mutate(&site.a, REVOKE, json!({ "key": id })).await;
    soon(async { while stream.next().await.is_some() {} }).await;
    let closed = soon(socket.next()).await.unwrap().unwrap();
    assert!(matches!(closed, Message::Close(_)), "{closed:?}");
    assert_eq!(status(&site, &key).await, 401);
    assert_eq!(status(&site, &site.a).await, 200);
}

async fn a_key_is_shown_once(on: Kind) {
    let site = Site::start_on(on).await;
    let variables = json!({ "input": input(&["entity.read"], 1),
        "options": { "idempotencyKey": "once" } });
    let first = site.mutate(&site.a, ISSUE, variables.clone()).await;
    let again = site.mutate(&site.a, ISSUE, variables).await;
    assert_eq!((&again["keyId"], &again["secret"]), (&first["keyId"], &Value::Null));
    let variables = json!({ "input": input(&["entity.read"], 1), "options": { "preview": true } });
    let preview = site.mutate(&site.a, ISSUE, variables).await;
    assert_eq!(preview["secret"], Value::Null);
    let key = first["secret"].as_str().unwrap();

    // Nothing that is recorded or can be read holds it.
    let document = "{ members(first: 10) { nodes { apiKeys { keyId name scope expiresAt } } }
        audit(first: 10) { nodes { body } } }";
    let position = first["outcome"]["position"].as_str().unwrap();
    let seen = site.seen(&site.a, position, document).await.to_string();
    assert!(seen.contains(first["keyId"].as_str().unwrap()), "{seen}");
    assert!(!seen.contains(key) && !seen.contains(&key[40..]), "{seen}");
}

#[tokio::test]
async fn what_is_no_key_of_this_tenant_is_refused_at_the_door() {
    let site = Site::start().await;
    let (_, key) = issue(&site, &site.a, &["audit.read"]).await;
    let swap = |from: TenantId, to: TenantId| {
        key.token.replace(&from.0.as_simple().to_string(), &to.0.as_simple().to_string())
    };
    for token in [
        swap(site.a.tenant, site.b.tenant),
        key.token.to_uppercase(),
        key.token[..key.token.len() - 2].to_owned(),
        "cbk_".to_owned(),
    ] {
        let refused = Member { tenant: site.a.tenant, token };
        assert_eq!(status(&site, &refused).await, 401, "{}", refused.token);
    }
    // B's owner can neither see nor revoke it.
    let own = site.data(&site.b, "{ viewer { apiKeys { keyId } } }", json!({})).await;
    assert_eq!(own["viewer"]["apiKeys"], json!([]));
    let document = "{ viewer { apiKeys { keyId } } }";
    let id = site.data(&site.a, document, json!({})).await["viewer"]["apiKeys"][0]["keyId"].take();
    let revoke = site.data(&site.b, REVOKE, json!({ "key": id })).await;
    assert_eq!(revoke["revokeApiKey"]["userErrors"][0]["code"], "API_KEY_NOT_FOUND");
    assert_eq!(status(&site, &key).await, 200);
}

#[tokio::test]
async fn what_a_key_cannot_be_is_told_with_the_field_and_the_fix() {
    let site = Site::start().await;
    for (input, code, part) in [
        (input(&["entity.raed"], 1), "BAD_USER_INPUT", "entity.raed"),
        (input(&[], 1), "BAD_USER_INPUT", "scope"),
        (input(&["api-key.write"], 1), "BAD_USER_INPUT", "cannot issue"),
        (input(&["entity.read"], 24 * 400), "API_KEY_LIFETIME", "366 days"),
        (input(&["entity.read"], -1), "API_KEY_LIFETIME", "366 days"),
    ] {
        let answer = site.data(&site.a, ISSUE, json!({ "input": input })).await;
        let error = &answer["issueApiKey"]["userErrors"][0];
        assert_eq!(error["code"], code, "{answer}");
        assert!(error.to_string().contains(part), "{answer}");
    }
    let stranger = site.stranger(site.a.tenant, ActorId(uuid::Uuid::now_v7()));
    let denied = site.graphql(&stranger, ISSUE, json!({ "input": input(&["entity.read"], 1) }));
    assert_eq!(denied.await["errors"][0]["extensions"]["code"], "FORBIDDEN");
}
