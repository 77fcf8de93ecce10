//! The Backstage descriptor: what a catalog entity may say, and what follows from it.
//!
//! By Backstage's
//! [descriptor format](https://backstage.io/docs/features/software-catalog/descriptor-format)
//! and its
//! [well-known relations](https://backstage.io/docs/features/software-catalog/well-known-relations).
//! It knows nothing of events or queries, and does not fetch what a descriptor points to.
//!
//! Start at [`descriptor`], one checked document. What it must keep to is in [`limits`], the
//! envelope, the [`kinds`] and the tables of their fields; what follows from it in
//! [`relations`], [`search`] and [`derive`](mod@derive); what of it is about people in
//! [`personal_parts`].

pub mod derive;
pub mod descriptor;
mod envelope;
mod fields;
mod findings;
pub mod kinds;
pub mod large_parts;
pub mod limits;
mod names;
pub mod personal_parts;
pub mod reference;
pub mod relations;
#[cfg(test)]
mod samples;
pub mod search;
#[cfg(test)]
mod shared_data;
mod spec;

pub use crate::violation::Violation;
pub use descriptor::{Descriptor, LocationTargets, Presence};
pub use findings::VIOLATIONS_MAX;
pub use kinds::{Kind, KindSet};
pub use personal_parts::{DescriptorParts, PersonalPart, StoredDescriptor};
pub use reference::EntityRef;
pub use relations::Relation;
