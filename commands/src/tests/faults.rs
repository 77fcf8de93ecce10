//! Appends that end badly, each with what would happen if the step that guards it were missing.

use domain::principal::Principal;
use event_log::memory::Fault;
use event_log::{Attribute, EventLog, Partition};
use tokio::task::JoinHandle;

use super::installation::{Installation, put, put_described};
use crate::away::Away;
use crate::request::{CommandError, Outcome, Request};
use crate::settings::Sabotage;

type Asked = JoinHandle<Result<Outcome, CommandError>>;

/// Asks for so many entities at once, so that they wait together while the log is held.
fn ask_many(installation: &Installation, who: &Principal, names: &[&str]) -> Vec<Asked> {
    let ask = |name: &&str| {
        let (commands, who) = (installation.commands.clone(), who.clone());
        let request = Request::new(put(name));
        tokio::spawn(async move { commands.submit(&who, request).await })
    };
    names.iter().map(ask).collect()
}

async fn answers(asked: Vec<Asked>) -> Vec<Result<Outcome, CommandError>> {
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(asked.await.unwrap());
    }
    answers
}

/// How many records there are of entities.
async fn entities(installation: &Installation) -> usize {
    let records = installation.records(Partition(0)).await;
    let of_entities = |it: &&event_log::Recorded| {
        it.record.attribute(Attribute::Type).starts_with("callboard.entity.")
    };
    records.iter().filter(of_entities).count()
}

/// Whether a request is answered while the log still holds its batch.
async fn answers_while_held(sabotage: Option<Sabotage>) -> bool {
    let installation = Installation::with(1, |it| it.sabotage = sabotage).await;
    let acme = installation.tenant("acme").await;
    let held = installation.log.faults().hold();
    let asked = ask_many(&installation, &acme, &["a"]);
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let answered = asked[0].is_finished();
    drop(held);
    answered
}

#[tokio::test]
async fn nobody_is_answered_before_it_is_durable() {
    assert!(!answers_while_held(None).await);
    assert!(answers_while_held(Some(Sabotage::AnswerEarly)).await, "the check would notice");
}

/// The revision of what is registered after an attempt at it was refused.
async fn revision_after_refusal(sabotage: Option<Sabotage>) -> Option<u64> {
    let installation = Installation::with(1, |it| it.sabotage = sabotage).await;
    let acme = installation.tenant("acme").await;
    installation.log.faults().fail_next(Fault::Refused);
    drop(installation.submit(&acme, put("web")).await);
    let outcome = installation.submit(&acme, put("web")).await.unwrap();
    outcome.events.first().map(|it| it.revision)
}

#[tokio::test]
async fn what_was_refused_is_not_part_of_the_state() {
    assert_eq!(revision_after_refusal(None).await, Some(1));
    let noticed = revision_after_refusal(Some(Sabotage::MergeRefused)).await;
    assert_eq!(noticed, None, "the check would notice");
}

/// How often an entity is recorded whose first append was written without saying so.
async fn written_after_unknown(sabotage: Option<Sabotage>) -> usize {
    let installation = Installation::with(1, |it| it.sabotage = sabotage).await;
    let acme = installation.tenant("acme").await;
    installation.log.faults().fail_next(Fault::UnknownWritten);
    drop(installation.submit(&acme, put("web")).await);
    entities(&installation).await
}

#[tokio::test]
async fn the_log_is_read_before_anything_is_decided_anew() {
    assert_eq!(written_after_unknown(None).await, 1);
    let noticed = written_after_unknown(Some(Sabotage::ReadNothing)).await;
    assert_eq!(noticed, 2, "the check would notice");
}

