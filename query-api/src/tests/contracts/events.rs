//! The schemas of events: one of every type and version, which its sample fits, and which changes
//! only so that nobody who reads events notices.
//!
//! `schemas/README.md` says how they are written anew, and how a change that breaks readers is
//! accepted as long as the formats are not frozen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use domain::event::schema_documents;
use event_log::{Attribute, Partition, Position};
use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

use super::compatibility::breaks;
use super::folder;
use crate::testing::{Member, Site};

/// What the name of a schema's file ends with, after the type.
const SCHEMA: &str = ".schema.json";

/// What the name of a sample's file ends with, after the type.
const SAMPLE: &str = ".sample.json";

/// As long as a file of this name is there, the formats are not frozen.
const UNFROZEN: &str = "UNFROZEN";

/// What is done about a schema that differs from its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Update {
    /// Nothing: it is told.
    Never,
    /// It is written, if readers do not notice.
    Compatible,
    /// It is written, if readers do not notice or the formats are not frozen.
    Breaking,
}

impl Update {
    /// What whoever runs the tests wants.
    fn wanted() -> Self {
        match std::env::var("UPDATE_SCHEMAS").as_deref() {
            Err(_) => Self::Never,
            Ok("breaking") => Self::Breaking,
            Ok(_) => Self::Compatible,
        }
    }
}

/// Compares the schemas of all types with their files in `folder`, or writes them; what is wrong.
fn publish(folder: &Path, schemas: &BTreeMap<&str, Value>, update: Update) -> Vec<String> {
    let may_break = update == Update::Breaking && folder.join(UNFROZEN).exists();
    let mut wrong = Vec::new();
    for (name, schema) in schemas {
        let path = folder.join(format!("{name}{SCHEMA}"));
        let kept = fs::read_to_string(&path).ok();
        let published = kept.as_deref().map(|it| serde_json::from_str(it).unwrap_or_default());
        let found = published.map(|it: Value| breaks(&it, schema)).unwrap_or_default();
        let text = format!("{schema:#}\n");
        if !found.is_empty() && !may_break {
            wrong.extend(found.into_iter().map(|it| format!("{name}: {it}")));
        } else if update != Update::Never {
            fs::write(&path, text).unwrap();
        } else if kept.is_none_or(|it| it != text) {
            wrong.push(format!("{name}: its file is out of date; run with UPDATE_SCHEMAS=1"));
        }
    }
    for name in names(folder, SCHEMA).into_iter().filter(|it| !schemas.contains_key(&**it)) {
        if may_break {
            fs::remove_file(folder.join(format!("{name}{SCHEMA}"))).unwrap();
        } else {
            wrong.push(format!("{name}: it was published, and nobody knows it any more"));
        }
    }
    wrong
}

/// What the files in `folder` are called whose names end with `suffix`, without that.
fn names(folder: &Path, suffix: &str) -> BTreeSet<String> {
    let files = fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name());
    let names = files.map(|it| it.into_string().expect("our names are UTF-8"));
    names.filter_map(|it| it.strip_suffix(suffix).map(str::to_owned)).collect()
}

/// An implementation that is not ours.
fn validator(schema: &Value) -> Validator {
    let options = jsonschema::options().with_draft(Draft::Draft202012);
    options.should_validate_formats(true).build(schema).expect("it is a schema")
}

