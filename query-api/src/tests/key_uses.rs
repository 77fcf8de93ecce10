//! When API keys were used last, as it is shown and as it is stored.

use std::collections::{BTreeSet, HashMap};

use ::vault::{RecordError, RecordKind};
use chrono::{DateTime, TimeDelta, Utc};
use domain::Principal;
use domain::id::{ActorId, TenantId};
use projections::temporary::Kind;
use serde_json::{Value, json};

use super::api_keys::{REVOKE, issue};
use super::roles::{REMOVE, member};
use super::sessions::actor;
use crate::accounts::forget_former;
use crate::key_uses::{KeyUses, KeyUsesFault, PRECISION, Uses, of_members};
use crate::testing::{Member, Site, on_each_kind};

const OWN: &str = "{ viewer { apiKeys { keyId lastUsedAt } } }";

/// Writes what was noted, as is done now and then.
async fn write(site: &Site, now: DateTime<Utc>) -> Result<(), KeyUsesFault> {
    site.context.key_uses().write(&site.commands, &site.keyring, now).await
}

/// When one's own key was used last, as one is shown it.
async fn shown(site: &Site, who: &Member, key: &str) -> Option<DateTime<Utc>> {
    let answer = site.data(who, OWN, json!({})).await;
    let keys = answer["viewer"]["apiKeys"].as_array().unwrap().clone();
    let found = keys.iter().find(|it| it["keyId"] == key).unwrap_or_else(|| panic!("{answer}"));
    found["lastUsedAt"].as_str().map(|it| it.parse().unwrap())
}

/// Which state the record of a member is in, if there is one.
async fn state(site: &Site, tenant: TenantId, member: ActorId) -> Option<u64> {
    let keys = site.keyring.existing(tenant).await.unwrap();
    let name = member.to_string();
    let place = (RecordKind::KeyUses, name.as_str());
    let known = site.keyring.records().get(&keys, place, Utc::now()).await.unwrap();
    known.map(|it| it.version.0)
}

/// Who an API key is.
async fn principal(site: &Site, id: &str, key: &Member) -> Principal {
    let id = id.parse().unwrap();
    let known = site.commands.principal_of_api_key(key.tenant, id, &key.token).await;
    known.unwrap().expect("it is good").0
}

on_each_kind! {
    a_key_says_when_it_was_used_last_and_one_that_was_not_says_nothing
    what_is_stored_goes_with_the_key
}

async fn a_key_says_when_it_was_used_last_and_one_that_was_not_says_nothing(on: Kind) {
    let site = Site::start_on(on).await;
    let (used, key) = issue(&site, &site.a, &["audit.read"]).await;
    let (unused, _) = issue(&site, &site.a, &["audit.read"]).await;
    let begun = Utc::now();
    assert_eq!(site.get(&key, "/api/v1/events").await.status, 200);
    write(&site, Utc::now()).await.unwrap();
    let at = shown(&site, &site.a, &used).await.expect("it was used");
    assert!(begun <= at && at <= Utc::now(), "{at}");
    assert_eq!(shown(&site, &site.a, &unused).await, None);
    // Members say the same of it, to whom they are shown.
    let document = "{ members(first: 10) { nodes { apiKeys { keyId lastUsedAt } } } }";
    let answer = site.data(&site.a, document, json!({})).await.to_string();
    assert!(answer.contains(&format!("\"{used}\",\"lastUsedAt\":\"")), "{answer}");
    assert!(answer.contains(&format!("\"{unused}\",\"lastUsedAt\":null")), "{answer}");
    // A credential that is not let in is no use.
    let wrong = Member { tenant: key.tenant, token: key.token[..key.token.len() - 2].to_owned() };
    assert_eq!(site.get(&wrong, "/api/v1/events").await.status, 401);
    write(&site, Utc::now()).await.unwrap();
    assert_eq!(shown(&site, &site.a, &used).await, Some(at));
}

#[tokio::test]
async fn a_flood_is_written_once_and_a_use_much_later_again() {
    let site = Site::start().await;
    let (id, key) = issue(&site, &site.a, &["audit.read"]).await;
    let owner = actor(&site, &site.a).await;
    let mut states = BTreeSet::new();
    for _ in 0..20 {
        assert_eq!(site.get(&key, "/api/v1/events").await.status, 200);
        write(&site, Utc::now()).await.unwrap();
        states.extend(state(&site, site.a.tenant, owner).await);
    }
    assert_eq!(states.len(), 1, "it was written once");
    // The control: what is used after a while is written.
    let (uses, first) = (site.context.key_uses(), shown(&site, &site.a, &id).await.unwrap());
    let principal = principal(&site, &id, &key).await;
    uses.note(&principal, first + PRECISION - TimeDelta::seconds(1));
    write(&site, Utc::now()).await.unwrap();
    assert_eq!(shown(&site, &site.a, &id).await, Some(first));
    uses.note(&principal, first + PRECISION);
    write(&site, Utc::now()).await.unwrap();
    assert_eq!(shown(&site, &site.a, &id).await, Some(first + PRECISION));
}

