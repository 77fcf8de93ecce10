//! The words of an entity, each with how much it says about it.
//!
//! A portable stand-in for the full-text indexes that every database does differently: words
//! are found by their beginning, and those of the name count more than those of the prose.

use std::collections::BTreeMap;

use serde_json::Value;

/// The longest word, in characters: 64; the rest of a longer one is not searched.
const WORD_CHARACTERS_MAX: usize = 64;

/// The most words of one entity: 500, so that one long description cannot fill the index.
const WORDS_MAX: usize = 500;

/// What a word found in a field is worth.
const NAME: i64 = 16;
const TITLE: i64 = 12;
const TAG: i64 = 8;
const CLASS: i64 = 4;
const PROSE: i64 = 1;

/// The words of `text`, in lower case: runs of letters and digits.
pub(super) fn split(text: &str) -> impl Iterator<Item = String> {
    let runs = text.split(|it: char| !it.is_alphanumeric()).filter(|it| !it.is_empty());
    runs.map(|it| it.chars().take(WORD_CHARACTERS_MAX).flat_map(char::to_lowercase).collect())
}

/// The words of a document with their weights: the largest, where a word is in several fields.
pub(super) fn of(document: &Value) -> BTreeMap<String, i64> {
    let mut words: BTreeMap<String, i64> = BTreeMap::new();
    let metadata = document.get("metadata");
    let spec = document.get("spec");
    let field = |object: Option<&Value>, name: &str| -> Option<String> {
        object?.get(name)?.as_str().map(str::to_owned)
    };
    let mut add = |weight, text: Option<String>| {
        for word in split(&text.unwrap_or_default()) {
            if words.len() < WORDS_MAX || words.contains_key(&word) {
                let known = words.entry(word).or_insert(weight);
                *known = weight.max(*known);
            }
        }
    };
    add(NAME, field(metadata, "name"));
    add(TITLE, field(metadata, "title"));
    let tags = metadata.and_then(|it| it.get("tags")).and_then(Value::as_array);
    for tag in tags.into_iter().flatten() {
        add(TAG, tag.as_str().map(str::to_owned));
    }
    add(CLASS, field(Some(document), "kind"));
    add(CLASS, field(metadata, "namespace"));
    for name in ["type", "lifecycle", "owner", "system", "domain"] {
        add(CLASS, field(spec, name));
    }
    let profile = spec.and_then(|it| it.get("profile"));
    add(TITLE, field(profile, "displayName"));
    add(CLASS, field(profile, "email"));
    let labels = metadata.and_then(|it| it.get("labels")).and_then(Value::as_object);
    for value in labels.into_iter().flat_map(serde_json::Map::values) {
        add(PROSE, value.as_str().map(str::to_owned));
    }
    add(PROSE, field(metadata, "description"));
    words
}
