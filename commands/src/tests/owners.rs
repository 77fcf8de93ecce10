//! Time, timers, fairness, panics and quotas.

use std::sync::Arc;

use chrono::TimeDelta;
use domain::Stream;
use domain::id::LocationId;
use domain::location::{self, Location, LocationKind};
use domain::operation::{CancelWhen, Operation};
use domain::usage::Verdict;
use event_log::memory::Fault;
use event_log::{Attribute, Partition};

use super::installation::{Installation, change, put, put_described, remove};
use super::scenario::{calls, define_calls, sell};
use crate::handlers::{Decision, Refusal};
use crate::owner::envelope::{Answer, Envelope};
use crate::prepare::{Ask, Scripted, internal};
use crate::request::{CommandError, Request};
use crate::settings::Sabotage;

/// The types and times recorded for subscriptions.
async fn renewals(installation: &Installation) -> Vec<(String, String)> {
    let records = installation.records(Partition(0)).await;
    let text = |it: &event_log::Recorded, attribute| it.record.attribute(attribute).to_owned();
    let all = records.iter().map(|it| (text(it, Attribute::Type), text(it, Attribute::Time)));
    all.filter(|it| it.0.starts_with("callboard.subscription.")).collect()
}

#[tokio::test]
async fn recorded_time_never_decreases() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let first = installation.submit(&acme, put("a")).await.unwrap();
    installation.clock.advance(TimeDelta::seconds(-4));
    let second = installation.submit(&acme, put("b")).await.unwrap();
    assert_eq!(second.at, first.at);
    installation.clock.advance(TimeDelta::seconds(-2));
    let refused = installation.submit(&acme, put("c")).await;
    assert!(matches!(refused, Err(CommandError::Unavailable(_))), "{refused:?}");
    installation.clock.advance(TimeDelta::seconds(10));
    let third = installation.submit(&acme, put("c")).await.unwrap();
    assert_eq!(third.at, first.at + TimeDelta::seconds(4));
}

#[tokio::test]
async fn a_period_ends_by_itself() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    sell(&installation, &acme, 10, 10).await;
    let before = renewals(&installation).await.len();
    installation.clock.advance(TimeDelta::days(31));
    for _ in 0..100_000 {
        if renewals(&installation).await.len() > before {
            break;
        }
        tokio::task::yield_now().await;
    }
    let (name, time) = renewals(&installation).await.pop().unwrap();
    assert_eq!(name, "callboard.subscription.renewed.v1");
    assert_eq!(time, "2026-04-01T12:00:00.000000Z");
}

