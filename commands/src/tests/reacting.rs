//! What follows from an event happens once, whoever stops in between.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::Stream;
use domain::location::LocationKind;
use domain::operation::{EntityChange, Operation};
use domain::principal::Principal;
use event_log::memory::Fault;
use event_log::{Attribute, EventLog, Partition};

use super::installation::{Installation, SOON, change, operator, put, remove};
use super::scenario::terms;
use crate::handlers::Decision;
use crate::owner::envelope::Envelope;
use crate::prepare::{Ask, Scripted, internal};
use crate::request::{CommandError, Request};
use crate::settings::{Sabotage, Settings};
use crate::snapshot::FOLD_VERSION;

/// How often each type was recorded, over all partitions.
pub(super) async fn counts(installation: &Installation) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for partition in 0..installation.log.partitions() {
        for recorded in installation.records(Partition(partition)).await {
            let name = recorded.record.attribute(Attribute::Type);
            let name = name.strip_prefix("callboard.").unwrap().to_owned();
            *counts.entry(name).or_default() += 1;
        }
    }
    counts
}

/// Waits until an event was recorded so often.
pub(super) async fn until(installation: &Installation, name: &str, count: usize) {
    let reached = async {
        while counts(installation).await.get(name).copied().unwrap_or_default() < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, reached).await.unwrap_or_else(|_| panic!("no {count} of {name}"));
}

/// A location with so many entities that follow it.
async fn location(installation: &Installation, who: &Principal, entities: usize) -> Operation {
    let register = Operation::RegisterLocation {
        kind: LocationKind::Url,
        target: "https://example.com/all.yaml".to_owned(),
    };
    let outcome = installation.submit(who, register).await.unwrap();
    let Stream::Location(id) = outcome.events[0].stream else { panic!("{outcome:?}") };
    let names: Vec<_> = (0..entities).map(|it| format!("web-{it}")).collect();
    for names in names.chunks(500) {
        let follow = |name: &String| match change(name, "a follower") {
            EntityChange::Put { descriptor, expected, .. } => {
                EntityChange::Put { descriptor, location: Some(id), expected }
            }
            other @ EntityChange::Remove { .. } => other,
        };
        let changes = names.iter().map(follow).collect();
        installation.submit(who, Operation::ApplyEntities { changes }).await.unwrap();
    }
    Operation::DeregisterLocation { location: id }
}

#[tokio::test]
async fn tenants_are_spread_and_created_in_their_own_partition() {
    let installation = Installation::with(3, |_| ()).await;
    for number in 0..6 {
        installation.tenant(&format!("tenant-{number}")).await;
    }
    let mut by_partition = HashMap::new();
    for (tenant, entry) in installation.commands.directory().entries() {
        assert_eq!(installation.commands.partition_of(tenant).unwrap().0, entry.partition);
        *by_partition.entry(entry.partition).or_default() += 1;
    }
    assert_eq!(by_partition, HashMap::from([(0, 2), (1, 2), (2, 2)]));
}

#[tokio::test]
async fn entities_follow_their_location_all_of_them_and_no_others() {
    let installation = Installation::with(3, |_| ()).await;
    let acme = installation.tenant("acme").await;
    installation.submit(&acme, put("stays")).await.unwrap();
    let deregister = location(&installation, &acme, 3_000).await;
    installation.submit(&acme, deregister).await.unwrap();
    until(&installation, "entity.deregistered.v1", 3_000).await;
    until(&installation, "reaction.advanced.v1", 2).await;
    assert_eq!(counts(&installation).await["entity.deregistered.v1"], 3_000);
    let stays = installation.submit(&acme, put("stays")).await.unwrap();
    assert!(stays.events.is_empty(), "it follows nothing");
}

