mod damage;
mod model;
mod power;

use std::path::Path;

use domain::usage::Seen;
use event_log::Position;

use super::{Fingerprint, Identities, IdentitiesError, Pending, RECENT_MAX};

const KEY: [u8; 16] = [7; 16];
const LOG: &str = "0123";

fn open(folder: &Path) -> Identities {
    Identities::open(folder, &KEY, LOG).unwrap()
}

/// A fingerprint for this number, spread as a keyed hash would (SplitMix64), and this content.
fn entry(number: u32, content: &str) -> Fingerprint {
    let spread = |seed: u64| {
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let upper = spread(u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let identity = u128::from(upper) << 64 | u128::from(spread(upper));
    let content = content.bytes().fold(0, |sum, it| sum * 31 + u64::from(it));
    Fingerprint { identity, content }
}

#[track_caller]
fn check(identities: &Identities, asked: &[Fingerprint], expected: &[Seen]) {
    assert_eq!(identities.lookup(&Pending::default(), asked).unwrap(), expected);
}

/// Checks that the entries of these numbers, and no other, are known of the first `asked`.
#[track_caller]
fn check_known(identities: &Identities, known: u32, asked: u32) {
    for from in (0..asked).step_by(1_000) {
        let numbers = from..asked.min(from + 1_000);
        let asked: Vec<_> = numbers.clone().map(|it| entry(it, "one")).collect();
        let seen = identities.lookup(&Pending::default(), &asked).unwrap();
        for (number, seen) in numbers.zip(seen) {
            let expected = if number < known { Seen::Same } else { Seen::New };
            assert_eq!(seen, expected, "entry {number}");
        }
    }
}

/// Inserts the entries of these numbers.
fn insert(identities: &mut Identities, numbers: impl Iterator<Item = u32>) {
    for number in numbers {
        identities.insert(entry(number, "one"));
    }
}

#[test]
fn an_identity_is_new_then_the_same_or_in_conflict_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut identities = open(folder.path());
    let asked = [entry(1, "one"), entry(1, "two"), entry(2, "one")];
    check(&identities, &asked, &[Seen::New, Seen::New, Seen::New]);

    let mut pending = Pending::default();
    pending.insert(asked[0]);
    let known = [Seen::Same, Seen::Conflict, Seen::New];
    assert_eq!(identities.lookup(&pending, &asked).unwrap(), known, "pending");
    check(&identities, &asked, &[Seen::New, Seen::New, Seen::New]);

    identities.merge(pending);
    check(&identities, &asked, &known);
    identities.seal(Position(8));
    check(&identities, &asked, &known);
    identities.settle().unwrap();
    assert_eq!(identities.memory().recent, 0);
    check(&identities, &asked, &known);
    drop(identities);

    let identities = open(folder.path());
    assert_eq!(identities.sealed_upto(), Position(8));
    check(&identities, &asked, &known);
}

#[test]
fn a_dropped_decision_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let identities = open(folder.path());
    let mut pending = Pending::default();
    pending.insert(entry(1, "one"));
    drop(pending);
    check(&identities, &[entry(1, "one")], &[Seen::New]);
    assert_eq!(identities.memory().recent, 0);
}

#[test]
fn the_first_content_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut identities = open(folder.path());
    // As a replay from before the sealed position does.
    for (content, position) in [("one", 1), ("two", 2), ("three", 3), ("four", 4), ("five", 5)] {
        identities.insert(entry(1, content));
        identities.insert(entry(1, "never"));
        identities.seal(Position(position));
        identities.settle().unwrap();
        check(&identities, &[entry(1, "one"), entry(1, content)][..1], &[Seen::Same]);
    }
    assert!(identities.memory().runs < 5, "some were merged");
    check(&identities, &[entry(1, "five"), entry(1, "never")], &[Seen::Conflict; 2]);
}

#[test]
fn large_runs_are_merged_by_tiers_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut identities = open(folder.path());
    let large = 140_000;
    for round in 0..4 {
        insert(&mut identities, round * large..(round + 1) * large);
        identities.seal(Position(u64::from(round) + 1));
        // The merge that begins with the fourth goes on while more is sealed.
        if round < 3 {
            identities.settle().unwrap();
        }
    }
    let all = 4 * large + 5_000;
    for number in 4 * large..all {
        identities.insert(entry(number, "one"));
        if number % 200 == 0 {
            identities.seal(Position(u64::from(number)));
        }
    }
    identities.settle().unwrap();
    identities.seal(Position(u64::from(all)));
    identities.settle().unwrap();
    let memory = identities.memory();
    assert_eq!((memory.recent, memory.sealed), (0, u64::from(all)));
    assert!(memory.runs <= 4, "{memory:?}");
    assert!(memory.filter_bytes + memory.fence_bytes < 2 * memory.sealed, "{memory:?}");
    identities.verify().unwrap();
    check_known(&identities, all, all + 5_000);
}

#[test]
fn all_of_it_can_be_sealed_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut identities = open(folder.path());
    for round in 0..20 {
        insert(&mut identities, round * 100..(round + 1) * 100);
        identities.seal(Position(u64::from(round) + 1));
    }
    insert(&mut identities, 2_000..2_100);
    identities.seal_all(Position(21)).unwrap();
    assert_eq!((identities.sealed_upto(), identities.memory().recent), (Position(21), 0));
    drop(identities);
    check_known(&open(folder.path()), 2_100, 2_500);
}

#[test]
fn sealing_is_due_when_memory_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let mut identities = open(folder.path());
    let numbers = u32::try_from(RECENT_MAX).unwrap();
    insert(&mut identities, 1..numbers);
    assert!(!identities.is_seal_due());
    insert(&mut identities, 0..numbers);
    assert!(identities.is_seal_due());
    let bytes = identities.memory().recent_bytes;
    assert!((6 << 20..16 << 20).contains(&bytes), "{bytes}");
    identities.seal(Position(1));
    assert!(!identities.is_seal_due());
}

#[test]
fn another_key_or_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut identities = open(folder.path());
    identities.insert(entry(1, "one"));
    identities.seal(Position(2));
    identities.settle().unwrap();
    drop(identities);
    for (key, log) in [([8; 16], LOG), (KEY, "4567")] {
        let refused = Identities::open(folder.path(), &key, log).unwrap_err();
        assert!(matches!(refused, IdentitiesError::Foreign { .. }), "{refused}");
    }
    Identities::delete(folder.path()).unwrap();
    Identities::delete(folder.path()).unwrap();
    let identities = Identities::open(folder.path(), &[8; 16], "4567").unwrap();
    assert_eq!(identities.sealed_upto(), Position::START);
}

#[test]
fn dropping_it_does_not_wait_for_a_merge_and_loses_nothing_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let mut identities = open(folder.path());
    for round in 0..4_u32 {
        insert(&mut identities, round * 1_000..(round + 1) * 1_000);
        identities.seal(Position(u64::from(round) + 1));
        if round < 3 {
            identities.settle().unwrap();
        }
    }
    drop(identities);
    let identities = open(folder.path());
    let sealed = u32::try_from(identities.sealed_upto().0).unwrap() * 1_000;
    assert!(sealed >= 3_000);
    check_known(&identities, sealed, 4_500);
    identities.settle().unwrap();
    identities.verify().unwrap();
}
