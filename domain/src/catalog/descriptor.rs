//! One descriptor document: parsed, checked, and what it says.

use serde_json::{Map, Value};

use super::findings::{Findings, Path};
use super::kinds::{Kind, KindSet};
use super::limits::{self, DESCRIPTOR_BYTES_MAX, INLINE_BYTES_MAX};
use super::personal_parts::{self, DescriptorParts, ERASED};
use super::reference::{DEFAULT_NAMESPACE, EntityRef};
use super::relations::{self, Relation};
use super::search::KEYS_BYTES_MAX;
use super::{envelope, fields, search, spec};
use crate::violation::Violation;

/// A document that keeps every rule of Backstage's
/// [descriptor format](https://backstage.io/docs/features/software-catalog/descriptor-format).
///
/// It is kept as it was written, except for what catalogs themselves add to their answers:
/// `relations`, `status`, `metadata.uid` and `metadata.etag` are accepted and dropped. So a
/// descriptor that was read from a catalog can be put back, and changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptor {
    json: Value,
    kind: Kind,
    reference: EntityRef,
}

/// Where a descriptor of kind `Location` points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocationTargets<'a> {
    /// How to read the targets, say `url`; like the document they are in, if none.
    pub kind: Option<&'a str>,
    /// The targets, in the order of the document.
    pub targets: Vec<&'a str>,
    /// What a missing target means.
    pub presence: Presence,
}

/// What a missing target means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// An error.
    Required,
    /// Nothing.
    Optional,
}

impl Descriptor {
    /// Checks `json`, a descriptor somebody wrote, for a catalog that accepts `kinds`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, up to [`super::VIOLATIONS_MAX`]; never empty.
    pub fn parse(json: Value, kinds: KindSet) -> Result<Self, Vec<Violation>> {
        let mut findings = Findings::default();
        let bytes = limits::check(&json, &mut findings);
        // What follows relies on the limits.
        if !findings.is_empty() {
            return Err(findings.into_vec());
        }
        let Value::Object(mut root) = json else {
            findings.unexpected("", "an object like `{apiVersion, kind, metadata, spec}`", &json);
            return Err(findings.into_vec());
        };
        root.remove("relations");
        root.remove("status");
        let kind = envelope::check_root(&root, kinds, &mut findings);
        check_metadata(&root, &mut findings);
        if let Some(kind) = kind {
            check_spec(&root, kind, kinds, &mut findings);
        }
        if let Some(metadata) = root.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("uid");
            metadata.remove("etag");
        }
        let json = Value::Object(root);
        check_keys(&json, &mut findings);
        match Self::recorded(json).filter(|_| findings.is_empty()) {
            Some(descriptor) => descriptor.check_size(bytes),
            None => Err(findings.into_vec()),
        }
    }

    /// Takes a document out of an event, where it was checked before it was stored.
    ///
    /// Rules may have changed since, so it is not checked again; none if it has no kind or name
    /// that could be told.
    #[must_use]
    pub fn recorded(json: Value) -> Option<Self> {
        let kind = Kind::from_name(json.get("kind")?.as_str()?)?;
        let name = json.get("metadata")?.get("name")?.as_str()?.to_owned();
        let written = json.get("metadata")?.get("namespace").and_then(Value::as_str);
        let namespace = written.unwrap_or(DEFAULT_NAMESPACE).to_owned();
        let reference = EntityRef { kind: kind.name().to_owned(), namespace, name };
        Some(Self { json, kind, reference })
    }

    /// What kind of entity it describes.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What the entity is called. For an erased person the name is [`ERASED`].
    #[must_use]
    pub fn reference(&self) -> &EntityRef {
        &self.reference
    }

    /// Says whether it described a person whose data was erased.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.reference.name == ERASED
    }

    /// The document.
    #[must_use]
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// The document.
    #[must_use]
    pub fn into_json(self) -> Value {
        self.json
    }

    /// The value of `spec.type`, if it is a text.
    #[must_use]
    pub fn spec_type(&self) -> Option<&str> {
        self.field("type")?.as_str()
    }

    /// How it relates the entity to others, sorted and without repetition. Whether those exist
    /// is another question.
    #[must_use]
    pub fn relations(&self) -> Vec<Relation> {
        relations::of(self)
    }

    /// Where it points; none if it is not of kind `Location`.
    #[must_use]
    pub fn location_targets(&self) -> Option<LocationTargets<'_>> {
        if self.kind != Kind::Location {
            return None;
        }
        let text = |name| self.field(name).and_then(Value::as_str);
        let listed = self.field("targets").and_then(Value::as_array).into_iter().flatten();
        let targets = text("target").into_iter().chain(listed.filter_map(Value::as_str)).collect();
        let presence = match text("presence") {
            Some("optional") => Presence::Optional,
            _ => Presence::Required,
        };
        Some(LocationTargets { kind: text("type"), targets, presence })
    }

    /// Takes out what is about people; see [`personal_parts`].
    #[must_use]
    pub fn into_parts(self) -> DescriptorParts {
        personal_parts::split(self)
    }

    /// A field of the `spec`.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        self.json.get("spec")?.get(name)
    }

    /// What it says and what it is called.
    pub(super) fn into_json_and_reference(self) -> (Value, EntityRef) {
        (self.json, self.reference)
    }

    /// The document is at most `bytes` long as compact JSON.
    fn check_size(self, bytes: usize) -> Result<Self, Vec<Violation>> {
        // Sealing makes the shortest personal text, `user:x`, some 45 times as long, and no
        // other more; so a small document needs no closer look.
        if bytes <= INLINE_BYTES_MAX / 64 {
            return Ok(self);
        }
        let bytes = self.json.to_string().len();
        let too_large = |message| Err(vec![Violation { field: String::new(), message }]);
        if bytes > DESCRIPTOR_BYTES_MAX {
            let most = DESCRIPTOR_BYTES_MAX;
            return too_large(format!("expected at most {most} bytes, got {bytes}"));
        }
        let mut parts = self.clone().into_parts();
        parts.take_large();
        let bytes = parts.stored_bytes();
        if bytes > INLINE_BYTES_MAX {
            return too_large(format!(
                "expected at most {INLINE_BYTES_MAX} bytes about people, sealed, and in keys, \
                 got {bytes}"
            ));
        }
        Ok(self)
    }
}

