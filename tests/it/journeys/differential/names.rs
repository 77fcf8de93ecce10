//! Answers of different installations in the same words.
//!
//! Two installations never give out the same ids, cursors and tokens, nor say them at the same
//! time. What may differ is replaced by what it is and when it was first seen, `⟦cus#3⟧`, so that
//! the third customer of one side is the third one of the other, and one that is mistaken for the
//! second is found. Instants and positions in the log are replaced by what they are. Nothing else
//! is touched.

use std::collections::BTreeMap;

use serde_json::Value;

/// Instants before this year are the script's own, and the same everywhere.
const FIRST_YEAR_OF_CLOCKS: u32 = 2025;

/// The shortest word that can only be a token. Ours have at least 39 characters, hashes 64.
const TOKEN_MIN: usize = 32;

/// Lists in the order of ids, which mean nothing, so that they are in another order elsewhere.
const UNORDERED: [&str; 5] = ["totals", "series", "rows", "apiKeys", "providers"];

/// The same, of the lists with nodes.
const UNORDERED_NODES: [&str; 3] = ["customers", "locations", "members"];

/// What one installation calls what all know by one name.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: BTreeMap<String, String>,
    originals: BTreeMap<String, String>,
    counts: BTreeMap<String, usize>,
}

/// What to call what was not seen before.
#[derive(Clone, Copy)]
enum Unseen {
    /// The next of its kind.
    Named,
    /// One of its kind.
    Anyone,
}

impl Names {
    /// An answer as everybody would say it.
    pub(super) fn common(&mut self, answer: &Value) -> Value {
        let ordered = self.ordered(answer);
        self.value(&ordered, Unseen::Named)
    }

    /// A text as everybody would say it.
    pub(super) fn common_text(&mut self, text: &str) -> String {
        self.text(text, Unseen::Named)
    }

    /// What this installation says for a common text.
    pub(super) fn original(&self, text: &str) -> String {
        let mut original = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(begin) = rest.find('⟦') {
            let end = begin + rest[begin..].find('⟧').expect("a name ends") + '⟧'.len_utf8();
            original.push_str(&rest[..begin]);
            let name = &rest[begin..end];
            // What nobody was given stays as it is, and nobody knows it.
            original.push_str(self.originals.get(name).map_or(name, String::as_str));
            rest = &rest[end..];
        }
        original + rest
    }

