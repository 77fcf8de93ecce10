use serde_json::json;

use super::*;
use crate::event::{Event, TYPE_PREFIX};
use crate::tenant;

/// A type with three versions: the name was called `title`, and before that `label`.
const RENAMED: &[Version] = &[
    Version {
        name: "tenant.renamed.v1",
        before: "tenant.renamed.v0",
        schema_before: "{}",
        since: Level(3),
        upcast: |it| rename(it, "title", "name"),
        downcast: |it| rename(it, "name", "title"),
    },
    Version {
        name: "tenant.renamed.v0",
        before: "tenant.labelled.v0",
        schema_before: "{}",
        since: Level(2),
        upcast: |it| rename(it, "label", "title"),
        downcast: |it| rename(it, "title", "label"),
    },
];

fn renamed() -> Event {
    Event::Tenant(tenant::Event::Renamed { name: "Acme".parse().unwrap() })
}

/// The one place that knows how an event is written and read.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "tests read as data")]
fn check(level: u32, name: &str, value: Value) {
    let newest = renamed().encode_newest().unwrap();
    let written = written(RENAMED, newest, Level(level)).unwrap();
    assert_eq!(written.name(), name);
    assert_eq!(name_at(RENAMED, renamed().name(), Level(level)), name);
    assert_eq!(serde_json::from_slice::<Value>(written.value()).unwrap(), value);
    let full_type = format!("{TYPE_PREFIX}{name}");
    let read = Event::decode_with(RENAMED, &full_type, written.value()).unwrap();
    assert_eq!(read, renamed(), "whatever was written is read");
}

#[test]
fn a_version_is_written_from_its_level_on_and_read_at_any() {
    check(1, "tenant.labelled.v0", json!({"label": "Acme"}));
    check(2, "tenant.renamed.v0", json!({"title": "Acme"}));
    check(3, "tenant.renamed.v1", json!({"name": "Acme"}));
    check(4, "tenant.renamed.v1", json!({"name": "Acme"}));
}

#[test]
fn an_old_value_that_is_none_is_named() {
    let error = Event::decode_with(RENAMED, "callboard.tenant.renamed.v0", b"{").unwrap_err();
    assert!(error.to_string().contains("tenant.renamed.v0"), "{error}");
}

#[test]
fn every_version_is_written_at_a_level_that_is_spoken() {
    for version in VERSIONS {
        assert!(version.since > Level::FIRST && version.since <= Level::SPOKEN, "{version:?}");
    }
}