fn check_keys(json: &Value, findings: &mut Findings) {
    match search::keys_that_differ_in_case(json) {
        Ok(pairs) => {
            for (one, other) in pairs {
                let message =
                    format!("expected keys that differ in more than case, got `{other}` too");
                findings.add(&one, message);
            }
        }
        Err(bytes) => {
            let message = format!(
                "expected keys of at most {KEYS_BYTES_MAX} bytes, each counted for every value \
                 below it, got {bytes}"
            );
            findings.add("", message);
        }
    }
}

fn check_metadata(root: &Map<String, Value>, findings: &mut Findings) {
    match root.get("metadata") {
        Some(Value::Object(metadata)) => envelope::check_metadata(metadata, findings),
        Some(other) => findings.unexpected("metadata", "an object with `name`", other),
        None => findings.missing("metadata", "an object with `name`"),
    }
}

fn check_spec(root: &Map<String, Value>, kind: Kind, kinds: KindSet, findings: &mut Findings) {
    let expected = "an object";
    let object = match root.get("spec") {
        Some(Value::Object(object)) => object,
        Some(other) => return findings.unexpected("spec", expected, other),
        None => return findings.missing("spec", expected),
    };
    // An empty one is found elsewhere and must not make every reference wrong.
    let written = root.get("metadata").and_then(|it| it.get("namespace")).and_then(Value::as_str);
    let namespace = written.filter(|it| !it.is_empty()).unwrap_or(DEFAULT_NAMESPACE);
    let spec_type = object.get("type").and_then(Value::as_str);
    let fields = fields::of(kind, spec_type, kinds);
    spec::check(object, fields, &Path::Root.member("spec"), namespace, findings);
}

#[cfg(test)]
mod tests;
