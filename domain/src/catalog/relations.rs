//! How a descriptor relates its entity to others, by Backstage's
//! [well-known relations](https://backstage.io/docs/features/software-catalog/well-known-relations).

use serde_json::Value;

use super::descriptor::Descriptor;
use super::fields::{self, Link, Shape};
use super::kinds::{Kind, KindSet};
use super::personal_parts::ERASED;
use super::reference::{EntityRef, REFERENCE_BYTES_MAX};

/// One edge that a descriptor states. The described entity is its source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Relation {
    /// What the source is to the target, say `ownedBy`.
    pub forward: &'static str,
    /// The target's canonical reference. The target may not exist.
    pub target: String,
    /// What the target is to the source, say `ownerOf`.
    pub backward: &'static str,
}

/// Every edge, sorted and without repetition. What was erased relates to nothing, and so does a
/// reference that is longer than descriptors may have.
pub(super) fn of(descriptor: &Descriptor) -> Vec<Relation> {
    let mut found = Vec::new();
    for (field, link) in links(descriptor) {
        let Some(value) = descriptor.field(field) else { continue };
        for text in texts(value).filter(|it| it.len() <= REFERENCE_BYTES_MAX) {
            let Some(target) = target(descriptor, link, text) else { continue };
            if target.name != ERASED {
                let target = target.canonical();
                found.push(Relation { forward: link.forward, target, backward: link.backward });
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The fields of the `spec` that refer to others.
pub(super) fn links(
    descriptor: &Descriptor,
) -> impl Iterator<Item = (&'static str, &'static Link)> + use<> {
    // The relating fields of a kind are the same in every set.
    let fields = fields::of(descriptor.kind(), descriptor.spec_type(), KindSet::Extended);
    fields.iter().filter_map(|it| match &it.shape {
        Shape::Reference(link) | Shape::References(link) => Some((it.name, link)),
        Shape::Text
        | Shape::ShortText(_)
        | Shape::AnyText
        | Shape::Condition
        | Shape::Texts
        | Shape::OneOf(_)
        | Shape::Object(_)
        | Shape::Texted(_)
        | Shape::Objects(_)
        | Shape::SomeObjects(_)
        | Shape::ObjectOrObjects(_) => None,
    })
}

/// The entity that `text` refers to in a field with this meaning.
fn target(descriptor: &Descriptor, link: &Link, text: &str) -> Option<EntityRef> {
    let default_kind = link.default_kind.map(Kind::name);
    EntityRef::parse(text, default_kind, &descriptor.reference().namespace).ok()
}

/// The texts of a field that holds one or a list of them.
fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let one = std::slice::from_ref(value);
    value.as_array().map_or(one, Vec::as_slice).iter().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests;