#[tokio::test]
async fn timers_that_came_due_while_nobody_ran_fire_once_each_and_in_order() {
    let mut installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let umbrella = installation.tenant("umbrella").await;
    sell(&installation, &acme, 10, 10).await;
    installation.clock.advance(TimeDelta::days(1));
    let ends = sell(&installation, &umbrella, 10, 10).await;
    let cancel = Operation::CancelSubscription { subscription: ends, when: CancelWhen::PeriodEnd };
    installation.submit(&umbrella, cancel).await.unwrap();
    installation.commands.stop().await;
    installation.clock.advance(TimeDelta::days(93));
    installation.start_again().await;
    // A request comes after everything that was due before it.
    installation.submit(&acme, put("web")).await.unwrap();
    let records = installation.records(Partition(0)).await;
    let of_timers = |it: &&event_log::Recorded| {
        let name = it.record.attribute(Attribute::Type);
        name.ends_with("renewed.v1") || name.ends_with("subscription.cancelled.v1")
    };
    let fired: Vec<_> = records
        .iter()
        .filter(of_timers)
        .map(|it| it.record.attribute(Attribute::Type).rsplit('.').nth(1).unwrap().to_owned())
        .collect();
    // Of the first on 1 April, 1 May, 1 June; of the second on 2 April.
    assert_eq!(fired, ["renewed", "cancelled", "renewed", "renewed"]);
    installation.restart().await;
    installation.submit(&acme, put_described("web", "new")).await.unwrap();
    assert_eq!(installation.records(Partition(0)).await.iter().filter(of_timers).count(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_cannot_be_recorded_is_tried_again_later() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    sell(&installation, &acme, 10, 10).await;
    let before = renewals(&installation).await.len();
    let began = tokio::time::Instant::now();
    for _ in 0..3 {
        installation.log.faults().fail_next(Fault::Refused);
    }
    let mut applied = installation.commands.owner(Partition(0)).applied();
    applied.mark_unchanged();
    installation.clock.advance(TimeDelta::days(31));
    applied.changed().await.unwrap();
    assert_eq!(renewals(&installation).await.len(), before + 1);
    assert!(began.elapsed() >= std::time::Duration::from_secs(3), "it rests in between");
}

/// Whether a tenant's period has ended when its next request is decided, although the keys of
/// another one, whose period ended before, are gone.
async fn ends_beside_keyless(sabotage: Option<Sabotage>) -> bool {
    let installation = Installation::with(1, |it| it.sabotage = sabotage).await;
    let acme = installation.tenant("acme").await;
    let umbrella = installation.tenant("umbrella").await;
    sell(&installation, &acme, 10, 10).await;
    installation.clock.advance(TimeDelta::seconds(1));
    sell(&installation, &umbrella, 10, 10).await;
    let before = renewals(&installation).await.len();
    installation.keyring.destroy_tenant(acme.tenant()).await.unwrap();
    installation.clock.advance(TimeDelta::days(32));
    installation.submit(&umbrella, put("web")).await.unwrap();
    renewals(&installation).await.len() == before + 1
}

#[tokio::test]
async fn timers_do_not_wait_for_a_tenant_without_keys() {
    assert!(ends_beside_keyless(None).await);
    assert!(!ends_beside_keyless(Some(Sabotage::RestAll)).await, "the check would notice");
}

#[tokio::test]
async fn entities_are_limited_exactly() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    sell(&installation, &acme, 3, 10).await;
    let changes = (0..4).map(|it| change(&format!("web-{it}"), "one")).collect();
    let too_many = installation.submit(&acme, Operation::ApplyEntities { changes }).await;
    let quota = |it: &Result<_, _>| matches!(it, Err(CommandError::Rejected { code, .. }) if code == "QUOTA_EXCEEDED");
    assert!(quota(&too_many), "{too_many:?}");
    let changes = (0..3).map(|it| change(&format!("web-{it}"), "one")).collect();
    let fits = installation.submit(&acme, Operation::ApplyEntities { changes }).await.unwrap();
    assert_eq!(fits.events.len(), 3, "of a refused request nothing is left");
    let one_more = installation.submit(&acme, put("web-3")).await;
    assert!(quota(&one_more), "{one_more:?}");
    installation.submit(&acme, remove("web-0")).await.unwrap();
    installation.submit(&acme, put("web-3")).await.unwrap();
}

#[tokio::test]
async fn usage_is_recorded_once_and_within_its_quota() {
    let mut installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    sell(&installation, &acme, 10, 10).await;
    installation.submit(&acme, define_calls()).await.unwrap();
    let record = |entries| Operation::RecordUsage { entries };
    let first = record(vec![calls("a", 4), calls("b", 4), calls("a", 4), calls("a", 5)]);
    let first = installation.submit(&acme, first).await.unwrap();
    use Verdict::{Accepted, Conflict, Duplicate};
    assert_eq!(first.verdicts, [Accepted, Accepted, Duplicate, Conflict]);
    assert_eq!(first.events[0].stream, Stream::Usage);
    let too_much = installation.submit(&acme, record(vec![calls("c", 3)])).await;
    let Err(CommandError::Rejected { code, .. }) = too_much else { panic!("{too_much:?}") };
    assert_eq!(code, "QUOTA_EXCEEDED");
    for _ in 0..2 {
        let again = record(vec![calls("a", 4), calls("b", 5)]);
        let again = installation.submit(&acme, again).await.unwrap();
        assert_eq!(again.verdicts, [Duplicate, Conflict]);
        assert!(again.events.is_empty());
        installation.restart().await;
    }
    let fits = installation.submit(&acme, record(vec![calls("c", 2)])).await.unwrap();
    assert_eq!(fits.verdicts, [Accepted], "what was refused was not remembered");
}

/// Lets a decision panic half-way among others, and says what of it got into the log.
async fn traces_of_a_panic(sabotage: Option<Sabotage>) -> usize {
    let installation = Installation::with(1, |it| it.sabotage = sabotage).await;
    let acme = installation.tenant("acme").await;
    let owner = installation.commands.owner(Partition(0));
    let ask = |name: &'static str| {
        let (commands, acme) = (installation.commands.clone(), acme.clone());
        tokio::spawn(async move { commands.submit(&acme, Request::new(put(name))).await })
    };
    let held = installation.log.faults().hold();
    let before = ask("a");
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let command = domain::id::CommandId(uuid::Uuid::now_v7());
    let ask_for = Ask::Scripted(Scripted(Arc::new(registers_and_panics)));
    let keys = installation.keyring.existing(acme.tenant()).await.unwrap();
    let prepared = internal(&installation.keyring, keys, command, None, ask_for);
    let (envelope, answer) = Envelope::new(prepared.await.unwrap());
    owner.push(envelope).unwrap();
    let after = ask("b");
    drop(held);
    let (answer, _) = answer.await.unwrap();
    assert!(matches!(answer, Answer::Refused(CommandError::Fault(it)) if it == command));
    before.await.unwrap().unwrap();
    after.await.unwrap().unwrap();
    let revision = installation.state(Partition(0)).await;
    let stream = Stream::Location(LocationId(uuid::Uuid::from_u128(9)));
    usize::from(revision.slot(acme.tenant(), &stream).is_some())
}

