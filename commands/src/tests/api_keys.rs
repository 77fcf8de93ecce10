//! What an API key may do: what it was issued for, as long as its member may do so.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use domain::Principal;
use domain::id::{ActorId, TenantId};
use domain::member::ApiKey;
use domain::operation::Operation;
use domain::principal::{Permission, Scope};
use uuid::Uuid;

use super::access::{add, begin, give, member, refusal, remove};
use super::cluster::Cluster;
use super::installation::{Installation, put};
use crate::commands::Commands;
use crate::grants::SecretOf;
use crate::settings::Sabotage;

const SECRET: &str = "cbk_of-the-test";

/// A new key of `who`, issued for this and good for an hour.
async fn asked(commands: &Commands, who: &Principal, scope: &[Permission]) -> (ActorId, ApiKey) {
    let secret = commands.digest_of_secret(who.tenant(), SecretOf::ApiKey, SECRET).await.unwrap();
    let (name, scope) = ("ci".parse().unwrap(), scope.to_vec());
    let expires_at = Utc::now() + TimeDelta::hours(1);
    (ActorId(Uuid::now_v7()), ApiKey { name, scope, secret, expires_at })
}

pub(super) async fn issue(
    installation: &Installation,
    who: &Principal,
    scope: &[Permission],
) -> Principal {
    let (key, asked) = asked(&installation.commands, who, scope).await;
    installation.submit(who, Operation::IssueApiKey { key, asked }).await.unwrap();
    known(&installation.commands, who.tenant(), key).await.expect("it was issued")
}

async fn known(commands: &Commands, tenant: TenantId, key: ActorId) -> Option<Principal> {
    let known = commands.principal_of_api_key(tenant, key, SECRET).await;
    known.unwrap().map(|it| it.0)
}

#[tokio::test]
async fn a_key_may_do_what_it_was_issued_for_as_long_as_its_member_may() {
    let (installation, owner) = begin(None).await;
    let ada = member(&installation, &owner, &["developer"]).await;
    let scope = [Permission::EntityWrite, Permission::TenantWrite];
    let key = issue(&installation, &ada, &scope).await;
    assert_eq!(key.authorize(Permission::EntityWrite), Ok(Scope::All));
    for lacking in [Permission::EntityRead, Permission::TenantWrite] {
        assert!(key.authorize(lacking).is_err(), "{lacking:?}");
    }
    let recorded = installation.submit(&key, put("web")).await.unwrap();
    assert_eq!(recorded.events.len(), 1);
    assert_eq!(refusal(&installation, &key, Operation::CloseTenant).await, "DENIED");

    installation.submit(&owner, give(ada.actor(), &["viewer"])).await.unwrap();
    assert_eq!(refusal(&installation, &key, put("api")).await, "DENIED");
    installation.submit(&owner, give(ada.actor(), &["developer"])).await.unwrap();
    installation.submit(&key, put("api")).await.unwrap();
}

#[tokio::test]
async fn a_key_that_was_let_in_is_asked_for_again_when_it_is_decided() {
    for sabotage in [None, Some(Sabotage::AuthorizeNobody)] {
        let (installation, owner) = begin(sabotage).await;
        let key = issue(&installation, &owner, &[Permission::EntityWrite]).await;
        let revoke = Operation::RevokeApiKey { member: None, key: key.actor() };
        installation.submit(&owner, revoke).await.unwrap();
        assert_eq!(known(&installation.commands, owner.tenant(), key.actor()).await, None);
        let put = installation.submit(&key, put("web")).await;
        assert_eq!(put.is_ok(), sabotage.is_some(), "{put:?}");
    }
}

#[tokio::test]
async fn keys_go_with_their_member_and_do_not_come_back() {
    let (mut installation, owner) = begin(None).await;
    let ada = member(&installation, &owner, &["developer"]).await;
    let kept = issue(&installation, &owner, &[Permission::EntityWrite]).await;
    let key = issue(&installation, &ada, &[Permission::EntityWrite]).await;
    installation.submit(&owner, remove(&ada)).await.unwrap();
    installation.submit(&owner, add(ada.actor(), &["developer"])).await.unwrap();
    for forget in [false, true] {
        assert_eq!(known(&installation.commands, owner.tenant(), key.actor()).await, None);
        assert_eq!(refusal(&installation, &key, put("web")).await, "DENIED");
        installation.submit(&kept, put(&format!("kept-{forget}"))).await.unwrap();
        if forget {
            installation.forget_snapshots().await;
            installation.start_again().await;
        } else {
            installation.restart().await;
        }
    }
    let again = known(&installation.commands, owner.tenant(), kept.actor()).await;
    assert_eq!(again, Some(kept), "it was in the snapshot, and in the log");
}