#[tokio::test]
async fn of_two_processes_the_later_use_counts() {
    let site = Site::start().await;
    let (id, key) = issue(&site, &site.a, &["audit.read"]).await;
    let principal = principal(&site, &id, &key).await;
    let (one, other, now) = (KeyUses::default(), KeyUses::default(), Utc::now());
    one.note(&principal, now);
    other.note(&principal, now - TimeDelta::seconds(90));
    let (commands, keyring) = (&site.commands, &site.keyring);
    let (first, second) =
        tokio::join!(one.write(commands, keyring, now), other.write(commands, keyring, now));
    first.unwrap();
    second.unwrap();
    let shown = shown(&site, &site.a, &id).await.unwrap();
    assert_eq!(shown.timestamp_micros(), now.timestamp_micros());
}

#[tokio::test]
async fn no_other_tenant_is_shown_any_of_it() {
    let site = Site::start().await;
    let (id, key) = issue(&site, &site.a, &["audit.read"]).await;
    let owner = actor(&site, &site.a).await;
    // The same person has a key in the other tenant, which they have not used.
    site.make_owner(site.b.tenant, owner).await;
    let there = site.stranger(site.b.tenant, owner);
    let (other, _) = issue(&site, &there, &["audit.read"]).await;
    assert_eq!(site.get(&key, "/api/v1/events").await.status, 200);
    write(&site, Utc::now()).await.unwrap();
    assert_eq!(shown(&site, &there, &other).await, None);
    let elsewhere = of_members(&site.keyring, site.b.tenant, &[owner]).await.unwrap();
    assert_eq!(elsewhere, [Uses::new()]);
    // The control: it is there for who may see it.
    let here = of_members(&site.keyring, site.a.tenant, &[owner]).await.unwrap();
    assert!(here[0].contains_key(&id.parse().unwrap()), "{here:?}");
}

async fn what_is_stored_goes_with_the_key(on: Kind) {
    let site = Site::start_on(on).await;
    let owner = actor(&site, &site.a).await;
    let (first, one) = issue(&site, &site.a, &["audit.read"]).await;
    let (second, other) = issue(&site, &site.a, &["audit.read"]).await;
    for key in [&one, &other] {
        assert_eq!(site.get(key, "/api/v1/events").await.status, 200);
    }
    write(&site, Utc::now()).await.unwrap();
    let stored = async || {
        let stored = of_members(&site.keyring, site.a.tenant, &[owner]).await.unwrap();
        stored[0].keys().map(ToString::to_string).collect::<BTreeSet<_>>()
    };
    assert_eq!(stored().await, BTreeSet::from([first.clone(), second.clone()]));
    site.mutate(&site.a, REVOKE, json!({ "key": first })).await;
    write(&site, Utc::now()).await.unwrap();
    assert_eq!(stored().await, BTreeSet::from([second.clone()]));
    site.mutate(&site.a, REVOKE, json!({ "key": second })).await;
    write(&site, Utc::now()).await.unwrap();
    assert_eq!(state(&site, site.a.tenant, owner).await, None);

    // With who is no member any more, too.
    let (id, somebody) = member(&site, &["owner"]).await;
    let (_, key) = issue(&site, &somebody, &["audit.read"]).await;
    assert_eq!(site.get(&key, "/api/v1/events").await.status, 200);
    write(&site, Utc::now()).await.unwrap();
    assert!(state(&site, site.a.tenant, id).await.is_some(), "the control");
    site.mutate(&site.a, REMOVE, json!({ "member": id.to_string() })).await;
    forget_former(&site.commands, &site.keyring, &mut HashMap::new()).await.unwrap();
    assert_eq!(state(&site, site.a.tenant, id).await, None);
}

#[tokio::test]
async fn while_the_vault_is_away_keys_are_good_and_what_was_noted_is_written_later() {
    let site = Site::start().await;
    let (id, key) = issue(&site, &site.a, &["audit.read"]).await;
    assert_eq!(site.get(&site.a, "/api/v1/events").await.status, 200);
    site.vault.leave();
    let begun = Utc::now();
    assert_eq!(site.get(&key, "/api/v1/events").await.status, 200);
    let used = Utc::now();
    let failed = write(&site, Utc::now()).await;
    assert!(matches!(failed, Err(KeyUsesFault::Record(RecordError::Vault(_)))), "{failed:?}");
    let answer = site.graphql(&site.a, OWN, Value::Null).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAVAILABLE", "{answer}");
    site.vault.come_back();
    write(&site, Utc::now()).await.unwrap();
    let at = shown(&site, &site.a, &id).await.unwrap();
    assert!(begun <= at && at <= used, "{at}");
}
