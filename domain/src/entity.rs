//! A catalog entity: a descriptor kept raw, under a reference that is unique in its tenant.
//!
//! The stream's id is the keyed digest of the reference, so uniqueness needs no index. State
//! holds digests, not descriptors: a million entities fit in memory.

use serde::{Deserialize, Serialize};

use crate::catalog::StoredDescriptor;
use crate::id::{EntityUid, LocationId};
use crate::personal::{Digest, Personal};

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The entity is in the catalog.
    #[serde(rename = "entity.registered.v1")]
    Registered {
        /// This registration's identity.
        uid: EntityUid,
        /// The location it follows, if any.
        location: Option<LocationId>,
        /// What was said about it.
        descriptor: StoredDescriptor,
        /// Stands for the descriptor in comparisons.
        digest: Digest,
    },
    /// Something else is said about it.
    #[serde(rename = "entity.updated.v1")]
    Updated {
        /// The location it follows, if any.
        location: Option<LocationId>,
        /// What is said about it from now on.
        descriptor: StoredDescriptor,
        /// Stands for the descriptor in comparisons.
        digest: Digest,
    },
    /// The entity is no longer in the catalog.
    #[serde(rename = "entity.deregistered.v1")]
    Deregistered {
        /// The registration that ended.
        uid: EntityUid,
    },
}

impl Event {
    /// Every personal text in the event.
    pub fn personal_mut(&mut self) -> Vec<&mut Personal> {
        match self {
            Self::Registered { descriptor, .. } | Self::Updated { descriptor, .. } => {
                descriptor.personal.iter_mut().collect()
            }
            Self::Deregistered { .. } => Vec::new(),
        }
    }
}
