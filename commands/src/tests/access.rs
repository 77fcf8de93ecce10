//! Who may do what is decided by members and roles at the instant of the decision.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::Principal;
use domain::id::{ActorId, TenantId};
use domain::operation::Operation;
use domain::principal::{Permission, Predicate, Scope};
use domain::role::{BuiltIn, Permit, RoleName};
use event_log::Partition;
use uuid::Uuid;

use super::cluster::Cluster;
use super::installation::{self, Installation, SOON, operator, put};
use crate::request::{CommandError, IdempotencyKey, Repetition, Request};
use crate::settings::Sabotage;
use crate::within::{Sight, Within};

fn roles(names: &[&str]) -> BTreeSet<RoleName> {
    names.iter().map(|it| it.parse().unwrap()).collect()
}

pub(super) fn add(member: ActorId, names: &[&str]) -> Operation {
    Operation::AddMember { member, name: Some("Ada".to_owned()), roles: roles(names) }
}

pub(super) fn give(member: ActorId, names: &[&str]) -> Operation {
    Operation::ChangeMemberRoles { member, roles: roles(names) }
}

pub(super) fn remove(who: &Principal) -> Operation {
    Operation::RemoveMember { member: who.actor() }
}

fn define(name: &str, permits: Vec<Permit>) -> Operation {
    Operation::DefineRole { role: name.parse().unwrap(), permits }
}

/// An installation with a tenant, and its owner.
pub(super) async fn begin(sabotage: Option<Sabotage>) -> (Installation, Principal) {
    let installation = Installation::with(1, |it| it.sabotage = sabotage).await;
    let (tenant, owner) = (TenantId(Uuid::now_v7()), ActorId(Uuid::now_v7()));
    let register = Operation::RegisterTenant {
        tenant,
        slug: "acme".parse().unwrap(),
        name: "Acme".parse().unwrap(),
        owner: Some(owner),
    };
    installation.submit(&operator(), register).await.unwrap();
    installation.commands.created(tenant, SOON).await.unwrap();
    let owner = installation.commands.principal(tenant, owner).await.unwrap();
    (installation, owner)
}

/// Somebody new with these roles.
pub(super) async fn member(
    installation: &Installation,
    owner: &Principal,
    names: &[&str],
) -> Principal {
    let actor = ActorId(Uuid::now_v7());
    installation.submit(owner, add(actor, names)).await.unwrap();
    installation.commands.principal(owner.tenant(), actor).await.unwrap()
}

#[track_caller]
fn code(error: &CommandError) -> String {
    match error {
        CommandError::Rejected { code, .. } => code.to_string(),
        CommandError::Denied(_) => "DENIED".to_owned(),
        other => panic!("{other}"),
    }
}

pub(super) async fn refusal(
    installation: &Installation,
    who: &Principal,
    operation: Operation,
) -> String {
    code(&installation.submit(who, operation).await.unwrap_err())
}

#[tokio::test]
async fn whoever_is_named_at_registration_owns_the_tenant_and_nobody_else_is_anything() {
    let (installation, owner) = begin(None).await;
    installation.submit(&owner, put("web")).await.unwrap();
    let stranger = ActorId(Uuid::now_v7());
    let stranger = installation.commands.principal(owner.tenant(), stranger).await.unwrap();
    assert_eq!(refusal(&installation, &stranger, put("api")).await, "DENIED");
    let elsewhere = installation.commands.principal(TenantId::SYSTEM, owner.actor()).await;
    assert!(elsewhere.unwrap().authorize(Permission::DirectoryRead).is_err());
}

#[tokio::test]
async fn who_was_removed_is_refused_by_the_owner_although_they_were_let_in_before() {
    let (installation, owner) = begin(None).await;
    let developer = member(&installation, &owner, &["developer"]).await;
    installation.submit(&developer, put("web")).await.unwrap();
    installation.submit(&owner, remove(&developer)).await.unwrap();
    assert_eq!(refusal(&installation, &developer, put("api")).await, "DENIED");
    let now = installation.commands.principal(owner.tenant(), developer.actor()).await.unwrap();
    assert!(now.authorize(Permission::EntityRead).is_err());

    // Control: an owner that does not ask lets them in.
    let (installation, owner) = begin(Some(Sabotage::AuthorizeNobody)).await;
    let developer = member(&installation, &owner, &["developer"]).await;
    installation.submit(&owner, remove(&developer)).await.unwrap();
    installation.submit(&developer, put("api")).await.unwrap();
}