#[tokio::test]
async fn only_the_secret_it_was_issued_with_is_taken_for_the_key_and_only_in_its_tenant() {
    let (installation, owner) = begin(None).await;
    let key = issue(&installation, &owner, &[Permission::EntityWrite]).await;
    let of = async |tenant, secret| {
        installation.commands.principal_of_api_key(tenant, key.actor(), secret).await.unwrap()
    };
    assert!(of(owner.tenant(), SECRET).await.is_some());
    assert!(of(owner.tenant(), "cbk_of-another-test").await.is_none());
    assert!(of(TenantId::SYSTEM, SECRET).await.is_none());
    assert!(of(TenantId(Uuid::now_v7()), SECRET).await.is_none());
}

#[tokio::test]
async fn a_key_issues_and_revokes_none_and_gives_no_more_than_it_may() {
    let (installation, owner) = begin(None).await;
    let key = issue(&installation, &owner, &[Permission::MemberWrite]).await;
    let (another, asked) = asked(&installation.commands, &key, &[Permission::EntityRead]).await;
    let issue_another = Operation::IssueApiKey { key: another, asked: asked.clone() };
    assert_eq!(refusal(&installation, &key, issue_another).await, "DENIED");
    let scope = vec![Permission::ApiKeyWrite];
    let beyond = Operation::IssueApiKey { key: another, asked: ApiKey { scope, ..asked } };
    let invalid = installation.submit(&owner, beyond).await.unwrap_err().to_string();
    assert!(invalid.contains("cannot issue"), "{invalid}");

    // Its member is an owner, but it was not issued for what a viewer may.
    let ada = ActorId(Uuid::now_v7());
    assert_eq!(refusal(&installation, &key, add(ada, &["viewer"])).await, "BEYOND_GRANTOR");
    installation.submit(&owner, add(ada, &["viewer"])).await.unwrap();
}

#[tokio::test]
async fn who_manages_members_revokes_their_keys_and_nobody_else_does() {
    let (installation, owner) = begin(None).await;
    let ada = member(&installation, &owner, &["developer"]).await;
    let admin = member(&installation, &owner, &["admin"]).await;
    let key = issue(&installation, &ada, &[Permission::EntityWrite]).await;
    let own = || Operation::RevokeApiKey { member: None, key: key.actor() };
    let of =
        |who: &Principal| Operation::RevokeApiKey { member: Some(who.actor()), key: key.actor() };
    assert_eq!(refusal(&installation, &admin, own()).await, "API_KEY_NOT_FOUND");
    assert_eq!(refusal(&installation, &ada, of(&ada)).await, "DENIED");
    assert_eq!(refusal(&installation, &admin, of(&owner)).await, "API_KEY_NOT_FOUND");
    installation.submit(&admin, of(&ada)).await.unwrap();
    assert_eq!(known(&installation.commands, owner.tenant(), key.actor()).await, None);

    // That of an owner too, who may more: it is not given to anybody.
    let key = issue(&installation, &owner, &[Permission::TenantWrite]).await;
    let revoke = Operation::RevokeApiKey { member: Some(owner.actor()), key: key.actor() };
    installation.submit(&admin, revoke).await.unwrap();
    assert_eq!(known(&installation.commands, owner.tenant(), key.actor()).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_known_everywhere_once_it_was_issued_and_what_is_open_ends_with_it() {
    let cluster = Cluster::new(2, 1, None).await;
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    let ada = ActorId(Uuid::now_v7());
    cluster.submit(&acme, add(ada, &["developer"])).await.unwrap();
    let ada = cluster.nodes[0].principal(acme.tenant(), ada).await.unwrap();
    let (key, asked) = asked(&cluster.nodes[0], &ada, &[Permission::EntityRead]).await;
    cluster.submit(&ada, Operation::IssueApiKey { key, asked }).await.unwrap();
    let known = known(&cluster.nodes[1], acme.tenant(), key).await.expect("it was issued");
    let mut ended = std::pin::pin!(cluster.nodes[1].ended(&known));
    let waited = tokio::time::timeout(Duration::from_secs(10), &mut ended).await;
    assert!(waited.is_err(), "nothing has changed");
    cluster.submit(&ada, Operation::RevokeApiKey { member: None, key }).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(5), ended).await;
    waited.expect("whose key was revoked is told within five seconds");
}
