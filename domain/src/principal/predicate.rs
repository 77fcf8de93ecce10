//! A condition on catalog entities.

mod holds;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::personal_parts::refers_to_user;
use crate::catalog::reference::{EntityRef, REFERENCE_BYTES_MAX};
use crate::violation::Violations;

/// How deep conditions may be nested: 3, "any of, all of, a condition".
pub const PREDICATE_DEPTH_MAX: usize = 3;

/// How many conditions "all of" or "any of" may have: 20.
pub const PREDICATE_PARTS_MAX: usize = 20;

/// How many texts a condition may compare in all: 32, so that what all roles of a member amount to is
/// soon told.
pub(super) const PREDICATE_LEAVES_MAX: usize = 32;

/// The longest key or value, in characters: 255, more than any that can be in a descriptor's labels.
const TEXT_MAX: usize = 255;

/// A condition on catalog entities that readers fold into their queries. Texts are compared in
/// lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Predicate {
    /// The entity's kind.
    Kind(String),
    /// The entity is owned by this reference (`kind:namespace/name`).
    OwnedBy(String),
    /// The entity has this label, with this value if there is one.
    Label {
        /// The label's key.
        key: String,
        /// Its value; any if none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    },
    /// The entity has this annotation, with this value if there is one.
    Annotation {
        /// The annotation's key.
        key: String,
        /// Its value; any if none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    },
    /// The entity has this tag.
    Tag(String),
    /// All of these.
    All(Vec<Predicate>),
    /// Any of these.
    Any(Vec<Predicate>),
}

impl Predicate {
    /// The same with texts as they are compared.
    #[must_use]
    pub fn normalized(self) -> Self {
        let lower = |it: String| it.to_lowercase();
        match self {
            Self::Kind(kind) => Self::Kind(lower(kind)),
            Self::OwnedBy(owner) => Self::OwnedBy(lower(owner)),
            Self::Label { key, value } => Self::Label { key: lower(key), value: value.map(lower) },
            Self::Annotation { key, value } => {
                Self::Annotation { key: lower(key), value: value.map(lower) }
            }
            Self::Tag(tag) => Self::Tag(lower(tag)),
            Self::All(parts) => Self::All(each_once(parts)),
            Self::Any(parts) => Self::Any(each_once(parts)),
        }
    }

    /// Whether whatever satisfies this certainly satisfies `other` too.
    ///
    /// By their form alone: that two conditions mean the same may go unseen, never the reverse.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any(parts), _) => parts.iter().all(|it| it.is_within(other)),
            (_, Self::All(parts)) => parts.iter().all(|it| self.is_within(it)),
            (Self::All(parts), _) if parts.iter().any(|it| it.is_within(other)) => true,
            (_, Self::Any(parts)) => parts.iter().any(|it| self.is_within(it)),
            _ => self == other || self.has_more_to_it(other),
        }
    }

    /// Whether `other` asks only that a key is there, of which this asks for a value.
    fn has_more_to_it(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Label { key, .. }, Self::Label { key: asked, value: None })
            | (Self::Annotation { key, .. }, Self::Annotation { key: asked, value: None }) => {
                key == asked
            }
            _ => false,
        }
    }

    /// Notes what is wrong with its shape.
    pub(crate) fn note_violations(&self, field: &str, violations: &mut Violations) {
        self.note_nested(field, 1, violations);
        let leaves = self.leaves();
        if leaves > PREDICATE_LEAVES_MAX {
            let expected = format!("expected at most {PREDICATE_LEAVES_MAX} conditions in all");
            violations.note(field, format!("{expected}, got {leaves}"));
        }
    }

    /// How many conditions it is made of.
    fn leaves(&self) -> usize {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::leaves).sum(),
            _ => 1,
        }
    }

    fn note_nested(&self, field: &str, depth: usize, violations: &mut Violations) {
        if depth > PREDICATE_DEPTH_MAX {
            return violations
                .note(field, format!("expected conditions at most {PREDICATE_DEPTH_MAX} deep"));
        }
        match self {
            Self::Kind(text) | Self::Tag(text) => note_text(field, text, violations),
            Self::OwnedBy(owner) => note_owner(field, owner, violations),
            Self::Label { key, value } | Self::Annotation { key, value } => {
                note_text(field, key, violations);
                value.iter().for_each(|it| note_text(field, it, violations));
            }
            Self::All(parts) | Self::Any(parts) => {
                violations.at_least_one(field, parts.len());
                violations.at_most(field, parts.len(), PREDICATE_PARTS_MAX);
                for (place, part) in parts.iter().enumerate().take(PREDICATE_PARTS_MAX) {
                    part.note_nested(&format!("{field}[{place}]"), depth + 1, violations);
                }
            }
        }
    }
}

/// The parts as they are compared, without repetitions.
fn each_once(parts: Vec<Predicate>) -> Vec<Predicate> {
    let mut known = Vec::with_capacity(parts.len());
    for part in parts.into_iter().map(Predicate::normalized) {
        if !known.contains(&part) {
            known.push(part);
        }
    }
    known
}

fn note_text(field: &str, text: &str, violations: &mut Violations) {
    violations.text(field, text, TEXT_MAX);
    if refers_to_user(text) {
        violations.note(field, "expected no reference to a user: a role is not about a person");
    }
}

/// Roles are not sealed, so they name teams and no people.
fn note_owner(field: &str, owner: &str, violations: &mut Violations) {
    let read = EntityRef::parse(owner, None, "").ok().filter(EntityRef::is_possible);
    match read {
        Some(owner) if owner.kind.eq_ignore_ascii_case("user") => {
            violations.note(field, "expected a group, got a user: a role is not about a person");
        }
        Some(_) if owner.len() <= REFERENCE_BYTES_MAX => {}
        Some(_) | None => {
            violations.note(field, "expected an owner like `group:default/payments`");
        }
    }
}

#[cfg(test)]
mod tests;