#[tokio::test]
async fn a_removal_and_what_the_removed_one_asks_for_at_the_same_time_are_in_one_order() {
    let (installation, owner) = begin(None).await;
    for round in 0..20 {
        let developer = member(&installation, &owner, &["developer"]).await;
        let removing = installation.submit(&owner, remove(&developer));
        let putting = installation.submit(&developer, put(&format!("web-{round}")));
        let (removed, put) = tokio::join!(removing, putting);
        let removed = removed.unwrap();
        match put {
            Ok(put) => assert!(put.sequence < removed.sequence, "{put:?} {removed:?}"),
            Err(error) => assert_eq!(code(&error), "DENIED"),
        }
    }
}

#[tokio::test]
async fn what_somebody_asked_for_while_they_might_is_repeated_only_while_they_may() {
    for sabotage in [None, Some(Sabotage::RepeatForAnybody)] {
        let (installation, owner) = begin(sabotage).await;
        let developer = member(&installation, &owner, &["developer"]).await;
        let key: IdempotencyKey = "once".parse().unwrap();
        let again = || Request { idempotency_key: Some(key.clone()), ..Request::new(put("web")) };
        let first = installation.ask(&developer, again()).await.unwrap();
        let repeated = installation.ask(&developer, again()).await.unwrap();
        assert_eq!((repeated.repetition, repeated.events), (Repetition::Remembered, first.events));
        installation.submit(&owner, remove(&developer)).await.unwrap();
        let repeated = installation.ask(&developer, again()).await;
        match sabotage {
            None => assert_eq!(code(&repeated.unwrap_err()), "DENIED"),
            Some(_) => assert_eq!(repeated.unwrap().repetition, Repetition::Remembered),
        }

        // Whoever comes back is answered as the first time.
        installation.submit(&owner, add(developer.actor(), &["developer"])).await.unwrap();
        let repeated = installation.ask(&developer, again()).await.unwrap();
        assert_eq!(repeated.repetition, Repetition::Remembered);
    }
}

#[tokio::test]
async fn nobody_gives_or_takes_what_they_do_not_have() {
    let (installation, owner) = begin(None).await;
    let admin = member(&installation, &owner, &["admin"]).await;
    let (ada, beyond) = (ActorId(Uuid::now_v7()), "BEYOND_GRANTOR");
    assert_eq!(refusal(&installation, &admin, add(ada, &["owner"])).await, beyond);
    installation.submit(&admin, add(ada, &["developer"])).await.unwrap();
    assert_eq!(refusal(&installation, &admin, give(ada, &["owner"])).await, beyond);
    assert_eq!(refusal(&installation, &admin, give(admin.actor(), &["owner"])).await, beyond);
    let other = member(&installation, &owner, &["owner"]).await;
    assert_eq!(refusal(&installation, &admin, remove(&other)).await, beyond);
    let all = vec![Permit::everywhere(Permission::TenantWrite)];
    assert_eq!(refusal(&installation, &admin, define("boss", all.clone())).await, beyond);

    // A role that somebody with less cannot give is not theirs to change or retire either.
    installation.submit(&owner, define("boss", all)).await.unwrap();
    let role: RoleName = "boss".parse().unwrap();
    let permits = vec![Permit::everywhere(Permission::EntityRead)];
    let change = Operation::ChangeRole { role: role.clone(), permits };
    assert_eq!(refusal(&installation, &admin, change).await, beyond);
    assert_eq!(refusal(&installation, &admin, Operation::RetireRole { role }).await, beyond);
    assert_eq!(refusal(&installation, &admin, give(ada, &["boss"])).await, beyond);
    assert_eq!(refusal(&installation, &owner, give(ada, &["nothing"])).await, "ROLE_NOT_FOUND");

    // Control: who may give any role makes themselves an owner.
    let (installation, owner) = begin(Some(Sabotage::DelegateAnything)).await;
    let admin = member(&installation, &owner, &["admin"]).await;
    installation.submit(&admin, give(admin.actor(), &["owner"])).await.unwrap();
}

