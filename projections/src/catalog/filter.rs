//! What can be asked about entities: Backstage's filters and predicates, as one typed tree.
//!
//! As Backstage's
//! [catalog API](https://backstage.io/docs/features/software-catalog/software-catalog-api)
//! has them. Everything compares in lower case. Keys are the dotted paths of the flattened
//! descriptor.

mod predicate;

use std::collections::BTreeMap;

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
    #[error(
        "expected at most {CONDITIONS_MAX} conditions in `{argument}`, sets and values counted, \
         got {count}"
    )]
    TooMany {
        /// Where.
        argument: &'static str,
        /// How many.
        count: usize,
    },
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
    /// [`FilterError`] if a set is empty, a condition names no key, or there are too many.
    pub fn parse_sets<S: AsRef<str>>(sets: &[S]) -> Result<Self, FilterError> {
        if sets.is_empty() {
            return Ok(Self::everything());
        }
        // Counted as they are written, before anything is made of them.
        let in_set = |set: &S| 1 + conditions_of(set.as_ref()).count();
        within("filter", 1 + sets.iter().map(in_set).sum::<usize>())?;
        let any: Result<Vec<_>, _> = sets.iter().map(|it| parse_set(it.as_ref())).collect();
        Ok(Self::Any(any?))
    }

    /// Reads a Backstage filter predicate (`$all`, `$any`, `$not`, `$exists`, `$in`,
    /// `$hasPrefix`, `$contains`).
    ///
    /// # Errors
    ///
    /// [`FilterError`] says where it is not one.
    pub fn parse_predicate(predicate: &Value) -> Result<Self, FilterError> {
        predicate::parse(predicate)?.checked("predicate")
    }

    /// The filter itself, unless it is too large to be asked.
    fn checked(self, argument: &'static str) -> Result<Self, FilterError> {
        within(argument, self.conditions())?;
        Ok(self)
    }

    /// How many conditions it has; each value and each node counts.
    fn conditions(&self) -> usize {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                1 + parts.iter().map(Self::conditions).sum::<usize>()
            }
            Self::Not(part) => 1 + part.conditions(),
            Self::Exists(_) | Self::Prefix { .. } => 1,
            Self::In { values, .. } => values.len().max(1),
            Self::Related { targets, .. } => targets.as_ref().map_or(1, |it| it.len().max(1)),
        }
    }
}

fn within(argument: &'static str, count: usize) -> Result<(), FilterError> {
    if count > CONDITIONS_MAX {
        return Err(FilterError::TooMany { argument, count });
    }
    Ok(())
}

/// What the values of one key must be.
enum Wanted {
    Anything,
    OneOf(Vec<String>),
}

/// The conditions of a set, as they are written.
fn conditions_of(set: &str) -> impl Iterator<Item = &str> {
    set.split(',').map(str::trim).filter(|it| !it.is_empty())
}

fn parse_set(set: &str) -> Result<Filter, FilterError> {
    let malformed = || FilterError::Malformed(set.chars().take(256).collect());
    let mut keys: Vec<&str> = Vec::new();
    let mut wanted: BTreeMap<&str, Wanted> = BTreeMap::new();
    for condition in conditions_of(set) {
        let (key, value) = match condition.split_once('=') {
            Some((key, value)) => (key.trim(), Some(value.trim())),
            None => (condition, None),
        };
        if key.is_empty() {
            return Err(malformed());
        }
        if !wanted.contains_key(key) {
            keys.push(key);
        }
        match (wanted.get_mut(key), value) {
            (Some(Wanted::OneOf(values)), Some(value)) => values.push(value.to_owned()),
            (Some(Wanted::Anything), Some(value)) => {
                // Asked for existence and for a value: the value says more.
                wanted.insert(key, Wanted::OneOf(vec![value.to_owned()]));
            }
            (Some(_), None) => (),
            (None, Some(value)) => {
                wanted.insert(key, Wanted::OneOf(vec![value.to_owned()]));
            }
            (None, None) => {
                wanted.insert(key, Wanted::Anything);
            }
        }
    }
    if keys.is_empty() {
        return Err(malformed());
    }
    let condition = |key: &str| match wanted.remove(key) {
        Some(Wanted::OneOf(values)) => Filter::In { key: key.to_owned(), values },
        Some(Wanted::Anything) | None => Filter::Exists(key.to_owned()),
    };
    Ok(Filter::All(keys.into_iter().map(condition).collect()))
}

#[cfg(test)]
mod tests;