fn registers_and_panics(decision: &mut Decision<'_, '_>) -> Result<(), Refusal> {
    let target = "a/catalog-info.yaml".to_owned();
    let register = location::Command::Register { kind: LocationKind::File, target };
    let location = LocationId(uuid::Uuid::from_u128(9));
    decision.decide::<Location>(location, &register)?;
    panic!("on purpose");
}

#[tokio::test]
async fn a_panic_answers_its_caller_alone() {
    assert_eq!(traces_of_a_panic(None).await, 0);
    let noticed = traces_of_a_panic(Some(Sabotage::KeepTraces)).await;
    assert_eq!(noticed, 1, "the check would notice");
}

#[tokio::test]
async fn who_floods_waits_and_nobody_else() {
    let installation = Installation::with(1, |it| it.waiting_requests_max = 50).await;
    let acme = installation.tenant("acme").await;
    let umbrella = installation.tenant("umbrella").await;
    let held = installation.log.faults().hold();
    let ask = |who: &domain::Principal, name: String| {
        let (commands, who) = (installation.commands.clone(), who.clone());
        tokio::spawn(async move { commands.submit(&who, Request::new(put(&name))).await })
    };
    let flood: Vec<_> = (0..300).map(|it| ask(&acme, format!("web-{it}"))).collect();
    for _ in 0..5_000 {
        tokio::task::yield_now().await;
    }
    let neighbour: Vec<_> = (0..10).map(|it| ask(&umbrella, format!("web-{it}"))).collect();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    drop(held);
    let mut turned_away = 0;
    for asked in flood {
        match asked.await.unwrap() {
            Ok(_) => {}
            Err(CommandError::Busy { retry_after }) => {
                assert!(!retry_after.is_zero());
                turned_away += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(turned_away >= 200, "{turned_away} were turned away");
    for asked in neighbour {
        asked.await.unwrap().expect("the neighbour is served");
    }
}
