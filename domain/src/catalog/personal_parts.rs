//! Takes what is about people out of a descriptor, and puts it back.
//!
//! Personal are, by this rule and no other:
//!
//! - of a `User`: all of `metadata` and `spec`;
//! - of a `Group`: `spec.profile.email`, since mail to a team of one reaches a person;
//! - elsewhere: every text that refers to a user, either by its field (`spec.members` of a
//!   group) or because it is written like `user:[namespace/]name`, wherever it stands.
//!
//! Texts in prose may mention people too. Nothing here can tell, and nothing here tries.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::descriptor::Descriptor;
use super::kinds::Kind;
use super::limits::INLINE_BYTES_MAX;
use super::reference::{DEFAULT_NAMESPACE, EntityRef, Parts};
use super::{large_parts, names, relations};
use crate::blob::BlobName;
use crate::personal::Personal;

/// The key of the object that stands for a personal text in [`StoredDescriptor::public`].
pub const PLACEHOLDER: &str = "$personal";

/// What is shown where a text was erased. No entity can be called this.
pub const ERASED: &str = "(erased)";

/// The bytes that sealing a text adds to its event, beside its own twice in hexadecimal digits:
/// at most 256.
const SEALING_BYTES_MAX: usize = 256;

/// A descriptor as events hold it: what is personal is taken out, sealed, and put back by
/// whoever may read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoredDescriptor {
    /// The document, with `{"$personal": n}` where the n-th personal text belongs. Shared, since
    /// a decision puts what its command says into an event.
    #[schemars(with = "Map<String, Value>")]
    pub public: Arc<Value>,
    /// The personal texts, each a piece of JSON.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub personal: Vec<Personal>,
    /// What is too large for an event: `{"$large": n}` stands where the n-th belongs, a piece of
    /// JSON that the vault keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub large: Vec<BlobName>,
}

/// A descriptor whose personal parts were taken out and are still plain.
#[derive(Clone, Debug, PartialEq)]
pub struct DescriptorParts {
    /// The document, with `{"$personal": n}` where the n-th personal part belongs.
    pub public: Value,
    /// The personal parts.
    pub personal: Vec<PersonalPart>,
    /// The parts that were taken out because they do not fit an event, each in JSON.
    pub large: Vec<String>,
}

/// A piece of a descriptor that is about a person.
#[derive(Clone, PartialEq, Eq)]
pub struct PersonalPart {
    /// Whom it is about: the canonical reference of a user, or of a group for its address.
    pub subject: String,
    /// The piece, in JSON.
    pub text: String,
}

impl std::fmt::Debug for PersonalPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PersonalPart(…)")
    }
}

impl DescriptorParts {
    /// An upper bound of the bytes they take in an event.
    pub(super) fn stored_bytes(&self) -> usize {
        let large = self.large.len() * large_parts::NAME_BYTES_MAX;
        self.public.to_string().len() + self.sealed_bytes() + large
    }

    fn sealed_bytes(&self) -> usize {
        self.personal.iter().map(|it| 2 * it.text.len() + SEALING_BYTES_MAX).sum()
    }

    /// Takes out what does not fit an event.
    pub fn take_large(&mut self) {
        let room = INLINE_BYTES_MAX.saturating_sub(self.sealed_bytes());
        self.large = large_parts::take(&mut self.public, room);
    }
}

impl StoredDescriptor {
    /// Puts back what was taken out. `unsealed` holds what became of each personal text, in their
    /// order: the text, or none if its subject was erased; `large` the large parts, none where
    /// the tenant was erased.
    ///
    /// Where a text is missing the document keeps a shape that readers understand: [`ERASED`]
    /// stands for it, and an erased person is a user of that name in no group.
    #[must_use]
    pub fn restore(&self, unsealed: &[Option<String>], large: &[Option<String>]) -> Value {
        let mut document = Value::clone(&self.public);
        if let Value::Object(root) = &mut document {
            for (key, value) in root {
                let erased = match key.as_str() {
                    "metadata" => serde_json::json!({ "name": ERASED }),
                    "spec" => serde_json::json!({ "memberOf": [] }),
                    _ => Value::from(ERASED),
                };
                if let Some(part) = large_parts::part(value, large) {
                    *value = part.unwrap_or_else(|| erased.clone());
                }
                restore(value, unsealed, &erased);
            }
        }
        document
    }
}