#[tokio::test]
async fn a_tenant_that_closes_itself_is_closed_in_the_directory() {
    let installation = Installation::with(3, |_| ()).await;
    installation.tenant("other").await;
    let acme = installation.tenant("acme").await;
    installation.submit(&acme, Operation::CloseTenant).await.unwrap();
    until(&installation, "directory.tenant-closed.v1", 1).await;
    let refused = installation.submit(&acme, put("web")).await;
    let Err(CommandError::Rejected { code, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(code, "TENANT_CLOSED");
}

/// Everything that follows, while every append may be lost and write sides come and go.
async fn disturbed(sabotage: Sabotage) -> HashMap<String, usize> {
    let mut installation = Installation::with(3, |it| it.sabotage = Some(sabotage)).await;
    let acme = installation.tenant("acme").await;
    let deregister = location(&installation, &acme, 1_200).await;
    installation.submit(&acme, deregister).await.unwrap();
    let faults = [Fault::UnknownWritten, Fault::UnknownLost, Fault::Fenced];
    for round in 0..12 {
        installation.log.faults().fail_next(faults[round % faults.len()]);
        for _ in 0..round * 7 {
            tokio::task::yield_now().await;
        }
        // Half of the time it stops in an orderly way; else it is fenced and lives on as a ghost.
        if round % 2 == 0 {
            installation.forget_snapshots().await;
        }
        installation.start_again().await;
    }
    until(&installation, "entity.deregistered.v1", 1_200).await;
    until(&installation, "reaction.advanced.v1", 2).await;
    installation.submit(&operator(), suspend(&acme)).await.unwrap();
    until(&installation, "tenant.suspended.v1", 1).await;
    installation.restart().await;
    installation.commands.stop().await;
    counts(&installation).await
}

pub(super) fn suspend(who: &Principal) -> Operation {
    let reason = domain::tenant::SuspensionReason::Requested;
    Operation::SuspendTenant { tenant: who.tenant(), reason }
}

/// Makes the owner of a tenant stand still until the sender is dropped.
pub(super) async fn block(
    installation: &Installation,
    who: &Principal,
) -> std::sync::mpsc::Sender<()> {
    let (sender, begun) = blocker(installation, who).await;
    begun.await.unwrap();
    sender
}

/// Lets something wait in the queue of a tenant that makes its owner stand still from then on until
/// the sender is dropped.
pub(super) async fn blocker(
    installation: &Installation,
    who: &Principal,
) -> (std::sync::mpsc::Sender<()>, tokio::sync::oneshot::Receiver<()>) {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let receiver = Mutex::new(receiver);
    let (began, begun) = tokio::sync::oneshot::channel();
    let began = Mutex::new(Some(began));
    let script = move |_: &mut Decision<'_, '_>| {
        if let Some(began) = began.lock().unwrap().take() {
            began.send(()).unwrap();
        }
        // Who was answered just before must not wait behind this thread.
        let _ = tokio::task::block_in_place(|| receiver.lock().unwrap().recv());
        Ok(())
    };
    let command = domain::id::CommandId(uuid::Uuid::now_v7());
    let ask_for = Ask::Scripted(Scripted(Arc::new(script)));
    let keys = installation.keyring.existing(who.tenant()).await.unwrap();
    let prepared = internal(&installation.keyring, keys, command, None, ask_for);
    let (envelope, _) = Envelope::new(prepared.await.unwrap());
    installation.commands.owner_of(who.tenant()).unwrap().push(envelope).unwrap();
    (sender, begun)
}

/// Suspends a tenant whose owner stands still and then another one. Says whether the other is
/// suspended meanwhile and, if so, whether the first is by a write side that starts anew.
async fn suspended_beside_a_blocked_one(sabotage: Option<Sabotage>) -> (bool, bool) {
    let change = |it: &mut Settings| {
        it.sabotage = sabotage;
        it.snapshot_every = NonZeroU64::MIN;
    };
    let mut installation = Installation::with(3, change).await;
    installation.tenant("other").await;
    let acme = installation.tenant("acme").await;
    let umbrella = installation.tenant("umbrella").await;
    let blocked = block(&installation, &acme).await;
    for who in [&acme, &umbrella] {
        installation.submit(&operator(), suspend(who)).await.unwrap();
    }
    let reached = until(&installation, "tenant.suspended.v1", 1);
    if tokio::time::timeout(Duration::from_secs(2), reached).await.is_err() {
        drop(blocked);
        return (false, false);
    }
    // The system's partition is snapshotted while acme's suspension is not done.
    let recorded = installation.log.end(Partition(0)).await.unwrap();
    let snapshotted = async {
        for number in 0.. {
            let plan = domain::id::PlanId(uuid::Uuid::now_v7());
            let terms = domain::plan::Terms { name: format!("{number}"), ..terms(1, 1) };
            let publish = Operation::PublishPlanVersion { plan, is_new: true, terms };
            installation.submit(&operator(), publish).await.unwrap();
            let snapshot = installation.log.snapshot(Partition(0), FOLD_VERSION).await.unwrap();
            if snapshot.is_some_and(|it| it.upto >= recorded) {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, snapshotted).await.expect("it is saved soon");
    installation.start_again().await;
    let reached = until(&installation, "tenant.suspended.v1", 2);
    let resumed = tokio::time::timeout(Duration::from_secs(2), reached).await.is_ok();
    drop(blocked);
    (true, resumed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_does_not_answer_holds_up_nobody_else_and_is_not_forgotten() {
    assert_eq!(suspended_beside_a_blocked_one(None).await, (true, true));
    assert_eq!(suspended_beside_a_blocked_one(Some(Sabotage::OneLane)).await, (false, false));
    assert_eq!(suspended_beside_a_blocked_one(Some(Sabotage::ForgetOpen)).await, (true, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_happens_once_whoever_stops_in_between() {
    let counts = disturbed(Sabotage::FollowFromStart).await;
    assert_eq!(counts["tenant.created.v1"], 1);
    assert_eq!(counts["customer.opened.v1"], 1);
    assert_eq!(counts["entity.deregistered.v1"], 1_200);
    assert_eq!(counts["tenant.suspended.v1"], 1);
    assert_eq!(counts["reaction.advanced.v1"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keeping_count_it_would_happen_again() {
    let counts = disturbed(Sabotage::ReactAlways).await;
    assert!(counts["reaction.advanced.v1"] > 3, "{counts:?}");
}

#[tokio::test]
async fn a_location_that_is_registered_again_keeps_its_entities() {
    let installation = Installation::with(3, |_| ()).await;
    let acme = installation.tenant("acme").await;
    let deregister = location(&installation, &acme, 5).await;
    // Both are decided before the reaction gets its turn.
    let held = installation.log.faults().hold();
    let ask = |operation| {
        let (commands, acme) = (installation.commands.clone(), acme.clone());
        tokio::spawn(async move { commands.submit(&acme, Request::new(operation)).await })
    };
    let register = Operation::RegisterLocation {
        kind: LocationKind::Url,
        target: "https://example.com/all.yaml".to_owned(),
    };
    let asked = [ask(put("first")), ask(deregister), ask(register)];
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    drop(held);
    for asked in asked {
        asked.await.unwrap().unwrap();
    }
    until(&installation, "reaction.advanced.v1", 2).await;
    assert_eq!(counts(&installation).await.get("entity.deregistered.v1"), None);
    installation.submit(&acme, remove("web-0")).await.unwrap();
}

/// Suspends a tenant and lets it in again, while asking for the first of that panics so often. Says
/// whether it happens.
async fn follows_after(panics: u32, sabotage: Option<Sabotage>) -> bool {
    let installation = Installation::with(3, |it| it.sabotage = sabotage).await;
    installation.tenant("other").await;
    let acme = installation.tenant("acme").await;
    until(&installation, "reaction.advanced.v1", 2).await;
    installation.settings.panics.store(panics, std::sync::atomic::Ordering::SeqCst);
    let reactivate = Operation::ReactivateTenant { tenant: acme.tenant() };
    for operation in [suspend(&acme), reactivate] {
        installation.submit(&operator(), operation).await.unwrap();
    }
    let reached = until(&installation, "tenant.reactivated.v1", 1);
    let happens = tokio::time::timeout(Duration::from_secs(2), reached).await.is_ok();
    assert_eq!(counts(&installation).await.contains_key("tenant.suspended.v1"), happens);
    happens
}

#[tokio::test]
async fn a_lane_goes_on_after_a_panic() {
    assert!(follows_after(0, Some(Sabotage::LetPanic)).await);
    assert!(follows_after(3, None).await);
    assert!(!follows_after(1, Some(Sabotage::LetPanic)).await, "the check would notice");
}
