//! What a request may say beside what it asks: keys, expectations, and what is about people.

use chrono::TimeDelta;
use domain::customer::Role;
use domain::id::{CustomerId, PlanId, SubscriptionId};
use domain::operation::{EntityChange, ExpectedRevision, Operation};
use domain::principal::Principal;
use event_log::Partition;
use event_log::memory::Fault;
use serde_json::json;
use uuid::Uuid;

use super::installation::{Installation, operator, put, put_described, remove};
use super::scenario::{calls, define_calls, terms};
use crate::idempotency::RESERVED;
use crate::request::{CommandError, Mode, Repetition, Request};
use crate::settings::{Sabotage, Settings, Values};

pub(super) fn keyed(operation: Operation, key: &str) -> Request {
    Request { idempotency_key: Some(key.parse().unwrap()), ..Request::new(operation) }
}

#[tokio::test]
async fn a_repeated_request_is_answered_with_its_first_outcome() {
    let mut installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let first = installation.ask(&acme, keyed(put("web"), "one")).await.unwrap();
    assert_eq!(first.repetition, Repetition::First);
    for _ in 0..3 {
        let again = installation.ask(&acme, keyed(put("web"), "one")).await.unwrap();
        assert_eq!(again.repetition, Repetition::Remembered);
        assert_eq!((again.command, again.position), (first.command, first.position));
        assert_eq!((&again.events, again.sequence), (&first.events, first.sequence));
        assert_eq!(again.at, first.at);
        // Also by a write side that knows it only from a snapshot, or only from the log.
        installation.restart().await;
    }
    installation.forget_snapshots().await;
    installation.start_again().await;
    let again = installation.ask(&acme, keyed(put("web"), "one")).await.unwrap();
    assert_eq!(again.repetition, Repetition::Remembered);
}

#[tokio::test]
async fn a_key_stands_for_one_request_of_one_principal_for_one_operation() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let umbrella = installation.tenant("umbrella").await;
    installation.ask(&acme, keyed(put("web"), "one")).await.unwrap();
    let other = installation.ask(&acme, keyed(put_described("web", "new"), "one")).await;
    assert!(matches!(&other, Err(CommandError::KeyReused(key)) if key == "one"), "{other:?}");
    let preview = Request { mode: Mode::Preview, ..keyed(put("web"), "one") };
    let preview = installation.ask(&acme, preview).await;
    assert!(matches!(preview, Err(CommandError::KeyReused(_))), "{preview:?}");
    // Another operation, another tenant, another member: other requests.
    installation.ask(&acme, keyed(define_calls(), "one")).await.unwrap();
    let theirs = installation.ask(&umbrella, keyed(put("web"), "one")).await.unwrap();
    assert_eq!(theirs.repetition, Repetition::First);
}

#[tokio::test]
async fn a_key_is_forgotten_after_seven_days() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    installation.ask(&acme, keyed(put("web"), "one")).await.unwrap();
    installation.clock.advance(TimeDelta::days(7) - TimeDelta::seconds(1));
    let other = installation.ask(&acme, keyed(put_described("web", "new"), "one")).await;
    assert!(matches!(other, Err(CommandError::KeyReused(_))), "{other:?}");
    installation.clock.advance(TimeDelta::seconds(1));
    let other = installation.ask(&acme, keyed(put_described("web", "new"), "one")).await.unwrap();
    assert_eq!(other.repetition, Repetition::First);
}

/// What repeated sales are answered with after their plan was retired.
async fn sold_again(sabotage: Option<Sabotage>) -> Vec<Result<Repetition, &'static str>> {
    let mut installation = Installation::with(2, |it| it.sabotage = sabotage).await;
    installation.tenant("other").await;
    let acme = installation.tenant("acme").await;
    let plans = [PlanId(Uuid::now_v7()), PlanId(Uuid::now_v7())];
    for (plan, calls_max) in plans.into_iter().zip([10, 20]) {
        let publish =
            Operation::PublishPlanVersion { plan, is_new: true, terms: terms(10, calls_max) };
        installation.submit(&operator(), publish).await.unwrap();
    }
    let (subscription, customer) =
        (SubscriptionId(Uuid::now_v7()), CustomerId::of_tenant(acme.tenant()));
    let version = None;
    let start = Operation::StartSubscription { subscription, customer, plan: plans[0], version };
    let change = Operation::ChangePlan { subscription, plan: plans[1], version };
    for operation in [start.clone(), change.clone()] {
        let first = installation.ask(&acme, keyed(operation, "one")).await.unwrap();
        assert_eq!((first.repetition, first.events.len()), (Repetition::First, 1));
    }
    for plan in plans {
        installation.submit(&operator(), Operation::RetirePlan { plan }).await.unwrap();
    }
    installation.restart().await;
    let mut answers = Vec::new();
    // The last one was never asked before.
    for (operation, key) in [(start, "one"), (change.clone(), "one"), (change, "two")] {
        let answer = installation.ask(&acme, keyed(operation, key)).await;
        answers.push(match answer {
            Ok(outcome) => Ok(outcome.repetition),
            Err(CommandError::Rejected { code, .. }) if code == "PLAN_RETIRED" => {
                Err("PLAN_RETIRED")
            }
            Err(other) => panic!("{other:?}"),
        });
    }
    answers
}