fn restore(value: &mut Value, unsealed: &[Option<String>], erased: &Value) {
    let inner = Value::from(ERASED);
    match value {
        Value::Object(object) => {
            if let Some(index) = object.get(PLACEHOLDER) {
                let index = index.as_u64().and_then(|it| usize::try_from(it).ok());
                let text = index.and_then(|it| unsealed.get(it)).and_then(Option::as_deref);
                let known = text.and_then(|it| serde_json::from_str(it).ok());
                *value = known.unwrap_or_else(|| erased.clone());
            } else {
                object.values_mut().for_each(|it| restore(it, unsealed, &inner));
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|it| restore(it, unsealed, &inner)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Takes the personal parts out of a descriptor.
pub(super) fn split(descriptor: Descriptor) -> DescriptorParts {
    let (kind, links) = (descriptor.kind(), relations::links(&descriptor));
    let (mut document, own) = descriptor.into_json_and_reference();
    let mut taken = Taken { own, parts: Vec::new() };
    let Some(root) = document.as_object_mut() else {
        return DescriptorParts { public: document, personal: taken.parts, large: Vec::new() };
    };
    if kind == Kind::User {
        for key in ["metadata", "spec"] {
            if let Some(value) = root.get_mut(key) {
                taken.take(value, taken.own.canonical());
            }
        }
    } else if let Some(spec) = root.get_mut("spec").and_then(Value::as_object_mut) {
        for (field, link) in links {
            let default_kind = link.default_kind.map(Kind::name);
            if let Some(value) = spec.get_mut(field) {
                taken.take_references(value, default_kind);
            }
        }
        if kind == Kind::Group {
            taken.take_address(spec);
        }
    }
    // A placeholder holds no text, so nothing is taken twice.
    root.values_mut().for_each(|it| taken.take_written_references(it));
    DescriptorParts { public: document, personal: taken.parts, large: Vec::new() }
}

/// What was taken out so far.
struct Taken {
    /// What the described entity is called.
    own: EntityRef,
    parts: Vec<PersonalPart>,
}

impl Taken {
    fn take(&mut self, value: &mut Value, subject: String) {
        let placeholder = Map::from_iter([(PLACEHOLDER.to_owned(), self.parts.len().into())]);
        let text = std::mem::replace(value, Value::Object(placeholder)).to_string();
        self.parts.push(PersonalPart { subject, text });
    }

    /// Takes the users out of a field that holds a reference or a list of them.
    fn take_references(&mut self, value: &mut Value, default_kind: Option<&str>) {
        if let Value::Array(list) = value {
            return list.iter_mut().for_each(|it| self.take_references(it, default_kind));
        }
        let Some(text) = value.as_str() else { return };
        let target = Parts::parse(text, default_kind, &self.own.namespace).filter(is_user);
        if let Some(target) = target.map(Parts::canonical) {
            self.take(value, target);
        }
    }

    fn take_address(&mut self, spec: &mut Map<String, Value>) {
        let profile = spec.get_mut("profile").and_then(Value::as_object_mut);
        if let Some(email) = profile.and_then(|it| it.get_mut("email")) {
            self.take(email, self.own.canonical());
        }
    }

    /// Takes every text that is written like `user:[namespace/]name`.
    fn take_written_references(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => {
                let target = written_reference(text, &self.own.namespace);
                if let Some(target) = target.map(Parts::canonical) {
                    self.take(value, target);
                }
            }
            Value::Array(list) => {
                list.iter_mut().for_each(|it| self.take_written_references(it));
            }
            Value::Object(object) => {
                object.values_mut().for_each(|it| self.take_written_references(it));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// The user that a text is written like a reference to: `user:[namespace/]name`.
fn written_reference<'a>(text: &'a str, namespace: &'a str) -> Option<Parts<'a>> {
    let fits =
        |it: &Parts<'_>| is_user(it) && names::is_name(it.name) && names::is_name(it.namespace);
    Parts::parse(text, None, namespace).filter(fits)
}

/// Whether a text is written like a reference to a user, and so is about a person.
#[must_use]
pub fn refers_to_user(text: &str) -> bool {
    written_reference(text, DEFAULT_NAMESPACE).is_some()
}

fn is_user(reference: &Parts<'_>) -> bool {
    reference.kind.eq_ignore_ascii_case(Kind::User.name())
}

#[cfg(test)]
mod tests;