    /// The same of every text in `value`.
    pub(super) fn original_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.original(text).into(),
            Value::Array(list) => list.iter().map(|it| self.original_value(it)).collect(),
            Value::Object(object) => {
                object.iter().map(|(key, it)| (key.clone(), self.original_value(it))).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    /// Brings lists that are in the order of ids into one of what is known.
    fn ordered(&mut self, value: &Value) -> Value {
        match value {
            Value::Array(list) => list.iter().map(|it| self.ordered(it)).collect(),
            Value::Object(object) => {
                let mut ordered = serde_json::Map::new();
                for (key, value) in object {
                    let mut value = self.ordered(value);
                    if UNORDERED.contains(&key.as_str()) {
                        self.sort(&mut value);
                    } else if UNORDERED_NODES.contains(&key.as_str())
                        && let Some(nodes) = value.get_mut("nodes")
                    {
                        self.sort(nodes);
                    }
                    ordered.insert(key.clone(), value);
                }
                ordered.into()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }

    fn sort(&mut self, list: &mut Value) {
        if let Value::Array(list) = list {
            list.sort_by_cached_key(|it| self.value(it, Unseen::Anyone).to_string());
        }
    }

    fn value(&mut self, value: &Value, unseen: Unseen) -> Value {
        match value {
            Value::String(text) => self.text(text, unseen).into(),
            Value::Array(list) => list.iter().map(|it| self.value(it, unseen)).collect(),
            Value::Object(object) => {
                let mut named = serde_json::Map::new();
                for (key, value) in object {
                    let value = match value {
                        Value::String(_) if key == "position" => "⟦position⟧".into(),
                        value => self.value(value, unseen),
                    };
                    named.insert(self.text(key, unseen), value);
                }
                named.into()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn text(&mut self, text: &str, unseen: Unseen) -> String {
        let mut common = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let length = match instant(rest) {
                0 => word(rest).max(first.len_utf8()),
                length => length,
            };
            let (part, after) = rest.split_at(length);
            match kind(part) {
                Some("time") => common.push_str("⟦time⟧"),
                Some(kind) => common.push_str(&self.name(kind, part, unseen)),
                None => common.push_str(part),
            }
            rest = after;
        }
        common
    }

    fn name(&mut self, kind: &str, original: &str, unseen: Unseen) -> String {
        if let Some(name) = self.names.get(original) {
            return name.clone();
        }
        if let Unseen::Anyone = unseen {
            return format!("⟦{kind}⟧");
        }
        let count = self.counts.entry(kind.to_owned()).or_default();
        *count += 1;
        let name = format!("⟦{kind}#{count}⟧");
        self.names.insert(original.to_owned(), name.clone());
        self.originals.insert(name.clone(), original.to_owned());
        name
    }
}

/// How long the word is that `text` begins with, in bytes.
fn word(text: &str) -> usize {
    let is_word = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '-');
    text.find(|it| !is_word(it)).unwrap_or(text.len())
}

/// How long the date or instant of a clock is that `text` begins with, in bytes; 0 if it is none.
fn instant(text: &str) -> usize {
    let bytes = text.as_bytes();
    let fits = |pattern: &str, at: usize| {
        bytes.len() >= at + pattern.len()
            && pattern.bytes().zip(&bytes[at..]).all(|(expected, found)| match expected {
                b'0' => found.is_ascii_digit(),
                _ => expected == *found,
            })
    };
    let of_a_clock =
        || text[..4].parse::<u32>().is_ok_and(|it| (FIRST_YEAR_OF_CLOCKS..2200).contains(&it));
    if !fits("0000-00-00", 0) || !of_a_clock() {
        return 0;
    }
    // As in data, or as in messages.
    if !fits("T00:00:00", 10) && !fits(" 00:00:00", 10) {
        return if word(text) == 10 { 10 } else { 0 };
    }
    let fraction = text[19..]
        .strip_prefix('.')
        .map_or(0, |it| 1 + it.find(|it: char| !it.is_ascii_digit()).unwrap_or(it.len()));
    let zone = ["Z", "+00:00", " UTC"].into_iter().find(|it| text[19 + fraction..].starts_with(it));
    19 + fraction + zone.map_or(0, str::len)
}

/// What a word or instant is, if it is one that differs.
fn kind(part: &str) -> Option<&str> {
    if instant(part) == part.len() {
        return Some("time");
    }
    let is_hex = |it: &str| it.bytes().all(|it| it.is_ascii_hexdigit());
    match part.split_once('_') {
        Some((prefix, digits)) if prefix.len() == 3 && digits.len() == 32 && is_hex(digits) => {
            return Some(prefix);
        }
        _ if part.len() < TOKEN_MIN => return None,
        _ => {}
    }
    let groups: Vec<usize> = part.split('-').map(str::len).collect();
    Some(if groups == [8, 4, 4, 4, 12] { "uuid" } else { "token" })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Names;

    const FIRST: &str = "cus_01980000000070008000000000000001";
    const SECOND: &str = "cus_01980000000070008000000000000002";

    #[test]
    fn ids_are_told_apart_by_when_they_were_first_seen() {
        let mut names = Names::default();
        let answer = json!({"created": FIRST, "message": format!("no customer `{SECOND}`")});
        let common = json!({"created": "⟦cus#1⟧", "message": "no customer `⟦cus#2⟧`"});
        assert_eq!(names.common(&answer), common);
        assert_eq!(names.common(&answer), common);
        assert_eq!(names.original_value(&common), answer);
    }

    #[test]
    fn a_swapped_id_is_not_hidden() {
        let (mut here, mut there) = (Names::default(), Names::default());
        let first = [FIRST, SECOND].map(|it| json!({"id": it}));
        for answer in &first {
            assert_eq!(here.common(answer), there.common(answer));
        }
        let [mine, swapped] = &first;
        assert_ne!(here.common(mine), there.common(swapped));
        let totals = |first, second| json!({"totals": [{"customer": first, "sum": "1"}, {"customer": second, "sum": "2"}]});
        // The order of a list in the order of ids says nothing, what is whose does.
        assert_eq!(here.common(&totals(FIRST, SECOND)), there.common(&totals(FIRST, SECOND)));
        assert_ne!(here.common(&totals(FIRST, SECOND)), there.common(&totals(SECOND, FIRST)));
    }

    #[test]
    fn instants_of_clocks_tokens_and_positions_are_replaced_and_nothing_else() {
        let token = "ab_-Z".repeat(8);
        let answer = json!({
            "at": "2026-11-29T20:17:57.123456Z", "endsAt": "2026-12-29T20:17:57+00:00",
            "date": "2026-11-29", "mine": "2021-03-01T10:00:00Z", "cursor": token,
            "position": "short", "uid": "01980000-0000-7000-8000-000000000001",
            "hash": "0a".repeat(32), "count": 7, "reference": "component:default/web-2026-11-29-a",
            "text": "Straße 2026-11-29, 20:17; it ends on 2026-12-29 21:14:15.147478 UTC; so",
        });
        let common = json!({
            "at": "⟦time⟧", "endsAt": "⟦time⟧", "date": "⟦time⟧", "mine": "2021-03-01T10:00:00Z",
            "cursor": "⟦token#1⟧", "position": "⟦position⟧", "uid": "⟦uuid#1⟧",
            "hash": "⟦token#2⟧", "count": 7, "reference": "component:default/web-2026-11-29-a",
            "text": "Straße ⟦time⟧, 20:17; it ends on ⟦time⟧; so",
        });
        let mut names = Names::default();
        assert_eq!(names.common(&answer), common);
        assert_eq!(names.common_text("`ten_x` of 2020-01-01"), "`ten_x` of 2020-01-01");
    }
}
