//! What the values of events look like, as JSON Schema (draft 2020-12), made from the types that
//! are stored.
//!
//! They are for who reads events, so objects are left open: a later version of Callboard may add
//! fields that need not be there, and whoever reads passes over what it does not know. So it is
//! with lists of names that grow ([`open`]). What may change in a published schema is *not* known
//! here; the test that writes them into `schemas/` knows it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::TYPE_PREFIX;
use super::types::NOUNS;
use super::versions::VERSIONS;

/// The names there are today, of a list to which others may be added.
const OPEN_LIST: &str = "x-extensible-enum";

/// What the values of events look like, and what several of them have in them.
#[derive(Clone, Debug, PartialEq)]
pub struct Schemas {
    /// Of each type, older versions too, without [`TYPE_PREFIX`].
    pub events: BTreeMap<&'static str, Value>,
    /// What they refer to, by name.
    pub shared: Map<String, Value>,
}

impl Schemas {
    /// Of all events, referring to what they share at `shared_at`, a JSON pointer like `/$defs`.
    #[must_use]
    pub fn new(shared_at: &'static str) -> Self {
        let settings = SchemaSettings::draft2020_12().for_serialize().with(|it| {
            it.definitions_path = shared_at.into();
            it.transforms = vec![Box::new(RecursiveTransform(for_readers))];
        });
        let mut generator = SchemaGenerator::new(settings);
        let mut events = BTreeMap::new();
        for noun in &NOUNS {
            let mut variants = (noun.schema)(&mut generator);
            RecursiveTransform(for_readers).transform(&mut variants);
            events.extend((noun.types)().iter().map(|it| (*it, of_variant(&variants, it))));
        }
        let shared = generator.take_definitions(true);
        let mut schemas = Self { events, shared };
        for version in VERSIONS {
            schemas.add_older(version.before, version.schema_before, shared_at);
        }
        schemas
    }

    /// Adds a version of which only the published document is left. What it refers to is kept
    /// apart from what has the same name today.
    fn add_older(&mut self, name: &'static str, document: &str, shared_at: &str) {
        let mut schema: Value = serde_json::from_str(document).expect("what is published is JSON");
        let own = |it: &str| format!("{name}.{it}");
        point_elsewhere(&mut schema, &|it| format!("#{shared_at}/{}", own(it)));
        let object = schema.as_object_mut().expect("what is published is an object");
        if let Some(Value::Object(shared)) = object.remove("$defs") {
            self.shared.extend(shared.into_iter().map(|(name, it)| (own(&name), it)));
        }
        object.retain(|key, _| key != "$schema" && key != "$id");
        self.events.insert(name, schema);
    }
}

/// The schemas of all events as documents, each with everything that it refers to.
#[must_use]
pub fn schema_documents() -> BTreeMap<&'static str, Value> {
    let schemas = Schemas::new("/$defs");
    let document = |(name, schema): (&'static str, Value)| {
        let mut document = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            // What the attribute `ce_dataschema` of its records says.
            "$id": format!("/schemas/events/{name}.json"),
        });
        let mut needed = BTreeSet::new();
        need(&schema, &schemas.shared, &mut needed);
        let object = document.as_object_mut().expect("it was just made");
        object.extend(schema.as_object().cloned().unwrap_or_default());
        if !needed.is_empty() {
            let shared = schemas.shared.iter().filter(|it| needed.contains(it.0.as_str()));
            let shared = shared.map(|(name, it)| (name.clone(), it.clone())).collect();
            object.insert("$defs".to_owned(), Value::Object(shared));
        }
        (name, document)
    };
    schemas.events.clone().into_iter().map(document).collect()
}

/// What the value of one type looks like, out of what all types of its aggregate look like.
fn of_variant(variants: &Schema, name: &str) -> Value {
    let found = variants.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let found = found.filter_map(|it| Some((it, it.get("properties")?.get(name)?))).next();
    let (variant, value) = found.expect("every variant of events is an object with one key");
    let mut schema = json!({ "title": format!("{TYPE_PREFIX}{name}") });
    let object = schema.as_object_mut().expect("it was just made");
    object.extend(variant.get("description").map(|it| ("description".to_owned(), it.clone())));
    object.extend(value.as_object().cloned().unwrap_or_default());
    schema
}

/// Collects the names of everything that `schema` refers to, and what that refers to.
fn need<'s>(schema: &'s Value, shared: &'s Map<String, Value>, needed: &mut BTreeSet<&'s str>) {
    match schema {
        Value::Array(parts) => parts.iter().for_each(|it| need(it, shared, needed)),
        Value::Object(parts) => {
            if let Some(name) = parts.get("$ref").and_then(Value::as_str).and_then(last_name)
                && needed.insert(name)
                && let Some(next) = shared.get(name)
            {
                need(next, shared, needed);
            }
            parts.values().for_each(|it| need(it, shared, needed));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Gives every reference in `schema` another place, made of the name at its end.
fn point_elsewhere(schema: &mut Value, place: &dyn Fn(&str) -> String) {
    match schema {
        Value::Array(parts) => parts.iter_mut().for_each(|it| point_elsewhere(it, place)),
        Value::Object(parts) => {
            if let Some(Value::String(reference)) = parts.get_mut("$ref")
                && let Some(name) = last_name(reference)
            {
                *reference = place(name);
            }
            parts.values_mut().for_each(|it| point_elsewhere(it, place));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What a reference ends with. The names of our types hold nothing that a pointer escapes.
fn last_name(reference: &str) -> Option<&str> {
    reference.rsplit('/').next()
}

/// Makes a schema of what is written one of what is read: open, and with plain descriptions.
fn for_readers(schema: &mut Schema) {
    if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
        schema.remove("additionalProperties");
    }
    list_names(schema);
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = plain(text);
    }
}

/// A comment of ours without its links and without the breaks of its lines, but for those of lists and paragraphs.
fn plain(comment: &str) -> String {
    let text = comment.replace("[`", "`").replace("`]", "`");
    let mut plain = String::new();
    for line in text.lines() {
        let begins = line.is_empty() || line.starts_with("- ");
        if !plain.is_empty() {
            plain.push(if begins || plain.ends_with('\n') { '\n' } else { ' ' });
        }
        plain.push_str(line);
    }
    plain
}

/// Makes a plain list of names of an enum whose variants have nothing but a name; what each of
/// them means goes into the description.
fn list_names(schema: &mut Schema) {
    let Some(alternatives) = schema.get("oneOf").and_then(Value::as_array) else { return };
    let name = |it: &Value| Some(it.get("const")?.as_str()?.to_owned());
    let Some(names) = alternatives.iter().map(name).collect::<Option<Vec<_>>>() else { return };
    let meaning = |it: &Value| Some(it.get("description")?.as_str()?.replace('\n', " "));
    let meanings = alternatives.iter().zip(&names).filter_map(|(it, name)| {
        let meaning = meaning(it)?;
        Some(format!("\n- `{name}`: {meaning}"))
    });
    let meanings: String = meanings.collect();
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let text = format!("{text}\n{meanings}");
    schema.remove("oneOf");
    schema.insert("type".to_owned(), "string".into());
    schema.insert("enum".to_owned(), names.into());
    schema.insert("description".to_owned(), text.into());
}

/// Says of a list of names that others may be added to it, without a new version of the events:
/// whoever reads must get along with a name that it does not know.
pub(crate) fn open(schema: &mut Schema) {
    list_names(schema);
    if let Some(names) = schema.remove("enum") {
        schema.insert(OPEN_LIST.to_owned(), names);
    }
}

#[cfg(test)]
mod tests;
