//! The flat rows that the filters of Backstage's
//! [catalog API](https://backstage.io/docs/features/software-catalog/software-catalog-api) match.

use std::collections::BTreeSet;

use serde_json::{Number, Value};

use super::reference::DEFAULT_NAMESPACE;

/// The most characters of a key; what has a longer one cannot be found. In UTF-16 units, as in
/// Backstage: 200.
pub const KEY_LENGTH_MAX: usize = 200;

/// The most characters of a value; a longer one can be asked for existence only. In UTF-16
/// units, as in Backstage: 200.
pub const VALUE_LENGTH_MAX: usize = 200;

/// The longest path that is looked at. In bytes: 600. Each of the [`KEY_LENGTH_MAX`] characters has
/// at most three, and no character becomes fewer in lower case.
const PATH_BYTES_MAX: usize = 3 * KEY_LENGTH_MAX;

/// The most bytes of the keys of a descriptor, each counted for every value that can be found under
/// it: 2 MiB. With as many values as it may have that is 100 for each, and twenty times what long
/// descriptors of real catalogs have.
pub const KEYS_BYTES_MAX: usize = 2 * 1024 * 1024;

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
///
/// # Errors
///
/// How many bytes the keys have, if that is more than [`KEYS_BYTES_MAX`].
pub(super) fn keys_that_differ_in_case(json: &Value) -> Result<Vec<(String, String)>, usize> {
    let keys = Keys::of(json);
    if keys.bytes > KEYS_BYTES_MAX { Err(keys.bytes) } else { Ok(keys.that_differ_in_case()) }
}

/// Keys in the order of the document, as they were written and in lower case. Two buffers hold
/// them all: every descriptor is asked, and nearly none has such a pair.
struct Keys {
    written: String,
    lower: String,
    /// Where each key ends in both.
    ends: Vec<(usize, usize)>,
    /// How many bytes all keys have. Those beyond [`KEYS_BYTES_MAX`] are only counted.
    bytes: usize,
}

impl Keys {
    fn of(json: &Value) -> Self {
        // Room for a usual descriptor.
        let text = || String::with_capacity(512);
        let ends = Vec::with_capacity(32);
        let mut keys = Self { written: text(), lower: text(), ends, bytes: 0 };
        leaves(json, &mut |key, _| keys.add(key));
        keys
    }

    fn add(&mut self, key: &str) {
        self.bytes += key.len();
        if self.bytes > KEYS_BYTES_MAX {
            return;
        }
        let start = self.lower.len();
        self.written.push_str(key);
        self.lower.push_str(key);
        if key.is_ascii() {
            self.lower[start..].make_ascii_lowercase();
        } else {
            self.lower.replace_range(start.., &key.to_lowercase());
        }
        self.ends.push((self.written.len(), self.lower.len()));
    }

    /// The first key of each name in lower case, with every other way it is written.
    fn that_differ_in_case(&self) -> Vec<(String, String)> {
        let starts = std::iter::once((0, 0)).chain(self.ends.iter().copied());
        let mut keys: Vec<(&str, &str)> = starts
            .zip(&self.ends)
            .map(|(start, end)| (&self.lower[start.1..end.1], &self.written[start.0..end.0]))
            .collect();
        // Stable: of one name the first of the document stays first.
        keys.sort_by_key(|it| it.0);
        let mut pairs = BTreeSet::new();
        for same in keys.chunk_by(|one, other| one.0 == other.0) {
            let first = same[0].1;
            let others = same.iter().map(|it| it.1).filter(|it| *it != first);
            pairs.extend(others.map(|it| (first.to_owned(), it.to_owned())));
        }
        pairs.into_iter().collect()
    }
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
    visit(json, &mut String::with_capacity(64), each);
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

/// Calls `then` with `path` extended by `key`, and takes the extension back; unless nothing below
/// it can be found, for a path that is repeated for each of many values may not be long.
fn within(path: &mut String, key: &str, then: impl FnOnce(&mut String)) {
    let end = path.len();
    if end + usize::from(end > 0) + key.len() > PATH_BYTES_MAX {
        return;
    }
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
