//! The Backstage descriptor: what a catalog entity may say, and what follows from it.
//!
//! Facts are from `reference/backstage-catalog-api.md` §3, §5 and §6. It knows nothing of
//! events or queries.
//!
//! [`reference`](mod@reference) is how entities are named; [`descriptor`] is one checked
//! document and its stored form.

pub mod descriptor;
pub mod reference;

pub use descriptor::{KindSet, StoredDescriptor};
pub use reference::EntityRef;