#[tokio::test]
async fn what_waits_together_is_appended_together_and_answered_after() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let held = installation.log.faults().hold();
    let asked = ask_many(&installation, &acme, &["a", "b", "c", "d"]);
    // Rejections and no-ops rest on what is not durable yet, so they wait as well.
    let nothing = ask_many(&installation, &acme, &["a"]);
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(asked.iter().chain(&nothing).all(|it| !it.is_finished()), "nothing is durable");
    assert_eq!(entities(&installation).await, 0);
    drop(held);
    let answers = answers(asked).await;
    assert!(answers.iter().all(Result::is_ok));
    let last = answers.iter().map(|it| it.as_ref().unwrap().position).max().unwrap();
    let same = nothing.into_iter().next().unwrap().await.unwrap().unwrap();
    assert!(same.events.is_empty());
    assert!(same.position <= last);
    assert_eq!(entities(&installation).await, 4);
}

#[tokio::test]
async fn a_refused_batch_changes_nothing_and_keeps_ownership() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let before = installation.log.end(Partition(0)).await.unwrap();
    installation.log.faults().fail_next(Fault::Refused);
    let refused = installation.submit(&acme, put("web")).await;
    assert!(matches!(refused, Err(CommandError::Unavailable(Away::Log))), "{refused:?}");
    assert_eq!(installation.log.end(Partition(0)).await.unwrap(), before);
    let accepted = installation.submit(&acme, put("web")).await.unwrap();
    assert_eq!(accepted.events[0].revision, 1, "the refused decision left no trace");
}

#[tokio::test]
async fn an_unknown_outcome_that_was_written_is_answered_as_what_it_is() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    installation.log.faults().fail_next(Fault::UnknownWritten);
    let outcome = installation.submit(&acme, put("web")).await.unwrap();
    let records = installation.records(Partition(0)).await;
    assert_eq!(records.last().unwrap().position, outcome.position);
    assert_eq!(entities(&installation).await, 1, "it did not take effect twice");
    let again = installation.submit(&acme, put_described("web", "new")).await.unwrap();
    assert_eq!(again.events[0].revision, 2);
}

#[tokio::test]
async fn an_unknown_outcome_that_was_lost_is_decided_anew() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    for fault in [Fault::UnknownLost, Fault::Fenced] {
        installation.log.faults().fail_next(fault);
        let name = format!("{fault:?}").to_lowercase();
        let outcome = installation.submit(&acme, put(&name)).await.unwrap();
        assert_eq!(outcome.events[0].revision, 1);
    }
    assert_eq!(entities(&installation).await, 2);
}

#[tokio::test]
async fn whoever_loses_every_time_is_told_that_nothing_was_written() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    for _ in 0..3 {
        installation.log.faults().fail_next(Fault::UnknownLost);
    }
    let lost = installation.submit(&acme, put("web")).await;
    assert!(matches!(lost, Err(CommandError::Unavailable(_))), "{lost:?}");
    assert_eq!(entities(&installation).await, 0);
    installation.submit(&acme, put("web")).await.unwrap();
}

#[tokio::test]
async fn faults_of_every_kind_in_a_row_lose_and_repeat_nothing() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let faults =
        [Fault::Refused, Fault::UnknownWritten, Fault::UnknownLost, Fault::Fenced, Fault::Refused];
    let mut acknowledged = 0;
    for round in 0..60 {
        installation.log.faults().fail_next(faults[round % faults.len()]);
        let names: Vec<_> = (0..5).map(|it| format!("web-{round}-{it}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let asked = ask_many(&installation, &acme, &names);
        acknowledged += answers(asked).await.iter().filter(|it| it.is_ok()).count();
    }
    assert_eq!(entities(&installation).await, acknowledged, "exactly what was acknowledged");
    assert!(acknowledged >= 100, "most is written in spite of all, got {acknowledged}");
}

#[tokio::test]
async fn a_write_side_that_was_fenced_reads_what_the_other_wrote() {
    let mut installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let first = installation.commands.clone();
    installation.start_again().await;
    installation.submit(&acme, put("web")).await.unwrap();
    // The first still holds the state of before, and must not decide by it.
    let stale = first.submit(&acme, Request::new(put("web"))).await.unwrap();
    assert!(stale.events.is_empty(), "the other had registered it: {stale:?}");
    assert_eq!(entities(&installation).await, 1);
}
