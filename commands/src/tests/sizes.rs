//! Batches that would be larger than the log takes.

use std::sync::Arc;

use chrono::TimeDelta;
use domain::calendar::{Interval, Unit};
use domain::id::{CommandId, CustomerId, LocationId, PlanId, SubscriptionId};
use domain::location::{self, Location, LocationKind};
use domain::operation::Operation;
use domain::principal::Principal;
use event_log::Partition;
use event_log::port::BATCH_RECORDS_MAX;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::installation::{Installation, operator};
use super::scenario::terms;
use crate::handlers::{Decision, Refusal};
use crate::owner::envelope::{Answer, Envelope, Reply};
use crate::prepare::{Ask, Scripted, internal};
use crate::request::CommandError;
use crate::settings::Sabotage;

/// Asks for so many events at once; `number` tells requests apart.
async fn ask_for(
    installation: &Installation,
    who: &Principal,
    (number, events): (u128, u128),
) -> oneshot::Receiver<Reply> {
    let registers = move |decision: &mut Decision<'_, '_>| -> Result<(), Refusal> {
        for event in 0..events {
            let target = "a/catalog-info.yaml".to_owned();
            let register = location::Command::Register { kind: LocationKind::File, target };
            let location = LocationId(Uuid::from_u128((number << 64) | event));
            decision.decide::<Location>(location, &register)?;
        }
        Ok(())
    };
    let ask = Ask::Scripted(Scripted(Arc::new(registers)));
    let command = CommandId(Uuid::now_v7());
    let keys = installation.keyring.existing(who.tenant()).await.unwrap();
    let prepared = internal(&installation.keyring, keys, command, None, ask).await;
    let (envelope, answer) = Envelope::new(prepared.unwrap());
    installation.commands.owner(Partition(0)).push(envelope).unwrap();
    answer
}

/// Lets requests of two tenants wait together, `large` of so many events each and a small one,
/// and says what became of the large ones and of the small one.
async fn together(
    installation: &Installation,
    large: &[u128],
) -> (Vec<Result<u64, CommandError>>, Result<u64, CommandError>) {
    let acme = installation.tenant("acme").await;
    let umbrella = installation.tenant("umbrella").await;
    let held = installation.log.faults().hold();
    let first = ask_for(installation, &acme, (0, 1)).await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let mut asked = Vec::new();
    for (number, events) in (1..).zip(large) {
        asked.push(ask_for(installation, &acme, (number, *events)).await);
    }
    let small = ask_for(installation, &umbrella, (0, 1)).await;
    drop(held);
    answer(first).await.expect("it was alone");
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(answer(asked).await);
    }
    (answers, answer(small).await)
}

/// The tenant's sequence after the request.
async fn answer(asked: oneshot::Receiver<Reply>) -> Result<u64, CommandError> {
    match asked.await.unwrap().0 {
        Answer::Done(outcome) => Ok(outcome.sequence),
        Answer::Refused(error) => Err(error),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_too_much_for_one_batch_is_spread_over_several_in_order() {
    let installation = Installation::new().await;
    let (large, small) = together(&installation, &[500; 34]).await;
    let sequences: Vec<_> = large.into_iter().map(Result::unwrap).collect();
    assert!(sequences.is_sorted_by(|one, other| one + 500 == *other), "{sequences:?}");
    small.expect("the neighbour is served");
}

#[tokio::test]
async fn an_overfull_batch_would_fail_for_everybody() {
    let overfill = |it: &mut crate::Settings| it.sabotage = Some(Sabotage::Overfill);
    let installation = Installation::with(1, overfill).await;
    let (large, small) = together(&installation, &[500; 34]).await;
    assert!(large.iter().all(Result::is_err), "the check would notice");
    assert!(matches!(small, Err(CommandError::Unavailable(_))), "{small:?}");
}

#[tokio::test]
async fn a_request_that_fits_no_batch_is_refused_alone() {
    let installation = Installation::new().await;
    let (large, small) = together(&installation, &[1, 9_000, 1]).await;
    let [before, Err(CommandError::Rejected { code, reason }), after] = &large[..] else {
        panic!("{large:?}");
    };
    assert_eq!(code, "TOO_LARGE");
    assert!(reason.contains("9000 events") && reason.contains("at most 8192"), "{reason}");
    let (before, after) = (before.as_ref().unwrap(), after.as_ref().unwrap());
    assert_eq!(before + 1, *after, "nothing is left of it");
    small.expect("the neighbour is served");
}

/// Lets a subscription's daily period end more often than a batch has records, and says how many
/// records there are of it.
async fn renewals(installation: &Installation) -> usize {
    let acme = installation.tenant("acme").await;
    let plan = PlanId(Uuid::now_v7());
    let mut terms = terms(10, 10);
    terms.interval = Interval { unit: Unit::Day, count: 1 };
    terms.quotas.clear();
    let publish = Operation::PublishPlanVersion { plan, is_new: true, terms };
    installation.submit(&operator(), publish).await.unwrap();
    let subscription = SubscriptionId(Uuid::now_v7());
    let customer = CustomerId::of_tenant(acme.tenant());
    let start = Operation::StartSubscription { subscription, customer, plan, version: None };
    installation.submit(&acme, start).await.unwrap();
    let before = installation.records(Partition(0)).await.len();
    let days = i64::try_from(BATCH_RECORDS_MAX).unwrap() + 100;
    installation.clock.advance(TimeDelta::days(days));
    // What is asked now is decided after everything that was due, or the log takes nothing.
    let asked = ask_for(installation, &acme, (0, 1)).await;
    let decided = answer(asked).await.is_ok();
    installation.records(Partition(0)).await.len() - before - usize::from(decided)
}

#[tokio::test]
async fn timers_too_many_for_one_batch_fire_in_several() {
    let installation = Installation::new().await;
    assert_eq!(renewals(&installation).await, BATCH_RECORDS_MAX + 100);
}

#[tokio::test]
async fn timers_in_an_overfull_batch_would_never_fire() {
    let overfill = |it: &mut crate::Settings| it.sabotage = Some(Sabotage::Overfill);
    let installation = Installation::with(1, overfill).await;
    assert_eq!(renewals(&installation).await, 0, "the check would notice");
}