#[tokio::test]
async fn an_admin_of_the_installation_makes_no_owner_although_it_has_all_their_permissions() {
    for sabotage in [None, Some(Sabotage::DelegateAnything)] {
        let (installation, _) = begin(sabotage).await;
        let system = operator();
        let owner = member(&installation, &system, &["owner"]).await;
        let admin = member(&installation, &system, &["admin"]).await;
        let own = installation.submit(&admin, give(admin.actor(), &["admin", "owner"])).await;
        let other = installation.submit(&admin, remove(&owner)).await;
        match sabotage {
            None => {
                assert_eq!(code(&own.unwrap_err()), "BEYOND_GRANTOR");
                assert_eq!(code(&other.unwrap_err()), "BEYOND_GRANTOR");
                installation.submit(&owner, give(admin.actor(), &["owner"])).await.unwrap();
            }
            Some(_) => assert!(own.is_ok() && other.is_ok(), "{own:?} {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_last_owner_stays_also_after_a_restart_from_the_log_or_a_snapshot() {
    let (mut installation, owner) = begin(None).await;
    let second = member(&installation, &owner, &["owner"]).await;
    installation.submit(&second, remove(&owner)).await.unwrap();
    for forget in [false, true] {
        assert_eq!(refusal(&installation, &second, remove(&second)).await, "LAST_OWNER");
        let give = give(second.actor(), &["admin"]);
        assert_eq!(refusal(&installation, &second, give).await, "LAST_OWNER");
        if forget {
            installation.forget_snapshots().await;
            installation.start_again().await;
        } else {
            installation.restart().await;
        }
    }
    assert_eq!(refusal(&installation, &second, remove(&second)).await, "LAST_OWNER");
    let state = installation.state(Partition(0)).await;
    assert_eq!(state.tenants[&owner.tenant()].tally.owners, 1);
}

#[tokio::test]
async fn a_role_of_the_tenant_gives_what_it_permits_at_that_moment() {
    let (installation, owner) = begin(None).await;
    let condition = Predicate::OwnedBy("Group:default/Payments".to_owned());
    let read = Permit::only(Permission::EntityRead, condition);
    installation.submit(&owner, define("payments", vec![read])).await.unwrap();
    let ada = member(&installation, &owner, &["payments"]).await;
    let Ok(Scope::Where(condition)) = ada.authorize(Permission::EntityRead) else {
        panic!("{ada:?}")
    };
    assert_eq!(*condition, Predicate::OwnedBy("group:default/payments".to_owned()));
    assert_eq!(refusal(&installation, &ada, put("web")).await, "DENIED");

    let role: RoleName = "payments".parse().unwrap();
    let permits = BuiltIn::Developer.permits().to_vec();
    let change = Operation::ChangeRole { role: role.clone(), permits };
    installation.submit(&owner, change).await.unwrap();
    let ada = installation.commands.principal(owner.tenant(), ada.actor()).await.unwrap();
    installation.submit(&ada, put("web")).await.unwrap();
    installation.submit(&owner, Operation::RetireRole { role }).await.unwrap();
    assert_eq!(refusal(&installation, &ada, put("api")).await, "DENIED");
}

/// Several processes, somebody who is a viewer, and what the second process knows of them.
async fn two_processes() -> (Cluster, Principal, Principal) {
    let cluster = Cluster::new(2, 1, None).await;
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    let ada = ActorId(Uuid::now_v7());
    cluster.submit(&acme, add(ada, &["viewer"])).await.unwrap();
    let ada = cluster.nodes[1].principal(acme.tenant(), ada).await.unwrap();
    ada.authorize(Permission::EntityRead).expect("who was added here may read there");
    (cluster, acme, ada)
}

#[tokio::test(start_paused = true)]
async fn who_has_not_heard_from_the_log_for_five_seconds_knows_nobody_any_more() {
    let (cluster, acme, ada) = two_processes().await;
    let cut_off = &cluster.nodes[1];
    let knows = || cut_off.principal(acme.tenant(), ada.actor());
    let mut another = std::pin::pin!(cut_off.ended(&ada));
    let held = cluster.log.faults().hold_ends();
    for _ in 0..4 {
        let ended = tokio::time::timeout(Duration::from_secs(1), &mut another).await;
        assert!(ended.is_err(), "what was heard a moment ago still counts");
        assert_eq!(knows().await.unwrap(), ada);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let unknown = knows().await;
    assert!(matches!(unknown, Err(CommandError::Unavailable(_))), "{unknown:?}");
    let ended = tokio::time::timeout(SOON, another).await;
    ended.expect("whoever follows anything is not served for ever either");
    drop(held);
    assert_eq!(knows().await.unwrap(), ada);
}

#[tokio::test(start_paused = true)]
async fn what_is_open_ends_within_five_seconds_after_the_log_was_heard_last() {
    let (cluster, _, ada) = two_processes().await;
    let mut open = std::pin::pin!(cluster.nodes[1].ended(&ada));
    let ended = tokio::time::timeout(Duration::from_secs(3), &mut open).await;
    assert!(ended.is_err(), "the log answers");
    // As behind a client that does not read: it is not even looked at.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let ended = tokio::time::timeout(Duration::from_secs(3), &mut open).await;
    assert!(ended.is_err(), "whoever looks late asks before they give up");
    let held = cluster.log.faults().hold_ends();
    let ended = tokio::time::timeout(Duration::from_secs(5), open).await;
    ended.expect("who was removed elsewhere meanwhile is served for five seconds at most");
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_any_of_what_its_reader_may_is_taken_away_and_not_when_more_is_given() {
    let (cluster, acme, ada) = two_processes().await;
    let mut another = std::pin::pin!(cluster.nodes[1].ended(&ada));
    cluster.submit(&acme, give(ada.actor(), &["viewer", "billing"])).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), &mut another).await;
    assert!(ended.is_err(), "nothing was taken away");
    cluster.submit(&acme, give(ada.actor(), &["billing"])).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), another).await;
    ended.expect("who may not read any more is told within five seconds");
}

#[tokio::test]
async fn an_entity_is_changed_under_a_condition_only_as_it_was_seen() {
    let (installation, owner) = begin(None).await;
    let condition = Predicate::OwnedBy("group:default/platform".to_owned());
    let write = Permit::only(Permission::EntityWrite, condition.clone());
    installation.submit(&owner, define("platform", vec![write])).await.unwrap();
    let ada = member(&installation, &owner, &["platform"]).await;
    installation.submit(&owner, put("web")).await.unwrap();
    let condition = Arc::new(condition);
    let within = |revision, holds| {
        let seen = HashMap::from([("component:default/web".to_owned(), Sight { revision, holds })]);
        Some(Within { condition: condition.clone(), seen })
    };
    let gone = || Request::new(installation::remove("web"));
    let asked = async |within| installation.commands.submit_within(&ada, gone(), within).await;
    assert_eq!(code(&asked(None).await.unwrap_err()), "DENIED", "nobody has looked at it");
    assert_eq!(code(&asked(within(1, false)).await.unwrap_err()), "DENIED");
    installation.submit(&owner, installation::put_described("web", "another")).await.unwrap();
    let unseen = Some(Within { condition: condition.clone(), seen: HashMap::new() });
    let wider = Some(Within {
        condition: Arc::new(Predicate::Kind("component".to_owned())),
        ..within(2, true).unwrap()
    });
    for stale in [within(1, true), unseen, wider] {
        let refused = asked(stale).await.unwrap_err();
        assert!(matches!(refused, CommandError::Busy { .. }), "{refused}");
    }
    asked(within(2, true)).await.unwrap();
}
