//! Compares the samples with the files in `schemas/events/`.
//!
//! `UPDATE_SCHEMAS=1` writes those that are not there. As long as `schemas/events/UNFROZEN` is there it
//! writes the others anew, too; after that a sample is never edited, and a new form of an event is
//! a new version of its type.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::*;
use crate::event::{TYPE_PREFIX, types};

/// What the name of a sample's file ends with, after the type.
const SUFFIX: &str = ".sample.json";

#[test]
fn there_is_one_sample_of_every_type() {
    let names: Vec<_> = events().iter().map(Event::name).collect();
    assert_eq!(names.len(), BTreeSet::from_iter(&names).len(), "each once");
    assert_eq!(BTreeSet::from_iter(names), types().collect());
}

#[test]
fn a_sample_is_read_back_from_its_type_and_value() {
    for event in events() {
        let encoded = event.encode(Level::SPOKEN).unwrap();
        assert_eq!(encoded.name(), event.name());
        let full_type = format!("{TYPE_PREFIX}{}", event.name());
        assert_eq!(Event::decode(&full_type, encoded.value()).unwrap(), event);
    }
}

#[test]
fn the_schemas_hold_the_samples_and_nothing_that_cannot_be_read() {
    #[expect(clippy::disallowed_methods, reason = "a test may be told to update what it compares")]
    let updating = std::env::var_os("UPDATE_SCHEMAS").is_some();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schemas/events");
    let frozen = !folder.join("UNFROZEN").exists();
    for event in events() {
        let file = folder.join(format!("{}{SUFFIX}", event.name()));
        let encoded = event.encode(Level::SPOKEN).unwrap();
        let value: Value = serde_json::from_slice(encoded.value()).unwrap();
        if updating && (!frozen || !file.exists()) {
            fs::write(&file, format!("{value:#}\n")).unwrap();
        }
        let kept = fs::read(&file).unwrap_or_else(|_| b"null".to_vec());
        let kept: Value = serde_json::from_slice(&kept).unwrap();
        assert_eq!(kept, value, "{} differs; see the top of this test", file.display());
    }
    for file in fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(name) = name.strip_suffix(SUFFIX) else { continue };
        Event::decode(&format!("{TYPE_PREFIX}{name}"), &fs::read(&path).unwrap()).unwrap();
    }
}
