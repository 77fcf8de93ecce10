use super::*;

/// What may happen to a worker.
#[derive(Clone, Copy, Debug)]
enum Event {
    Fails(Step),
    GoesWell(Step),
    /// It has waited for what comes next, in milliseconds.
    Waited(u64),
}

use Event::{Fails, GoesWell, Waited};
use Step::{Apply, Log, Next, Tables};

/// The pauses after each failure, in milliseconds.
fn check(events: &[Event], expected: &[u128]) {
    let mut pauses = Pauses::default();
    let mut said = Vec::new();
    for event in events {
        match *event {
            Fails(step) => said.push(pauses.failed(step).as_millis()),
            GoesWell(step) => drop(pauses.went_well(step)),
            Waited(milliseconds) => pauses.waited(Duration::from_millis(milliseconds)),
        }
    }
    assert_eq!(said, expected, "{events:?}");
}

#[test]
fn what_fails_again_and_again_is_tried_ever_more_seldom() {
    check(&[Fails(Tables); 9], &[50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    // The database answers, and refuses what is to be applied.
    let refused = [GoesWell(Tables), GoesWell(Log), GoesWell(Next), Fails(Apply)];
    check(&refused.repeat(4), &[50, 100, 200, 400]);
    // The last record can be read, and the next one cannot.
    let unreadable = [GoesWell(Tables), GoesWell(Log), Waited(3), Fails(Next)];
    check(&unreadable.repeat(4), &[50, 100, 200, 400]);
}

#[test]
fn what_has_answered_meanwhile_fails_anew() {
    for step in [Tables, Log, Next, Apply] {
        let outage = [Fails(step), Fails(step), Fails(step), GoesWell(step)];
        check(&outage.repeat(3), &[50, 100, 200].repeat(3));
    }
    // What comes later works too, then.
    check(&[Fails(Tables), Fails(Tables), GoesWell(Log), Fails(Log)], &[50, 100, 50]);
}

#[test]
fn what_comes_before_says_nothing_of_what_failed() {
    check(
        &[Fails(Log), GoesWell(Tables), Fails(Log), GoesWell(Tables), Fails(Log)],
        &[50, 100, 200],
    );
}

#[test]
fn whoever_waited_for_long_was_not_refused() {
    // As where nothing is written, and the log is away for a moment now and then.
    let outage = [GoesWell(Log), Waited(60_000), Fails(Next)];
    check(&outage.repeat(4), &[50, 50, 50, 50]);
}
