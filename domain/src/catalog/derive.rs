//! What an entity's answer has beyond its descriptor: derived when it is read, never stored.
//!
//! By Backstage's
//! [descriptor format](https://backstage.io/docs/features/software-catalog/descriptor-format).
//! The `etag` is computed by whoever answers.

use serde_json::{Map, Value, json};

use super::reference::DEFAULT_NAMESPACE;
use crate::id::EntityUid;

/// Where an entity comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// Somebody put it; it says itself where it comes from, if at all.
    ByHand,
    /// It follows a location, as `type:target`.
    Location {
        /// The document it is in.
        managed_by: &'a str,
        /// The location that led to that document.
        registered: &'a str,
    },
    /// It followed a location that does not have it any more.
    Orphan,
}

/// The annotations a catalog sets itself.
const MANAGED_BY: &str = "backstage.io/managed-by-location";
const MANAGED_BY_ORIGIN: &str = "backstage.io/managed-by-origin-location";
const ORPHAN: &str = "backstage.io/orphan";

/// The annotations that users click on.
const CLICKED: [&str; 2] = ["backstage.io/view-url", "backstage.io/edit-url"];

/// Completes a descriptor to what is shown: namespace, uid, annotations of its origin, and
/// relations given as (type, target).
#[must_use]
pub fn complete(
    mut descriptor: Value,
    uid: EntityUid,
    origin: Origin<'_>,
    relations: &[(&str, &str)],
) -> Value {
    if let Some(metadata) = descriptor.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.entry("namespace").or_insert_with(|| DEFAULT_NAMESPACE.into());
        metadata.insert("uid".to_owned(), uid.0.hyphenated().to_string().into());
        annotate(metadata, origin);
        disarm(metadata);
    }
    if let Some(root) = descriptor.as_object_mut() {
        root.insert("relations".to_owned(), listed(relations));
    }
    descriptor
}

fn annotate(metadata: &mut Map<String, Value>, origin: Origin<'_>) {
    let set: &[(&str, &str)] = match origin {
        Origin::ByHand => &[],
        Origin::Location { managed_by, registered } => {
            &[(MANAGED_BY, managed_by), (MANAGED_BY_ORIGIN, registered)]
        }
        Origin::Orphan => &[(ORPHAN, "true")],
    };
    if set.is_empty() {
        return;
    }
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.extend(set.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())));
    }
}

/// Replaces addresses that would run as a script when somebody clicks on them.
fn disarm(metadata: &mut Map<String, Value>) {
    let Some(annotations) = metadata.get_mut("annotations") else { return };
    for key in CLICKED {
        let Some(address) = annotations.get_mut(key) else { continue };
        if address.as_str().is_some_and(is_script) {
            *address = "about:blank".into();
        }
    }
}

/// Browsers skip leading spaces and control characters, and line breaks and tabs anywhere.
fn is_script(address: &str) -> bool {
    let seen = address.trim_start_matches(|it: char| it <= ' ').chars();
    let mut seen = seen.filter(|it| !matches!(it, '\t' | '\n' | '\r'));
    "javascript:".chars().all(|it| seen.next().is_some_and(|got| got.eq_ignore_ascii_case(&it)))
}

fn listed(relations: &[(&str, &str)]) -> Value {
    let mut sorted = relations.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.iter().map(|(kind, target)| json!({ "type": kind, "targetRef": target })).collect()
}

#[cfg(test)]
mod tests;
