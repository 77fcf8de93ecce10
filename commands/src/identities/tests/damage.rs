//! Flipped bits are found and named, and never change an answer.

use std::path::{Path, PathBuf};

use domain::usage::Seen;
use event_log::Position;

use super::super::block::{self, BLOCK_BYTES};
use super::super::run::file_name;
use super::super::{Identities, IdentitiesError, Pending};
use super::{KEY, LOG, entry, insert, open};

const ENTRIES: u32 = 1_000;

/// An index of one run, and the run's file.
fn sealed() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let mut identities = open(folder.path());
    insert(&mut identities, 0..ENTRIES);
    identities.seal(Position(2));
    identities.settle().unwrap();
    let file = folder.path().join(file_name(1));
    (folder, file)
}

/// Opens, verifies and asks for everything; the first error, after checking every answer.
#[track_caller]
fn first_error(folder: &Path) -> Option<IdentitiesError> {
    let identities = match Identities::open(folder, &KEY, LOG) {
        Ok(identities) => identities,
        Err(error) => return Some(error),
    };
    let mut first = identities.verify().err();
    for number in 0..ENTRIES {
        match identities.lookup(&Pending::default(), &[entry(number, "one")]) {
            Ok(seen) => assert_eq!(seen, [Seen::Same], "a wrong answer"),
            Err(error) => first = first.or(Some(error)),
        }
    }
    first
}

#[track_caller]
fn assert_named(error: Option<IdentitiesError>, file: &Path, what: &str) {
    match error {
        Some(IdentitiesError::Damaged { path, .. }) => assert_eq!(path, file, "{what}"),
        other => panic!("{what}: expected damage to be named, got {other:?}"),
    }
}

#[test]
fn a_flipped_bit_in_a_run_is_found_and_named() {
    let (folder, file) = sealed();
    assert!(first_error(folder.path()).is_none(), "the positive control: it was whole");
    let good = std::fs::read(&file).unwrap();
    // Prime, so that bits, blocks and parts are all met.
    for place in (0..good.len()).step_by(397) {
        let mut bad = good.clone();
        bad[place] ^= 1 << (place % 8);
        std::fs::write(&file, &bad).unwrap();
        assert_named(first_error(folder.path()), &file, &format!("byte {place}"));
    }
}

#[test]
fn a_cut_run_is_found_and_named() {
    let (folder, file) = sealed();
    let good = std::fs::read(&file).unwrap();
    for length in (0..good.len()).step_by(997) {
        std::fs::write(&file, &good[..length]).unwrap();
        assert_named(first_error(folder.path()), &file, &format!("cut to {length}"));
    }
}

#[test]
fn exchanged_blocks_are_found() {
    let (folder, file) = sealed();
    let mut bytes = std::fs::read(&file).unwrap();
    let (first, second) = bytes[BLOCK_BYTES..3 * BLOCK_BYTES].split_at_mut(BLOCK_BYTES);
    first.swap_with_slice(second);
    std::fs::write(&file, &bytes).unwrap();
    assert_named(first_error(folder.path()), &file, "exchanged blocks");
}

/// The positive control: with the checksum made to match, a flipped bit is an answer.
#[test]
#[should_panic(expected = "a wrong answer")]
fn without_the_checksum_a_flipped_bit_would_change_an_answer() {
    let (folder, file) = sealed();
    let mut bytes = std::fs::read(&file).unwrap();
    // The content of the first entry of the first block.
    bytes[BLOCK_BYTES + 16] ^= 1;
    let page = (&mut bytes[BLOCK_BYTES..2 * BLOCK_BYTES]).try_into().unwrap();
    block::seal(page, 1, 0);
    std::fs::write(&file, &bytes).unwrap();
    first_error(folder.path());
}

#[test]
fn a_damaged_manifest_is_found_and_named() {
    let (folder, _) = sealed();
    let file = folder.path().join("manifest");
    let good = std::fs::read(&file).unwrap();
    for place in 0..good.len() - 1 {
        let mut bad = good.clone();
        bad[place] ^= 1;
        std::fs::write(&file, &bad).unwrap();
        match first_error(folder.path()) {
            // Bytes that are no text are found by the reading itself.
            Some(IdentitiesError::Io { path, .. } | IdentitiesError::Damaged { path, .. }) => {
                assert_eq!(path, file, "byte {place}");
            }
            other => panic!("byte {place}: {other:?}"),
        }
    }
}

#[test]
fn a_missing_run_is_named() {
    let (folder, file) = sealed();
    std::fs::remove_file(&file).unwrap();
    match first_error(folder.path()) {
        Some(IdentitiesError::Io { path, .. }) => assert_eq!(path, file),
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_that_do_not_belong_are_removed() {
    let (folder, file) = sealed();
    for orphan in [file_name(2), "manifest.draft".to_owned()] {
        std::fs::copy(&file, folder.path().join(orphan)).unwrap();
    }
    assert!(first_error(folder.path()).is_none());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}
