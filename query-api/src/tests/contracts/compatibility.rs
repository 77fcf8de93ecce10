//! Which changes of a published schema its readers would notice.
//!
//! What is recorded stays recorded, so the schema of a version must fit the events of yesterday, and
//! who was made for the schema of yesterday must understand the events of tomorrow. So a field may be
//! added that need not be there, and a name to a list that says that it grows. Anything else is a
//! change of what a field means, and wants a new version. Descriptions may change freely.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What only explains.
const ANNOTATIONS: [&str; 8] =
    ["$comment", "$defs", "$id", "$schema", "default", "description", "examples", "title"];

/// What makes `now` another thing than `published` for who reads events, each with the place of it.
pub(super) fn breaks(published: &Value, now: &Value) -> Vec<String> {
    let mut comparison = Comparison { published, now, seen: BTreeSet::new(), found: Vec::new() };
    comparison.schemas("", published, now);
    comparison.found
}

/// Two documents that are compared.
#[derive(Clone)]
struct Comparison<'a> {
    published: &'a Value,
    now: &'a Value,
    /// References that were followed, of both: what refers to itself is compared once.
    seen: BTreeSet<(&'a str, &'a str)>,
    found: Vec<String>,
}

impl<'a> Comparison<'a> {
    fn note(&mut self, path: &str, what: &str) {
        let path = if path.is_empty() { "the value" } else { path };
        self.found.push(format!("`{path}` {what}"));
    }

    fn schemas(&mut self, path: &str, before: &'a Value, now: &'a Value) {
        if let (Some(before), Some(now)) = (reference(before), reference(now))
            && !self.seen.insert((before, now))
        {
            return;
        }
        let before = resolve(self.published, before);
        let now = resolve(self.now, now);
        match (before.as_object(), now.as_object()) {
            (Some(before), Some(now)) => self.objects(path, before, now),
            _ if before == now => {}
            _ => self.note(path, "is another thing"),
        }
    }

    fn objects(&mut self, path: &str, before: &'a Map<String, Value>, now: &'a Map<String, Value>) {
        self.fields(path, before, now);
        let keywords: BTreeSet<&str> =
            before.keys().chain(now.keys()).map(String::as_str).collect();
        for keyword in keywords {
            if ANNOTATIONS.contains(&keyword) {
                continue;
            }
            match (keyword, before.get(keyword), now.get(keyword)) {
                ("properties" | "required", _, _) => {}
                ("items", Some(before), Some(now)) => {
                    self.schemas(&format!("{path}[]"), before, now);
                }
                ("additionalProperties", Some(before), Some(now)) => {
                    self.schemas(&format!("{path}.*"), before, now);
                }
                ("prefixItems" | "allOf", Some(before), Some(now)) => {
                    self.in_order(path, list(before), list(now));
                }
                ("oneOf" | "anyOf", Some(before), Some(now)) => {
                    self.alternatives(path, list(before), list(now));
                }
                ("enum", Some(before), Some(now)) => self.names(path, before, now),
                ("x-extensible-enum", Some(before), Some(now)) => {
                    self.names_that_go(path, before, now);
                }
                ("type", Some(before), Some(now)) if set(before) == set(now) => {}
                (_, Some(before), Some(now)) if before == now => {}
                (_, Some(before), Some(now)) => {
                    self.note(path, &format!("has another `{keyword}`: {now} instead of {before}"));
                }
                (_, Some(_), None) => self.note(path, &format!("has no `{keyword}` any more")),
                (_, None, _) => self.note(path, &format!("has `{keyword}` that it did not have")),
            }
        }
    }

    /// Fields may be added that need not be there.
    fn fields(&mut self, path: &str, before: &'a Map<String, Value>, now: &'a Map<String, Value>) {
        let properties = |it: &'a Map<String, Value>| it.get("properties")?.as_object();
        let required = |it: &'a Map<String, Value>| set(it.get("required").unwrap_or(&Value::Null));
        let (needed, needs) = (required(before), required(now));
        let dot = if path.is_empty() { "" } else { "." };
        for (name, field) in properties(before).into_iter().flatten() {
            let path = format!("{path}{dot}{name}");
            let Some(same) = properties(now).and_then(|it| it.get(name)) else {
                self.note(&path, "is gone");
                continue;
            };
            let name = Value::String(name.clone()).to_string();
            match (needed.contains(&name), needs.contains(&name)) {
                (true, false) => self.note(&path, "need not be there any more"),
                (false, true) => self.note(&path, "must be there, and events without it exist"),
                (true, true) | (false, false) => {}
            }
            self.schemas(&path, field, same);
        }
        for (name, _) in properties(now).into_iter().flatten() {
            let is_new = properties(before).is_none_or(|it| !it.contains_key(name));
            if is_new && needs.contains(&Value::String(name.clone()).to_string()) {
                let what = "is new and must be there, and events without it exist";
                self.note(&format!("{path}{dot}{name}"), what);
            }
        }
    }

    fn in_order(&mut self, path: &str, before: &'a [Value], now: &'a [Value]) {
        if before.len() != now.len() {
            let what = format!("has {} parts instead of {}", now.len(), before.len());
            return self.note(path, &what);
        }
        for (place, (before, now)) in before.iter().zip(now).enumerate() {
            self.schemas(&format!("{path}[{place}]"), before, now);
        }
    }

    /// They may come in another order. Whoever reads must know all of them, so none is added.
    fn alternatives(&mut self, path: &str, before: &'a [Value], now: &'a [Value]) {
        if before.len() != now.len() {
            let what = format!("has {} alternatives instead of {}", now.len(), before.len());
            return self.note(path, &what);
        }
        let mut left: Vec<&Value> = now.iter().collect();
        for (place, alternative) in before.iter().enumerate() {
            let path = format!("{path}|{place}");
            let compared = |now: &&'a Value| {
                let mut attempt = Self { found: Vec::new(), ..self.clone() };
                attempt.schemas(&path, alternative, now);
                attempt.found
            };
            let found: Vec<_> = left.iter().map(compared).collect();
            // The one that is the same, else the one that is most like it.
            let (most_like, found) =
                found.into_iter().enumerate().min_by_key(|it| it.1.len()).expect("as many");
            left.remove(most_like);
            self.found.extend(found);
        }
    }

    fn names(&mut self, path: &str, before: &'a Value, now: &'a Value) {
        self.names_that_go(path, before, now);
        for name in set(now).difference(&set(before)) {
            self.note(path, &format!("can be {name}, which nobody knows"));
        }
    }

    fn names_that_go(&mut self, path: &str, before: &'a Value, now: &'a Value) {
        for name in set(before).difference(&set(now)) {
            self.note(path, &format!("cannot be {name} any more, and events with it exist"));
        }
    }
}

fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()
}

/// What `schema` refers to in `document`, or itself.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    while let Some(reference) = reference(schema) {
        let place = reference.strip_prefix('#').and_then(|it| document.pointer(it));
        schema = place.unwrap_or_else(|| panic!("`{reference}` leads nowhere"));
    }
    schema
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What is in a list, or the one thing that stands for it, each as JSON.
fn set(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Null => BTreeSet::new(),
        Value::Array(parts) => parts.iter().map(ToString::to_string).collect(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            [value.to_string()].into()
        }
    }
}
