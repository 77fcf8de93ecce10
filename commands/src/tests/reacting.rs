//! What follows from an event happens once, whoever stops in between.

use std::collections::HashMap;

use domain::Stream;
use domain::location::LocationKind;
use domain::operation::{EntityChange, Operation};
use domain::principal::Principal;
use event_log::memory::Fault;
use event_log::{Attribute, EventLog, Partition};

use super::installation::{Installation, SOON, change, operator, put, remove};
use crate::request::{CommandError, Request};
use crate::settings::Sabotage;

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

fn suspend(who: &Principal) -> Operation {
    let reason = domain::tenant::SuspensionReason::Requested;
    Operation::SuspendTenant { tenant: who.tenant(), reason }
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