fn sample(name: &str) -> Value {
    let path = folder().join("events").join(format!("{name}{SAMPLE}"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_published_schemas_are_those_of_the_events_and_change_compatibly() {
    let schemas = schema_documents();
    let wrong = publish(&folder().join("events"), &schemas, Update::wanted());
    assert!(
        wrong.is_empty(),
        "\n{}\n\nWhat readers of events would notice is a new version of its type, with what makes \
         one of the other (docs/guides/upgrade.md). schemas/README.md says what else there is while \
         the formats are not frozen.",
        wrong.join("\n"),
    );
}

#[test]
fn every_type_has_a_sample_that_fits_its_schema() {
    let schemas = schema_documents();
    let types: BTreeSet<_> = domain::event::types().map(str::to_owned).collect();
    assert_eq!(names(&folder().join("events"), SAMPLE), types);
    for (name, schema) in &schemas {
        assert!(jsonschema::meta::is_valid(schema), "{name}: {schema:#}");
        let validator = validator(schema);
        let sample = sample(name);
        let wrong: Vec<_> = validator.iter_errors(&sample).map(|it| it.to_string()).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
        // As it may be sent by a later version.
        let mut later = sample;
        later["comes_later"] = json!({ "really": true });
        assert!(validator.is_valid(&later), "{name}");
    }
}

/// Positive control, for every type: were the schemas blind, nothing above would fail.
#[test]
fn a_sample_without_a_field_or_with_another_thing_in_it_does_not_fit() {
    let mut tried = 0;
    for (name, schema) in schema_documents() {
        let (validator, sample) = (validator(&schema), sample(name));
        for field in schema["required"].as_array().into_iter().flatten() {
            let field = field.as_str().expect("names are texts");
            let mut without = sample.clone();
            without.as_object_mut().unwrap().remove(field).expect("it was required");
            assert!(!validator.is_valid(&without), "{name} without `{field}`");
            let mut other = sample.clone();
            other[field] = json!([[false]]);
            assert!(!validator.is_valid(&other), "{name} with another `{field}`");
            tried += 1;
        }
    }
    assert!(tried > 60, "{tried}");
}

/// What a type of ours refuses to be made of, its schema refuses too, and the reverse.
#[test]
fn texts_with_rules_have_them_in_the_schema() {
    #[track_caller]
    fn check<T: std::str::FromStr>(
        shared: &serde_json::Map<String, Value>,
        name: &str,
        texts: &[&str],
    ) {
        let validator = validator(&shared[name]);
        for text in texts {
            assert_eq!(
                validator.is_valid(&json!(text)),
                text.parse::<T>().is_ok(),
                "{name} `{text}`"
            );
        }
    }
    let shared = domain::event::Schemas::new("/$defs").shared;
    let id = "0190aaaabbbb7ccc8dddeeeeffff0000";
    let (tenant, upper) = (format!("ten_{id}"), format!("ten_{}", id.to_uppercase()));
    let ids = [&*tenant, &upper, &tenant[1..], &tenant[..30], id, "", "ten_"];
    check::<domain::id::TenantId>(&shared, "TenantId", &ids);
    check::<domain::id::RoleId>(&shared, "RoleId", &[&tenant, &format!("rol_{id}")]);
    let (long, longest) = ("a".repeat(41), "a".repeat(40));
    let slugs =
        ["acme", "a-b-c", "a--b", "-ab", "ab-", "1ab", "ab", "Acme", "a.b", &long, &longest];
    check::<domain::directory::Slug>(&shared, "Slug", &slugs);
    let (label, too_long) =
        (format!("{}.example", "a".repeat(63)), format!("{}.example", "a".repeat(64)));
    let hosts = ["a.example", "a", "a..b", "-a.b", "a-.b", "A.b", "1.2", &label, &too_long];
    check::<domain::directory::Host>(&shared, "Host", &hosts);
    let (key, too_long) = ("a".repeat(64), "a".repeat(65));
    let keys = ["api.calls", "a_b-c", "1a", "", "A", "a b", &key, &too_long];
    check::<domain::meter::MeterKey>(&shared, "MeterKey", &keys);
    check::<domain::role::RoleName>(&shared, "RoleName", &keys);
    check::<domain::member::ApiKeyName>(&shared, "ApiKeyName", &keys);
    let amounts = [
        "1",
        "-1.5",
        "0.000000000001",
        "0.0000000000001",
        "1000000000000000",
        "1e3",
        ".",
        "",
        "1,5",
        "+",
    ];
    check::<domain::quantity::Quantity>(&shared, "Quantity", &amounts);
    check::<domain::quantity::UnitPrice>(&shared, "UnitPrice", &amounts);
    check::<domain::quantity::Currency>(&shared, "Currency", &["EUR", "eur", "EURO", "E", ""]);
    check::<domain::personal::Digest>(&shared, "Digest", &[id, &id[1..], "", &tenant]);
}

/// What comes of `now` where `published` was published before.
#[track_caller]
fn check(published: &Value, now: &Value, frozen: bool, expected: [(Update, &[&str]); 3]) {
    let name = "sale.made.v1";
    for (update, expected) in expected {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(format!("{name}{SCHEMA}"));
        let before = format!("{published:#}\n");
        fs::write(&file, &before).unwrap();
        if !frozen {
            fs::write(folder.path().join(UNFROZEN), "").unwrap();
        }
        let wrong = publish(folder.path(), &[(name, now.clone())].into(), update);
        assert_eq!(wrong, expected, "{update:?}");
        let written = update != Update::Never && expected.is_empty();
        let after = if written { format!("{now:#}\n") } else { before };
        assert_eq!(fs::read_to_string(&file).unwrap(), after, "{update:?}");
    }
}

#[test]
fn a_change_that_breaks_readers_is_refused_also_when_the_schemas_are_written() {
    use Update::{Breaking, Compatible, Never};

    let field = |it: &str| json!({ "type": "object", "properties": { it: {} } });
    let (published, now) = (field("price"), field("cost"));
    let gone: &[_] = &["sale.made.v1: `price` is gone"];
    check(&published, &now, true, [(Never, gone), (Compatible, gone), (Breaking, gone)]);
    check(&published, &now, false, [(Never, gone), (Compatible, gone), (Breaking, &[])]);
}

#[test]
fn a_change_that_nobody_notices_is_written_on_demand() {
    use Update::{Breaking, Compatible, Never};

    let published = json!({ "type": "object" });
    let now = json!({ "type": "object", "properties": { "note": { "type": "string" } } });
    let stale: &[_] = &["sale.made.v1: its file is out of date; run with UPDATE_SCHEMAS=1"];
    for frozen in [true, false] {
        check(&published, &now, frozen, [(Never, stale), (Compatible, &[]), (Breaking, &[])]);
    }
}

#[test]
fn a_type_appears_on_demand_and_never_goes_once_the_formats_are_frozen() {
    let folder = tempfile::tempdir().unwrap();
    let unfrozen = folder.path().join(UNFROZEN);
    let (one, none) = ([("sale.made.v1", json!(true))].into(), BTreeMap::new());
    let missing = publish(folder.path(), &one, Update::Never);
    assert_eq!(missing, ["sale.made.v1: its file is out of date; run with UPDATE_SCHEMAS=1"]);
    assert_eq!(publish(folder.path(), &one, Update::Compatible), [""; 0]);
    assert_eq!(publish(folder.path(), &one, Update::Never), [""; 0]);
    let gone = ["sale.made.v1: it was published, and nobody knows it any more"];
    for update in [Update::Never, Update::Compatible, Update::Breaking] {
        assert_eq!(publish(folder.path(), &none, update), gone, "{update:?}");
    }
    fs::write(&unfrozen, "").unwrap();
    assert_eq!(publish(folder.path(), &none, Update::Compatible), gone);
    assert_eq!(publish(folder.path(), &none, Update::Breaking), [""; 0]);
    assert_eq!(names(folder.path(), SCHEMA), BTreeSet::new());
}

/// What a record says of where its schema is, anybody may ask for.
#[tokio::test]
async fn the_schema_of_a_record_is_where_the_record_says() {
    let site = Site::start().await;
    let nobody = Member { tenant: site.a.tenant, token: String::new() };
    let mut reader = site.log.read(Partition(0), Position::START).await.unwrap();
    for recorded in reader.next(100).await.unwrap() {
        let place = recorded.record.attribute(Attribute::DataSchema).to_owned();
        let reply = site.get(&nobody, &place).await;
        assert_eq!(
            (reply.status, &*reply.content_type),
            (200, "application/schema+json"),
            "{place}"
        );
        let schema = reply.json();
        assert_eq!(schema["$id"], json!(place));
        assert_eq!(schema["title"], json!(recorded.record.attribute(Attribute::Type)));
    }
    for name in schema_documents().keys() {
        let reply = site.get(&nobody, &format!("/schemas/events/{name}.json")).await;
        assert_eq!(reply.status, 200, "{name}");
    }
    for none in ["entity.updated.v1", "entity.updated.v9.json", "..%2Fapi.graphql"] {
        let reply = site.get(&nobody, &format!("/schemas/events/{none}")).await;
        assert_eq!((reply.status, &reply.json()["code"]), (404, &json!("NOT_FOUND")), "{none}");
    }
}
