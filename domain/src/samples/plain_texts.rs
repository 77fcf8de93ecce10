//! Guards that no personal text is stored in the clear.
//!
//! Every free text of every event is listed here, as somebody judged that it says nothing about
//! a person. A new field of text fails the test until it is either sealed (a
//! [`Personal`](crate::personal::Personal)) or listed. Descriptors of entities are guarded where
//! they are taken apart, in `catalog::personal_parts`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::events;
use crate::level::Level;

/// Where free text may stand: names of organisations, products and machines, and closed lists.
const PLAIN: &[(&str, &[&str])] = &[
    ("audit.exported.v1", &["part.types[]"]),
    ("customer.opened.v1", &["currency", "role", "time_zone"]),
    ("directory.host-added.v1", &["host"]),
    ("directory.host-removed.v1", &["host"]),
    ("directory.slug-changed.v1", &["slug"]),
    ("directory.tenant-registered.v1", &["name", "slug"]),
    ("directory.tenant-suspended.v1", &["reason"]),
    ("location.registered.v1", &["kind", "target"]),
    ("member.added.v1", &["roles[]"]),
    ("member.api-key-issued.v1", &["issued.name", "issued.scope[]"]),
    ("member.credential-changed.v1", &["change"]),
    ("member.roles-changed.v1", &["roles[]"]),
    ("member.signed-in.v1", &["opened.methods[]"]),
    ("meter.defined.v1", &["aggregation.kind", "key", "name", "unit"]),
    ("plan.version-published.v1", TERMS),
    ("reaction.advanced.v1", &["reaction"]),
    ("request.noted.v1", &["verdicts[][]"]),
    ("role.changed.v1", &["permits[].permission"]),
    (
        "role.defined.v1",
        &[
            "name",
            "permits[].permission",
            "permits[].when.any[].all[].kind",
            "permits[].when.any[].all[].owned_by",
            "permits[].when.any[].annotation.key",
            "permits[].when.any[].label.key",
            "permits[].when.any[].label.value",
            "permits[].when.any[].tag",
        ],
    ),
    ("subscription.cancelled.v1", &["reason"]),
    ("subscription.plan-changed.v1", SOLD),
    ("subscription.started.v1", SOLD),
    ("subscription.started.v1", &["time_zone"]),
    ("tenant.configured.v1", &["settings.currency", "settings.kinds", "settings.time_zone"]),
    (
        "tenant.created.v1",
        &["name", "settings.currency", "settings.kinds", "settings.time_zone", "slug"],
    ),
    (
        "tenant.provider-added.v1",
        &["described.client_id", "described.issuer", "described.name", "described.scopes[]"],
    ),
    ("tenant.renamed.v1", &["name"]),
    ("tenant.suspended.v1", &["reason"]),
    (
        "usage.recorded.v1",
        &[
            "consumed[].meter",
            "entries[].dimensions.entity",
            "entries[].dimensions.region",
            "entries[].id",
            "entries[].meter",
            "entries[].source",
            "entries[].timed",
            "others[][]",
        ],
    ),
];

const TERMS: &[&str] = &[
    "terms.currency",
    "terms.interval.unit",
    "terms.items[].description",
    "terms.items[].key",
    "terms.items[].price.meter",
    "terms.items[].price.model",
    "terms.name",
    "terms.quotas[].enforcement",
    "terms.quotas[].of.kind",
    "terms.quotas[].of.meter",
];

const SOLD: &[&str] = &[
    "sold.terms.currency",
    "sold.terms.interval.unit",
    "sold.terms.items[].description",
    "sold.terms.items[].key",
    "sold.terms.items[].price.meter",
    "sold.terms.items[].price.model",
    "sold.terms.name",
    "sold.terms.quotas[].enforcement",
    "sold.terms.quotas[].of.kind",
    "sold.terms.quotas[].of.meter",
];

/// Adds the path of every free text in `value`: no identity, digest, instant or number.
fn free_texts(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if is_personal(value) => assert_eq!(fields.len(), 3),
        Value::Object(fields) => {
            for (name, field) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                free_texts(field, &format!("{path}{dot}{name}"), found);
            }
        }
        Value::Array(elements) => {
            elements.iter().for_each(|it| free_texts(it, &format!("{path}[]"), found));
        }
        Value::String(text) if is_free(text) => {
            found.insert(path.to_owned());
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

fn is_personal(value: &Value) -> bool {
    ["subject", "digest", "sealed"].iter().all(|it| value.get(it).is_some())
}

fn is_free(text: &str) -> bool {
    let digits = text.split_once('_').map_or(text, |(_, digits)| digits);
    let is_opaque = digits.len() == 32 && digits.bytes().all(|it| it.is_ascii_hexdigit());
    let is_number = text.parse::<rust_decimal::Decimal>().is_ok();
    let is_instant = text.parse::<chrono::DateTime<chrono::Utc>>().is_ok();
    !(is_opaque || is_number || is_instant)
}

#[test]
fn no_event_holds_a_free_text_that_nobody_judged() {
    for event in events() {
        let encoded = event.encode(Level::SPOKEN).unwrap();
        let mut value: Value = serde_json::from_slice(encoded.value()).unwrap();
        if let Some(fields) = value.as_object_mut() {
            fields.remove("descriptor");
        }
        let mut found = BTreeSet::new();
        free_texts(&value, "", &mut found);
        let listed = PLAIN.iter().filter(|it| it.0 == event.name()).flat_map(|it| it.1);
        let listed: BTreeSet<String> = listed.map(|it| (*it).to_owned()).collect();
        assert_eq!(found, listed, "in {}: seal the text or list it here", event.name());
    }
}

#[test]
fn the_guard_sees_a_personal_text_that_is_not_sealed() {
    let value = serde_json::json!({
        "name": "Ada Lovelace",
        "contacts": [{"mail": "ada@example.com"}],
        "sealed": {"subject": "sbj_0", "digest": "0", "sealed": "00"},
        "at": "2026-01-01T00:00:00Z",
    });
    let mut found = BTreeSet::new();
    free_texts(&value, "", &mut found);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["contacts[].mail", "name"]);
}
