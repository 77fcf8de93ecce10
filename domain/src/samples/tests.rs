//! Compares the samples with the files in `schemas/events/`.
//!
//! The formats are not frozen yet: until they are, a change is made by running the tests with
//! `UPDATE_SCHEMAS=1` and committing the files. After that a sample is never edited, and a new
//! form of an event is a new version of its type.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::*;
use crate::event::{NOUNS, TYPE_PREFIX};

/// What the name of a sample's file ends with, after the type.
const SUFFIX: &str = ".sample.json";

/// Every type of the noun that `event` is of, as serde lists them when it meets another.
fn types_of_noun(event: &Event) -> Vec<String> {
    let (noun, _) = event.name().split_once('.').unwrap();
    let error = Event::decode(&format!("{TYPE_PREFIX}{noun}.nothing.v0"), b"{}").unwrap_err();
    let message = std::error::Error::source(&error).unwrap().to_string();
    let quoted = message.split('`').skip(1).step_by(2);
    quoted.skip(1).map(str::to_owned).collect()
}

#[test]
fn there_is_one_sample_of_every_type() {
    let events = events();
    let names: Vec<String> = events.iter().map(|it| it.name().to_owned()).collect();
    let known: BTreeSet<String> = events.iter().flat_map(types_of_noun).collect();
    assert_eq!(names.len(), known.len());
    let nouns: BTreeSet<_> = names.iter().filter_map(|it| Some(it.split_once('.')?.0)).collect();
    assert_eq!(nouns, NOUNS.into());
    assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), known);
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
    for event in events() {
        let file = folder.join(format!("{}{SUFFIX}", event.name()));
        let encoded = event.encode(Level::SPOKEN).unwrap();
        let value: Value = serde_json::from_slice(encoded.value()).unwrap();
        if updating {
            fs::create_dir_all(&folder).unwrap();
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
