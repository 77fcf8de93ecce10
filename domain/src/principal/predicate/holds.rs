//! Whether a condition holds for an entity that is about to be written.
//!
//! As the catalog answers it once the descriptor is there, but for what the catalog adds itself:
//! a condition on an annotation that is injected holds for nothing that somebody writes.

use super::Predicate;
use crate::catalog::Descriptor;
use crate::catalog::search::{SearchRow, flatten};

/// The relation that conditions on owners are about.
const OWNED_BY: &str = "ownedBy";

impl Predicate {
    /// Whether an entity of which this is said satisfies it. Its texts are as they are compared.
    #[must_use]
    pub fn holds_for(&self, descriptor: &Descriptor) -> bool {
        let rows = flatten(descriptor.json(), &[]);
        self.holds(descriptor, &rows)
    }

    fn holds(&self, descriptor: &Descriptor, rows: &[SearchRow]) -> bool {
        match self {
            Self::Kind(kind) => descriptor.reference().kind.to_lowercase() == *kind,
            Self::OwnedBy(owner) => {
                let owns =
                    |it: &crate::catalog::Relation| it.forward == OWNED_BY && it.target == *owner;
                descriptor.relations().iter().any(owns)
            }
            Self::Label { key, value } => {
                is_there(rows, &format!("metadata.labels.{key}"), value.as_ref())
            }
            Self::Annotation { key, value } => {
                is_there(rows, &format!("metadata.annotations.{key}"), value.as_ref())
            }
            Self::Tag(tag) => is_there(rows, "metadata.tags", Some(tag)),
            Self::All(parts) => parts.iter().all(|it| it.holds(descriptor, rows)),
            Self::Any(parts) => parts.iter().any(|it| it.holds(descriptor, rows)),
        }
    }
}

fn is_there(rows: &[SearchRow], key: &str, value: Option<&String>) -> bool {
    let mut found = rows.iter().filter(|it| it.key == key);
    match value {
        None => found.next().is_some(),
        Some(value) => found.any(|it| it.value.as_ref() == Some(value)),
    }
}
