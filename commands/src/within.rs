//! What is known of entities whose change is conditioned, from outside of this crate.
//!
//! The write side keeps no more of an entity than a digest, so it cannot tell whether a condition holds
//! for what is there. Whoever asks has that looked up in the catalog; the owner only checks that the
//! entity is still what was looked at.

use std::collections::HashMap;
use std::sync::Arc;

use domain::principal::Predicate;

/// The condition under which somebody may change entities, and how those they name stood.
#[derive(Clone, Debug)]
pub struct Within {
    /// What must hold of an entity before and after its change.
    pub condition: Arc<Predicate>,
    /// What was seen of each that was there, by its reference.
    pub seen: HashMap<String, Sight>,
}

/// What was seen of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The revision of its stream.
    pub revision: u64,
    /// Whether the condition held for it.
    pub holds: bool,
}
