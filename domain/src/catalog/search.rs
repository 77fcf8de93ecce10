//! The flat rows that filters match, by `reference/backstage-catalog-api.md` §3.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Number, Value};

use super::reference::DEFAULT_NAMESPACE;

/// The most characters of a key; what has a longer one cannot be found. In UTF-16 units, as in
/// Backstage: 200.
pub const KEY_LENGTH_MAX: usize = 200;

/// The most characters of a value; a longer one can be asked for existence only. In UTF-16
/// units, as in Backstage: 200.
pub const VALUE_LENGTH_MAX: usize = 200;

/// One thing a filter can match.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SearchRow {
    /// A dotted path, in lower case.
    pub key: String,
    /// What is there, in lower case; none for null and for what is too long.
    pub value: Option<String>,
    /// What is there, as it was written.
    pub original: Option<String>,
}

/// The rows of an entity, sorted and without repetition.
///
/// `json` is the document as it is shown, `metadata.uid` included; `relations` are all relations
/// of the entity, as (type, target).
#[must_use]
pub fn flatten(json: &Value, relations: &[(&str, &str)]) -> Vec<SearchRow> {
    let mut rows = BTreeSet::new();
    leaves(json, &mut |key, value| rows.extend(row(key, value)));
    let metadata = |key| json.get("metadata").and_then(|it| it.get(key));
    if metadata("namespace").is_none() {
        let namespace = Leaf::Text(DEFAULT_NAMESPACE);
        rows.extend(row("metadata.namespace", namespace));
    }
    if metadata("uid").is_none() {
        rows.extend(row("metadata.uid", Leaf::Null));
    }
    for (relation, target) in relations {
        rows.extend(row(&format!("relations.{relation}"), Leaf::Text(target)));
    }
    rows.into_iter().collect()
}

/// Pairs of keys that no filter could tell apart.
pub(super) fn keys_that_differ_in_case(json: &Value) -> Vec<(String, String)> {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut pairs = BTreeSet::new();
    leaves(json, &mut |key, _| {
        let first = seen.entry(key.to_lowercase()).or_insert_with(|| key.to_owned());
        if first != key {
            pairs.insert((first.clone(), key.to_owned()));
        }
    });
    pairs.into_iter().collect()
}

#[derive(Clone, Copy)]
enum Leaf<'a> {
    Null,
    Flag(bool),
    Number(&'a Number),
    Text(&'a str),
}

fn row(key: &str, value: Leaf<'_>) -> Option<SearchRow> {
    let key = key.to_lowercase();
    if length(&key) > KEY_LENGTH_MAX {
        return None;
    }
    let original = match value {
        Leaf::Null => None,
        Leaf::Flag(flag) => Some(flag.to_string()),
        Leaf::Number(number) => Some(text_of(number)),
        Leaf::Text(text) => Some(text.to_owned()),
    };
    let pair = original.map(|it| (it.to_lowercase(), it));
    let (value, original) = pair.filter(|(value, _)| length(value) <= VALUE_LENGTH_MAX).unzip();
    Some(SearchRow { key, value, original })
}

/// Calls `each` with the path and value of every leaf that can be found.
fn leaves<'a>(json: &'a Value, each: &mut impl FnMut(&str, Leaf<'a>)) {
    visit(json, &mut String::new(), each);
}

fn visit<'a>(value: &'a Value, path: &mut String, each: &mut impl FnMut(&str, Leaf<'a>)) {
    const HIDDEN: [&str; 4] = ["attachments", "relations", "status", "metadata.etag"];
    if HIDDEN.contains(&path.as_str()) {
        return;
    }
    match value {
        Value::Null => each(path, Leaf::Null),
        Value::Bool(flag) => each(path, Leaf::Flag(*flag)),
        Value::Number(number) => each(path, Leaf::Number(number)),
        Value::String(text) => each(path, Leaf::Text(text)),
        Value::Array(list) => {
            for item in list {
                visit(item, path, each);
                // So that a filter can ask for several elements of one list.
                if let Value::String(text) = item {
                    within(path, text, |path| each(path, Leaf::Flag(true)));
                }
            }
        }
        Value::Object(object) => {
            for (key, value) in object {
                within(path, key, |path| visit(value, path, each));
            }
        }
    }
}

/// Calls `then` with `path` extended by `key`, and takes the extension back.
fn within(path: &mut String, key: &str, then: impl FnOnce(&mut String)) {
    let end = path.len();
    if end > 0 {
        path.push('.');
    }
    path.push_str(key);
    then(path);
    path.truncate(end);
}

/// A number as JavaScript writes it, for all but the very large and very small.
fn text_of(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float.to_string(),
        _ => number.to_string(),
    }
}

fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests;
