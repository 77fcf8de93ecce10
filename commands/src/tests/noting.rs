//! Keyed requests that changed nothing: remembered like any other.

use domain::operation::Operation;
use domain::usage::Verdict;
use event_log::memory::Fault;
use event_log::{Attribute, Partition};

use super::installation::{Installation, put, put_described, remove};
use super::requests::keyed;
use super::scenario::{calls, define_calls};
use crate::request::{CommandError, Mode, Outcome, Repetition, Request};
use crate::settings::{Sabotage, Values};

/// What notes are called in records.
const NOTED: &str = "callboard.request.noted.v1";

/// How many notes there are, and what they weigh at most. In bytes, of values.
async fn notes(installation: &Installation) -> (usize, usize) {
    let records = installation.records(Partition(0)).await;
    let notes = records.iter().filter(|it| it.record.attribute(Attribute::Type) == NOTED);
    let bytes: Vec<_> = notes.map(|it| it.record.value().len()).collect();
    (bytes.len(), bytes.into_iter().max().unwrap_or_default())
}

/// Puts what is there already, under a key, removes it, and says what the same request and
/// another one of its key are answered then by a write side that began with the newest snapshot,
/// or with none.
async fn repeated(
    sabotage: Option<Sabotage>,
    values: Values,
    forgets_snapshots: bool,
) -> [Result<Outcome, CommandError>; 3] {
    let change = |it: &mut crate::Settings| (it.sabotage, it.values) = (sabotage, values);
    let mut installation = Installation::with(1, change).await;
    let acme = installation.tenant("acme").await;
    installation.submit(&acme, put("web")).await.unwrap();
    let first = installation.ask(&acme, keyed(put("web"), "one")).await;
    installation.submit(&acme, remove("web")).await.unwrap();
    if forgets_snapshots {
        installation.forget_snapshots().await;
        installation.start_again().await;
    } else {
        installation.restart().await;
    }
    let again = installation.ask(&acme, keyed(put("web"), "one")).await;
    let other = installation.ask(&acme, keyed(put_described("web", "new"), "one")).await;
    [first, again, other]
}

#[tokio::test]
async fn who_repeats_what_changed_nothing_changes_nothing_later() {
    for values in [Values::Plain, Values::Sealed] {
        for forgets_snapshots in [false, true] {
            let [first, again, other] = repeated(None, values, forgets_snapshots).await;
            let (first, again) = (first.unwrap(), again.unwrap());
            assert_eq!((first.repetition, &first.events[..]), (Repetition::First, &[][..]));
            assert_eq!(again, Outcome { repetition: Repetition::Remembered, ..first });
            assert!(matches!(other, Err(CommandError::KeyReused(_))), "{other:?}");
        }
    }
    let [_, again, other] = repeated(Some(Sabotage::NoteNothing), Values::Plain, false).await;
    let again = again.unwrap();
    let noticed = (again.repetition, again.events.len());
    assert_eq!(noticed, (Repetition::First, 1), "the check would notice");
    assert!(matches!(other, Err(CommandError::KeyReused(_))), "{other:?}");
}

#[tokio::test]
async fn verdicts_of_usage_that_was_known_come_back_in_order() {
    let mut installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    installation.submit(&acme, define_calls()).await.unwrap();
    let record = |value| {
        let known = (0..900).map(|it| calls(&format!("{it}"), 1));
        let entries = known.chain([calls("7", value), calls("0", 1)]).collect();
        Operation::RecordUsage { entries }
    };
    installation.submit(&acme, record(1)).await.unwrap();
    let first = installation.ask(&acme, keyed(record(9), "one")).await.unwrap();
    let mut expected = vec![Verdict::Duplicate; 902];
    expected[900] = Verdict::Conflict;
    assert_eq!((&first.verdicts, first.events.len()), (&expected, 0));
    installation.restart().await;
    let again = installation.ask(&acme, keyed(record(9), "one")).await.unwrap();
    assert_eq!(again, Outcome { repetition: Repetition::Remembered, ..first });
    let (count, bytes_max) = notes(&installation).await;
    assert!(count == 1 && bytes_max < 100, "{count} notes of {bytes_max} bytes");
}

#[tokio::test]
async fn nothing_is_noted_of_what_carries_no_key_or_has_no_effect_anyway() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    installation.submit(&acme, put("web")).await.unwrap();
    let without = installation.submit(&acme, put("web")).await.unwrap();
    let preview = Request { mode: Mode::Preview, ..keyed(put("web"), "one") };
    installation.ask(&acme, preview).await.unwrap();
    let rejected = Operation::ArchiveMeter { key: "api.calls".parse().unwrap() };
    installation.ask(&acme, keyed(rejected, "two")).await.unwrap_err();
    assert_eq!(notes(&installation).await.0, 0);
    let with = installation.ask(&acme, keyed(put("web"), "three")).await.unwrap();
    assert_eq!(with.sequence, without.sequence + 1);
    let state = installation.state(Partition(0)).await;
    let slots = state.tenants[&acme.tenant()].streams.len();
    for number in 0..50 {
        installation.ask(&acme, keyed(put("web"), &format!("n-{number}"))).await.unwrap();
    }
    assert_eq!(notes(&installation).await.0, 51);
    let state = installation.state(Partition(0)).await;
    assert_eq!(state.tenants[&acme.tenant()].streams.len(), slots, "they share a slot");
}

#[tokio::test]
async fn a_note_holds_although_its_outcome_was_unknown_or_repeated_at_once() {
    for fault in [None, Some(Fault::UnknownWritten), Some(Fault::UnknownLost)] {
        let installation = Installation::new().await;
        let acme = installation.tenant("acme").await;
        installation.submit(&acme, put("web")).await.unwrap();
        fault.into_iter().for_each(|it| installation.log.faults().fail_next(it));
        let held = installation.log.faults().hold();
        let ask = |_| {
            let (commands, acme) = (installation.commands.clone(), acme.clone());
            tokio::spawn(async move { commands.submit(&acme, keyed(put("web"), "one")).await })
        };
        let asked: Vec<_> = (0..3).map(ask).collect();
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        drop(held);
        let mut outcomes = Vec::new();
        for asked in asked {
            outcomes.push(asked.await.unwrap().unwrap());
        }
        let firsts = outcomes.iter().filter(|it| it.repetition == Repetition::First);
        assert_eq!(firsts.count(), 1, "{fault:?}");
        assert!(outcomes.iter().all(|it| it.events.is_empty()));
        assert!(outcomes.iter().all(|it| it.position == outcomes[0].position), "{fault:?}");
        assert_eq!(notes(&installation).await.0, 1, "{fault:?}");
    }
}
