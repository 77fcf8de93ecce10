//! Partitions that move from one process to another: nothing is lost, done twice or answered from
//! stale memory.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use domain::catalog::KindSet;
use domain::id::{ActorId, CommandId};
use domain::operation::{ExpectedRevision, Operation};
use domain::principal::Principal;
use domain::{Permission, tenant};
use event_log::chain::Chains;
use event_log::{Attribute, EventLog, Partition};

use super::access::{add, give};
use super::basics::template;
use super::cluster::{Cluster, ask_any};
use super::installation::{KINDS, SOON, operator, put, put_described, remove};
use super::reacting::suspend;
use super::scenario::{self, calls, define_calls, terms};
use crate::record::Header;
use crate::request::{CommandError, IdempotencyKey, Mode, Repetition, Request};
use crate::settings::Sabotage;
use crate::snapshot::FOLD_VERSION;

/// How many records of a partition have each type.
async fn counts(cluster: &Cluster, partition: u32) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for recorded in cluster.records(partition).await {
        let name = recorded.record.attribute(Attribute::Type);
        let name = name.strip_prefix("callboard.").unwrap().to_owned();
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// Waits until something was recorded so often in a partition.
async fn until(cluster: &Cluster, partition: u32, name: &str, count: usize) {
    let reached = async {
        while counts(cluster, partition).await.get(name).copied().unwrap_or_default() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(SOON, reached).await.unwrap_or_else(|_| panic!("no {count} of {name}"));
}

/// Asks for one thing after the other until it is told to stop; says which commands were
/// acknowledged, with how many events each.
async fn client(
    nodes: Vec<crate::Commands>,
    who: Principal,
    number: usize,
    stop: tokio::sync::watch::Receiver<bool>,
) -> Vec<(CommandId, usize)> {
    let mut acknowledged = Vec::new();
    for round in 0.. {
        if *stop.borrow() {
            break;
        }
        let operation = match round % 3 {
            0 => put_described(&format!("web-{number}"), &format!("version {round}")),
            1 => Operation::RecordUsage { entries: vec![calls(&format!("{number}-{round}"), 1)] },
            _ => remove(&format!("web-{number}")),
        };
        let key: IdempotencyKey = format!("{number}-{round}").parse().unwrap();
        let request = Request { idempotency_key: Some(key), ..Request::new(operation) };
        let outcome = loop {
            match ask_any(&nodes, &who, request.clone()).await {
                Ok(outcome) => break outcome,
                Err(CommandError::Unknown | CommandError::Unavailable(_)) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(other) => panic!("{other:?}"),
            }
        };
        acknowledged.push((outcome.command, outcome.events.len()));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    acknowledged
}

#[tokio::test(start_paused = true)]
async fn what_is_acknowledged_while_partitions_move_is_there_once() {
    let cluster = Cluster::with(3, 1, |it| it.snapshot_every = NonZeroU64::new(40).unwrap()).await;
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    cluster.submit(&acme, define_calls()).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let clients: Vec<_> = (0..6)
        .map(|it| tokio::spawn(client(cluster.nodes.clone(), acme.clone(), it, stopped.clone())))
        .collect();
    for round in 1..40 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (before, node) = ((round - 1) % 3, round % 3);
        if round % 4 == 3 {
            cluster.seize(0, node).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            cluster.group.tell_lost(Partition(0), before);
        } else {
            cluster.hand_over(0, node).await;
        }
    }
    stop.send_replace(true);
    let mut acknowledged = Vec::new();
    for client in clients {
        acknowledged.extend(client.await.unwrap());
    }
    assert!(acknowledged.len() > 200, "{} were acknowledged", acknowledged.len());

    let records = cluster.records(0).await;
    let mut chains = Chains::default();
    let mut recorded: HashMap<CommandId, usize> = HashMap::new();
    for it in &records {
        chains.follow(&it.record).unwrap();
        // What only notes that a request changed nothing is listed in no outcome.
        if !it.record.attribute(Attribute::Type).starts_with("callboard.request.") {
            let command = Header::of(&it.record).unwrap().command;
            *recorded.entry(command).or_default() += 1;
        }
    }
    for (command, events) in acknowledged {
        assert_eq!(recorded.get(&command).copied().unwrap_or_default(), events, "{command}");
    }
    same_everywhere(cluster).await;
}

/// Compares what every process knows of the first partition, whoever owns it, with what one knows
/// that starts from the newest snapshot, and with what the log says.
async fn same_everywhere(mut cluster: Cluster) {
    let one = cluster.state(0, 0).await;
    for node in 1..cluster.nodes.len() {
        scenario::assert_same(&one, &cluster.state(node, 0).await);
    }
    assert!(
        cluster.log.snapshot(Partition(0), FOLD_VERSION).await.unwrap().is_some(),
        "there is a snapshot"
    );
    cluster.join().await;
    scenario::assert_same(&one, &cluster.state(cluster.nodes.len() - 1, 0).await);
    let mut writer = cluster.log.claim(Partition(0)).await.unwrap();
    let upto = event_log::Position::START;
    let none = event_log::Snapshot {
        upto,
        fold: FOLD_VERSION << event_log::port::SERIES_BITS,
        chunks: Vec::new(),
    };
    writer.save_snapshot(none).await.unwrap();
    cluster.join().await;
    scenario::assert_same(&one, &cluster.state(cluster.nodes.len() - 1, 0).await);
}

fn accept(kinds: KindSet) -> Operation {
    let (time_zone, currency) = (chrono_tz::UTC, "EUR".parse().unwrap());
    Operation::ConfigureTenant { settings: tenant::Settings { time_zone, currency, kinds } }
}

/// Whether an owner that was paused while another one took its partition answers what is not so
/// any more: a request without effect, a preview, a rejection, a read, a kind that is accepted by now,
/// and somebody who may do something by now.
async fn asked_of_a_paused_owner(what: usize, sabotage: Option<Sabotage>) -> bool {
    let cluster = Cluster::new(2, 1, sabotage).await;
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    cluster.submit(&acme, put_described("web", "one")).await.unwrap();
    cluster.submit(&acme, accept(KindSet::Core)).await.unwrap();
    cluster.seize(0, 1).await;
    let ada = ActorId(uuid::Uuid::now_v7());
    for done in [put_described("web", "two"), accept(KINDS), add(ada, &["owner"])] {
        cluster.nodes[1].submit(&acme, Request::new(done)).await.unwrap();
    }
    let paused = &cluster.nodes[0];
    let one = Request::new(put_described("web", "one"));
    let is_stale = match what {
        // By now it would change the entity.
        0 => matches!(paused.submit(&acme, one).await, Ok(it) if it.events.is_empty()),
        1 => {
            let request = Request { mode: Mode::Preview, ..one };
            matches!(paused.submit(&acme, request).await, Ok(it) if it.events.is_empty())
        }
        // The second revision is there by now.
        2 => {
            let descriptor = match super::installation::change("web", "three") {
                domain::operation::EntityChange::Put { descriptor, .. } => descriptor,
                other @ domain::operation::EntityChange::Remove { .. } => panic!("{other:?}"),
            };
            let expected = ExpectedRevision::Exact(2);
            let change =
                domain::operation::EntityChange::Put { descriptor, location: None, expected };
            let put = Request::new(Operation::ApplyEntities { changes: vec![change] });
            matches!(paused.submit(&acme, put).await, Err(CommandError::Conflict { .. }))
        }
        3 => {
            let asked = paused.submit(&acme, Request::new(template())).await;
            matches!(asked, Err(CommandError::Invalid(_)))
        }
        4 => {
            let nobody = Principal::member(acme.tenant(), ada, Arc::default());
            let denied = nobody.authorize(Permission::EntityWrite).unwrap_err();
            matches!(paused.reconsider(&nobody, denied).await, CommandError::Denied(_))
        }
        _ => {
            let end = cluster.log.end(Partition(0)).await.unwrap();
            let read = paused.owner(Partition(0)).read(|state| state.next).await;
            matches!(read, Ok(next) if next < end)
        }
    };
    for node in &cluster.nodes {
        node.stop().await;
    }
    is_stale
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_was_paused_answers_nothing_stale() {
    for what in 0..6 {
        assert!(!asked_of_a_paused_owner(what, None).await, "{what}");
        let sabotage = match what {
            0..3 => Sabotage::AnswerAtOnce,
            3 => Sabotage::ShapeFirst,
            _ => Sabotage::ReadAtOnce,
        };
        let noticed = asked_of_a_paused_owner(what, Some(sabotage)).await;
        assert!(noticed, "the check would notice {what}");
    }
}

/// Whoever asks is refused by what they may by now, and told to ask again if that is something else than
/// it was when they were let in.
#[tokio::test(start_paused = true)]
async fn a_refusal_is_looked_at_once_more() {
    let cluster = Cluster::new(2, 1, None).await;
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    let ada = ActorId(uuid::Uuid::now_v7());
    cluster.submit(&acme, add(ada, &["viewer"])).await.unwrap();
    for node in &cluster.nodes {
        let viewer = node.principal(acme.tenant(), ada).await.unwrap();
        let denied = viewer.authorize(Permission::EntityWrite).unwrap_err();
        assert!(matches!(node.reconsider(&viewer, denied).await, CommandError::Denied(_)));
        cluster.submit(&acme, give(ada, &["maintainer"])).await.unwrap();
        assert!(matches!(node.reconsider(&viewer, denied).await, CommandError::Busy { .. }));
        let maintainer = node.principal(acme.tenant(), ada).await.unwrap();
        maintainer.authorize(Permission::EntityWrite).unwrap();
        cluster.submit(&acme, give(ada, &["viewer"])).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_was_fenced_and_told_does_not_take_the_partition_back() {
    let cluster = Cluster::new(2, 1, None).await;
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    cluster.seize(0, 1).await;
    let asked = tokio::spawn({
        let (node, acme) = (cluster.nodes[0].clone(), acme.clone());
        async move { node.submit(&acme, Request::new(put("web"))).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!asked.is_finished(), "it waits to be told");
    cluster.group.tell_lost(Partition(0), 0);
    let refused = asked.await.unwrap();
    assert!(matches!(refused, Err(CommandError::NotOwner(Partition(0)))), "{refused:?}");
    assert!(cluster.nodes[0].owned().borrow().is_empty());
    cluster.nodes[1].submit(&acme, Request::new(put("web"))).await.unwrap();
    assert_eq!(counts(&cluster, 0).await["entity.registered.v1"], 1);
    scenario::assert_same(&cluster.state(0, 0).await, &cluster.state(1, 0).await);
}

#[tokio::test(start_paused = true)]
async fn what_waits_when_a_partition_is_given_away_was_not_done() {
    let cluster = Cluster::new(2, 1, None).await;
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    let held = cluster.log.faults().hold();
    let ask = |name: &'static str| {
        let (node, acme) = (cluster.nodes[0].clone(), acme.clone());
        tokio::spawn(async move { node.submit(&acme, Request::new(put(name))).await })
    };
    let begun = ask("begun");
    tokio::time::sleep(Duration::from_millis(1)).await;
    let waiting = ask("waiting");
    tokio::time::sleep(Duration::from_millis(1)).await;
    let moving = tokio::spawn({
        let group = cluster.group.clone();
        async move { group.hand_over(Partition(0), 1).await }
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    let late = cluster.nodes[0].submit(&acme, Request::new(put("late"))).await;
    assert!(matches!(late, Err(CommandError::NotOwner(_))), "{late:?}");
    assert!(!moving.is_finished(), "what was begun is finished first");
    drop(held);
    begun.await.unwrap().unwrap();
    let waiting = waiting.await.unwrap();
    assert!(matches!(waiting, Err(CommandError::NotOwner(_))), "{waiting:?}");
    moving.await.unwrap();
    cluster.submit(&acme, put("waiting")).await.unwrap();
    assert_eq!(counts(&cluster, 0).await["entity.registered.v1"], 2);
    let owners = cluster.log.owners();
    assert_eq!(owners.borrow()[0].as_deref(), Some("node-1"));
}

#[tokio::test(start_paused = true)]
async fn what_follows_elsewhere_is_asked_of_its_owner() {
    let cluster = Cluster::new(2, 2, None).await;
    cluster.hand_over(0, 0).await;
    cluster.hand_over(1, 1).await;
    let tenants = [cluster.tenant("acme").await, cluster.tenant("umbrella").await];
    let elsewhere =
        |it: &&Principal| cluster.nodes[0].partition_of(it.tenant()) == Some(Partition(1));
    let there = tenants.iter().find(elsewhere).expect("they are spread");
    cluster.submit(&operator(), suspend(there)).await.unwrap();
    until(&cluster, 1, "tenant.suspended.v1", 1).await;
    let reactivate = Operation::ReactivateTenant { tenant: there.tenant() };
    cluster.submit(&operator(), reactivate).await.unwrap();
    until(&cluster, 1, "tenant.reactivated.v1", 1).await;
    // And back: the directory hears of it from the other partition.
    cluster.submit(there, Operation::CloseTenant).await.unwrap();
    until(&cluster, 0, "directory.tenant-closed.v1", 1).await;
    assert_eq!(counts(&cluster, 1).await["tenant.suspended.v1"], 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_to_react_to_is_done_by_the_next_owner_once() {
    let cluster = Cluster::new(3, 2, None).await;
    cluster.hand_over(0, 0).await;
    cluster.hand_over(1, 1).await;
    let tenants = [cluster.tenant("acme").await, cluster.tenant("umbrella").await];
    let elsewhere =
        |it: &&Principal| cluster.nodes[0].partition_of(it.tenant()) == Some(Partition(1));
    let there = tenants.iter().find(elsewhere).expect("they are spread");
    // Nobody can be asked, so it is left when the partition moves, twice.
    cluster.group.hand_over(Partition(1), usize::MAX).await;
    cluster.submit(&operator(), suspend(there)).await.unwrap();
    cluster.hand_over(0, 2).await;
    cluster.hand_over(0, 0).await;
    assert!(!counts(&cluster, 1).await.contains_key("tenant.suspended.v1"));
    cluster.hand_over(0, 2).await;
    cluster.hand_over(1, 0).await;
    until(&cluster, 1, "tenant.suspended.v1", 1).await;
    for round in 0..6 {
        cluster.hand_over(round % 2, 2 * (usize::try_from(round).unwrap() / 2 % 2)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let counts = counts(&cluster, 1).await;
    assert_eq!(counts["tenant.suspended.v1"], 1);
    assert_eq!(counts["tenant.created.v1"], 1);
    assert_eq!(counts["reaction.advanced.v1"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_remembered_by_the_next_owner() {
    let cluster = Cluster::new(2, 1, None).await;
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    let keyed = |operation| {
        let key = Some("one".parse().unwrap());
        Request { idempotency_key: key, ..Request::new(operation) }
    };
    let first = cluster.ask(&acme, keyed(put("web"))).await.unwrap();
    cluster.hand_over(0, 1).await;
    let again = cluster.nodes[1].submit(&acme, keyed(put("web"))).await.unwrap();
    assert_eq!((again.command, again.repetition), (first.command, Repetition::Remembered));
    let other = cluster.nodes[1].submit(&acme, keyed(put("other"))).await;
    assert!(matches!(other, Err(CommandError::KeyReused(_))), "{other:?}");
}

#[tokio::test(start_paused = true)]
async fn usage_is_recorded_once_whoever_owns_it() {
    let cluster = Cluster::new(2, 1, None).await;
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    cluster.submit(&acme, define_calls()).await.unwrap();
    let record = Operation::RecordUsage { entries: vec![calls("a", 1)] };
    use domain::usage::Verdict::{Accepted, Duplicate};
    for (round, verdict) in [Accepted, Duplicate, Duplicate].into_iter().enumerate() {
        let outcome = cluster.submit(&acme, record.clone()).await.unwrap();
        assert_eq!(outcome.verdicts, [verdict]);
        cluster.hand_over(0, (round + 1) % 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_timer_fires_once_at_the_owner_and_time_goes_on() {
    let cluster = Cluster::new(2, 1, None).await;
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    let plan = domain::id::PlanId(uuid::Uuid::now_v7());
    let publish = Operation::PublishPlanVersion { plan, is_new: true, terms: terms(10, 10) };
    cluster.submit(&operator(), publish).await.unwrap();
    let customer = domain::id::CustomerId::of_tenant(acme.tenant());
    let subscription = domain::id::SubscriptionId(uuid::Uuid::now_v7());
    let start = Operation::StartSubscription { subscription, customer, plan, version: None };
    cluster.submit(&acme, start).await.unwrap();
    for round in 1..=3 {
        cluster.hand_over(0, round % 2).await;
        cluster.clock.advance(TimeDelta::days(31));
        until(&cluster, 0, "subscription.renewed.v1", round).await;
    }
    // One that is a little behind records no earlier time.
    let last = cluster.submit(&acme, put("web")).await.unwrap();
    cluster.hand_over(0, 0).await;
    cluster.clock.advance(TimeDelta::seconds(-3));
    let next = cluster.submit(&acme, put("other")).await.unwrap();
    assert!(next.at >= last.at);
    assert_eq!(counts(&cluster, 0).await["subscription.renewed.v1"], 3);
}

#[tokio::test(start_paused = true)]
async fn who_stops_leaves_its_partitions_to_others() {
    let cluster = Cluster::new(2, 2, None).await;
    cluster.hand_over(0, 0).await;
    cluster.hand_over(1, 0).await;
    let acme = cluster.tenant("acme").await;
    cluster.nodes[0].leave().await;
    let refused = cluster.nodes[0].submit(&acme, Request::new(put("web"))).await;
    assert!(matches!(refused, Err(CommandError::NotOwner(_))), "{refused:?}");
    cluster.submit(&acme, put("web")).await.unwrap();
    cluster.nodes[0].stop().await;
    cluster.nodes[1].submit(&acme, Request::new(put("other"))).await.unwrap();
    assert_eq!(cluster.nodes[1].owned().borrow().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_hears_that_a_partition_is_owned_can_ask_at_once() {
    let cluster = Cluster::new(2, 1, None).await;
    for round in 0..200 {
        let node = cluster.nodes[round % 2].clone();
        // Looks all the time, so that nothing lies between what it hears and what it sees.
        let watching = tokio::task::spawn_blocking(move || {
            let owned = node.owned();
            while owned.borrow().is_empty() {
                std::hint::spin_loop();
            }
            node.owner(Partition(0)).is_elsewhere()
        });
        cluster.hand_over(0, round % 2).await;
        assert!(!watching.await.unwrap(), "it is turned away in round {round}");
    }
}
