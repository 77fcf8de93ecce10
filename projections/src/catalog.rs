//! The catalog as it is now, and as it was: entities, relations, versions, locations.
//!
//! An entity is known by its reference, `kind:namespace/name` in lower case. Rows hold what the
//! descriptor says with defaults and injected annotations already in place; relations stand in
//! both directions and may point to what does not exist. What a scope hides looks exactly like
//! what is missing, also at the far end of a relation.
//!
//! [`filter`] is what can be asked about entities; [`entities`], [`relations`], [`history`] and
//! [`locations`] are the readers.

pub mod entities;
pub mod filter;
pub mod history;
pub mod locations;
pub mod relations;
mod schema;
mod sql;
mod words;
mod writer;

pub use entities::{
    Entity, EntityCursor, Facet, FacetValue, Missing, Order, OrderBy, Selection, TextSearch,
};
pub use filter::{Filter, FilterError};
pub use history::{Version, VersionKind};
pub use locations::Location;
pub use relations::{Neighbour, Part, Relation, RelationCursor};

pub(crate) use schema::SCHEMA;
pub(crate) use writer::{apply, changes_by, derive, take_out};

use crate::engine::fact::Want;

pub(crate) fn wants(noun: &str) -> Want {
    match noun {
        "entity" | "location" => Want::Body,
        _ => Want::Nothing,
    }
}

#[cfg(test)]
mod tests;
