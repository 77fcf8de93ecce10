//! What can be asked about entities: Backstage's filters and predicates, as one typed tree.
//!
//! Facts are from `reference/backstage-catalog-api.md` §3 and §4. Everything compares in lower
//! case. Keys are the dotted paths of the flattened descriptor.

use serde_json::Value;

/// The most conditions one filter may hold: 200, so that its SQL stays within every limit.
pub const CONDITIONS_MAX: usize = 200;

/// A condition on an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All of these; without any, every entity.
    All(Vec<Filter>),
    /// Any of these; without any, no entity.
    Any(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// The key is there, whatever its value.
    Exists(String),
    /// The key has one of these values.
    In {
        /// The key.
        key: String,
        /// The values.
        values: Vec<String>,
    },
    /// The key has a value that begins so.
    Prefix {
        /// The key.
        key: String,
        /// The beginning.
        prefix: String,
    },
    /// The entity has a relation of this type to one of these references.
    Related {
        /// The type, say `ownedBy`.
        kind: String,
        /// The references, in lower case; none for any.
        targets: Option<Vec<String>>,
    },
}

/// Why a text or JSON value is not a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A set is empty or names no key.
    #[error("expected a filter like `kind=component,metadata.tags=java`, got `{0}`")]
    Malformed(String),
    /// A predicate is none of the known ones.
    #[error("expected a filter predicate at `{path}`, {problem}")]
    Predicate {
        /// Where, as a path.
        path: String,
        /// What is wrong there.
        problem: String,
    },
    /// There are more than [`CONDITIONS_MAX`] conditions.
    #[error("expected at most {CONDITIONS_MAX} conditions, got more")]
    TooMany,
}

impl Filter {
    /// Every entity.
    #[must_use]
    pub fn everything() -> Self {
        Self::All(Vec::new())
    }

    /// Reads Backstage's `filter=` parameters: each is a set of conditions that must all hold,
    /// and one set must. Within a set, the same key twice means either value.
    ///
    /// # Errors
    ///
    /// [`FilterError`] if a set is empty or a condition names no key.
    pub fn parse_sets<S: AsRef<str>>(sets: &[S]) -> Result<Self, FilterError> {
        let _ = sets;
        unimplemented!()
    }

    /// Reads a Backstage filter predicate (`$all`, `$any`, `$not`, `$exists`, `$in`,
    /// `$hasPrefix`, `$contains`).
    ///
    /// # Errors
    ///
    /// [`FilterError`] says where it is not one.
    pub fn parse_predicate(predicate: &Value) -> Result<Self, FilterError> {
        let _ = predicate;
        unimplemented!()
    }
}