#[tokio::test]
async fn a_repeated_sale_has_its_outcome_although_the_plan_is_retired_since() {
    let remembered = Ok(Repetition::Remembered);
    assert_eq!(sold_again(None).await, [remembered, remembered, Err("PLAN_RETIRED")]);
    let noticed = sold_again(Some(Sabotage::TermsFirst)).await;
    assert_eq!(noticed, [Err("PLAN_RETIRED"); 3], "the check would notice");
}

/// What a flood of keys was answered with at last, and a neighbour's only key.
async fn flooded(sabotage: Option<Sabotage>) -> (Installation, [Principal; 2], [bool; 2]) {
    let change = |it: &mut Settings| {
        it.sabotage = sabotage;
        it.remembered_in_common_max = 20;
    };
    let installation = Installation::with(1, change).await;
    let acme = installation.tenant("acme").await;
    let umbrella = installation.tenant("umbrella").await;
    for who in [&acme, &umbrella] {
        installation.submit(who, define_calls()).await.unwrap();
    }
    // All in one batch, which counts what its own requests will hold.
    let held = installation.log.faults().hold();
    let ask = |it: usize| {
        let (commands, acme) = (installation.commands.clone(), acme.clone());
        let record = Operation::RecordUsage { entries: vec![calls(&format!("{it}"), 1)] };
        tokio::spawn(async move { commands.submit(&acme, keyed(record, &it.to_string())).await })
    };
    let asked: Vec<_> = (0..RESERVED + 30).map(ask).collect();
    for _ in 0..5_000 {
        tokio::task::yield_now().await;
    }
    drop(held);
    let mut refused = 0;
    for asked in asked {
        match asked.await.unwrap() {
            Ok(_) => {}
            Err(CommandError::TooManyKeys { retry_after }) => {
                assert_eq!(retry_after.as_secs(), 3_600);
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    let theirs = installation.ask(&umbrella, keyed(put("web"), "one")).await;
    (installation, [acme, umbrella], [refused > 0, theirs.is_ok()])
}

#[tokio::test]
async fn who_floods_with_keys_is_refused_and_nobody_is_forgotten_early() {
    let (mut installation, [acme, umbrella], answers) = flooded(None).await;
    assert_eq!(answers, [true, true]);
    // Without a key it may go on, and what it has asked before it is told again.
    installation.submit(&acme, put("web")).await.unwrap();
    for forgets_snapshots in [false, true] {
        if forgets_snapshots {
            installation.forget_snapshots().await;
            installation.start_again().await;
        } else {
            installation.restart().await;
        }
        let full = installation.ask(&acme, keyed(put("other"), "new")).await;
        assert!(matches!(full, Err(CommandError::TooManyKeys { .. })), "{full:?}");
        let again = installation.ask(&umbrella, keyed(put("web"), "one")).await.unwrap();
        assert_eq!(again.repetition, Repetition::Remembered);
    }
    installation.clock.advance(TimeDelta::days(7));
    installation.ask(&acme, keyed(put("other"), "new")).await.unwrap();
    let (.., noticed) = flooded(Some(Sabotage::OnePool)).await;
    assert_eq!(noticed, [true, false], "the check would notice");
}

#[tokio::test]
async fn a_repetition_in_the_same_batch_takes_effect_once() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    installation.submit(&acme, define_calls()).await.unwrap();
    let held = installation.log.faults().hold();
    let ask = || {
        let (commands, acme) = (installation.commands.clone(), acme.clone());
        let record = Operation::RecordUsage { entries: vec![calls("a", 1), calls("a", 2)] };
        tokio::spawn(async move { commands.submit(&acme, keyed(record, "one")).await })
    };
    let asked: Vec<_> = (0..3).map(|_| ask()).collect();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    drop(held);
    let mut firsts = 0;
    let mut events = Vec::new();
    for asked in asked {
        let outcome = asked.await.unwrap().unwrap();
        firsts += usize::from(outcome.repetition == Repetition::First);
        assert_eq!(outcome.verdicts.len(), 2);
        events.push(outcome.events);
    }
    assert_eq!(firsts, 1);
    assert!(events.iter().all(|it| *it == events[0]));
}

#[tokio::test]
async fn a_key_holds_although_the_outcome_was_unknown() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    installation.log.faults().fail_next(Fault::UnknownWritten);
    let first = installation.ask(&acme, keyed(put("web"), "one")).await.unwrap();
    let again = installation.ask(&acme, keyed(put("web"), "one")).await.unwrap();
    assert_eq!(again.repetition, Repetition::Remembered);
    assert_eq!(again.events, first.events);
}

#[tokio::test]
async fn expectations_are_checked_against_the_stream_as_it_is() {
    use ExpectedRevision::{Any, Exact, Exists, None};

    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let check = async |state: &str, expected: ExpectedRevision, holds: bool| {
        let change =
            EntityChange::Remove { reference: format!("component:default/{state}"), expected };
        let request = Request {
            mode: Mode::Preview,
            ..Request::new(Operation::ApplyEntities { changes: vec![change] })
        };
        match installation.ask(&acme, request).await {
            Ok(_) => assert!(holds, "{state} is not {expected:?}"),
            Err(CommandError::Conflict { .. }) => assert!(!holds, "{state} is {expected:?}"),
            Err(other) => panic!("{other:?}"),
        }
    };
    installation.submit(&acme, put("present")).await.unwrap();
    installation.submit(&acme, put_described("present", "new")).await.unwrap();
    installation.submit(&acme, put("gone")).await.unwrap();
    installation.submit(&acme, remove("gone")).await.unwrap();
    for (expected, absent, present, gone) in [
        (Any, true, true, true),
        (Exists, false, true, false),
        (None, true, false, true),
        (Exact(1), false, false, false),
        (Exact(2), false, true, true),
    ] {
        check("absent", expected, absent).await;
        check("present", expected, present).await;
        check("gone", expected, gone).await;
    }
}

#[tokio::test]
async fn of_two_who_expect_the_same_revision_one_wins() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    installation.submit(&acme, put("web")).await.unwrap();
    let asked: Vec<_> = (0..20)
        .map(|number| {
            let (commands, acme) = (installation.commands.clone(), acme.clone());
            let operation = match put_described("web", &format!("version {number}")) {
                Operation::ApplyEntities { mut changes } => {
                    if let EntityChange::Put { expected, .. } = &mut changes[0] {
                        *expected = ExpectedRevision::Exact(1);
                    }
                    Operation::ApplyEntities { changes }
                }
                other => other,
            };
            tokio::spawn(async move { commands.submit(&acme, Request::new(operation)).await })
        })
        .collect();
    let mut won = 0;
    for asked in asked {
        match asked.await.unwrap() {
            Ok(_) => won += 1,
            Err(CommandError::Conflict { actual, .. }) => assert_eq!(actual, 2),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn what_is_about_people_is_in_no_record() {
    for values in [Values::Plain, Values::Sealed] {
        let mut installation = Installation::with(1, |it| it.values = values).await;
        let acme = installation.tenant("acme-corporation").await;
        let open = Operation::OpenCustomer {
            customer: CustomerId(Uuid::now_v7()),
            role: Role::Customer,
            name: "Ada Lovelace".to_owned(),
            contact: Some("ada@example.com".to_owned()),
            currency: None,
            time_zone: None,
        };
        installation.submit(&acme, open).await.unwrap();
        let descriptor = json!({
            "apiVersion": "backstage.io/v1alpha1",
            "kind": "User",
            "metadata": { "name": "ada.lovelace" },
            "spec": { "profile": { "displayName": "Ada Lovelace" }, "memberOf": ["analysts"] },
        });
        let expected = ExpectedRevision::Any;
        let change = EntityChange::Put { descriptor, location: None, expected };
        let changes = vec![change];
        let first = Operation::ApplyEntities { changes };
        installation.submit(&acme, first.clone()).await.unwrap();
        let records = installation.records(Partition(0)).await;
        let holds = |text: &str| {
            let within = |it: &event_log::Recorded| {
                it.record.canonical().windows(text.len()).any(|it| it == text.as_bytes())
            };
            records.iter().any(within)
        };
        for text in ["Ada", "Lovelace", "lovelace", "ada@example.com", "analysts"] {
            assert!(!holds(text), "`{text}` is in a record");
        }
        // The control: what is not about people can be found, unless whole values are sealed.
        assert_eq!(holds("currency"), values == Values::Plain);
        assert!(holds("callboard.entity.registered.v1"));
        // And equality still works, also after a restart.
        installation.restart().await;
        let same = installation.submit(&acme, first).await.unwrap();
        assert!(same.events.is_empty());
    }
}
