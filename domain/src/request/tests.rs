use super::*;
use crate::usage::ENTRIES_MAX;
use Verdict::{Conflict, Duplicate, UnknownMeter};

#[track_caller]
fn check(verdicts: &[Verdict], noted: &[(u32, Verdict)]) {
    let event = Event::noted(verdicts);
    assert_eq!(event, Event::Noted { verdicts: noted.to_vec() });
    assert_eq!(event.verdicts(), verdicts);
}

#[test]
fn verdicts_are_noted_in_rows_and_come_back_one_by_one() {
    check(&[], &[]);
    check(&[Duplicate; ENTRIES_MAX], &[(1_000, Duplicate)]);
    let mixed = [Duplicate, Duplicate, Conflict, Duplicate, UnknownMeter];
    check(&mixed, &[(2, Duplicate), (1, Conflict), (1, Duplicate), (1, UnknownMeter)]);
}

#[test]
fn a_damaged_note_has_no_more_verdicts_than_a_request_has_entries() {
    let damaged = Event::Noted { verdicts: vec![(u32::MAX, Duplicate), (u32::MAX, Conflict)] };
    assert_eq!(damaged.verdicts(), [Duplicate; ENTRIES_MAX]);
}
