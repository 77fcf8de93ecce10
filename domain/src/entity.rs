//! A catalog entity: a descriptor kept raw, under a reference that is unique in its tenant.
//!
//! The stream's id is the keyed digest of the reference, so uniqueness needs no index. State
//! holds digests, not descriptors: a million entities fit in memory.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::catalog::StoredDescriptor;
use crate::id::{EntityUid, LocationId};
use crate::location::Location;
use crate::personal::{Digest, Personal};

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// What is true now. Small: a tenant may have a million of these in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Entity {
    /// It never was in the catalog.
    #[default]
    NotRegistered,
    /// It is in the catalog.
    Registered {
        /// This registration's identity.
        uid: EntityUid,
        /// The location it follows, if any.
        location: Option<LocationId>,
        /// Stands for the descriptor in comparisons.
        digest: Digest,
    },
    /// It was in the catalog.
    Deregistered,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Register the entity, or update it if it is there.
    Put {
        /// The identity of the registration, should this be its beginning.
        uid: EntityUid,
        /// The location it follows, if any.
        location: Option<LocationId>,
        /// What is said about it.
        descriptor: StoredDescriptor,
        /// Stands for the descriptor in comparisons.
        digest: Digest,
        /// What the owner knows of the tenant at this instant.
        facts: Facts,
    },
    /// Deregister the entity if it is there.
    Remove,
    /// Deregister the entity if it still follows this location.
    RemoveFollower {
        /// The location, which is gone.
        location: LocationId,
    },
}

/// What a decision about one entity must know of the rest of its tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// How many entities are registered.
    pub entities: u64,
    /// How many there may be, by the hard quotas of the running subscriptions; any if none.
    pub entities_max: Option<u64>,
    /// The location the command names; of no meaning if it names none.
    pub location: Location,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The quota is used up.
    #[error("the catalog holds {limit} entities, as many as the plan allows")]
    QuotaExceeded {
        /// How many entities there may be.
        limit: u64,
    },
    /// The command names a location that is not registered.
    #[error("location `{location}` is not registered")]
    UnknownLocation {
        /// The location.
        location: LocationId,
    },
    /// The first location to have an entity owns it.
    #[error(
        "the entity follows location `{owner}`: change it there, or deregister that location first"
    )]
    OwnedByLocation {
        /// The location it follows.
        owner: LocationId,
    },
}

impl Rejection {
    /// A stable code in upper case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::QuotaExceeded { .. } => "QUOTA_EXCEEDED",
            Self::UnknownLocation { .. } => "LOCATION_NOT_FOUND",
            Self::OwnedByLocation { .. } => "ENTITY_HAS_LOCATION",
        }
    }
}

impl Entity {
    /// Says whether it is in the catalog.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        matches!(self, Self::Registered { .. })
    }

    /// The location it follows, if it is in the catalog and follows one.
    #[must_use]
    pub fn location(&self) -> Option<LocationId> {
        match self {
            Self::Registered { location, .. } => *location,
            Self::NotRegistered | Self::Deregistered => None,
        }
    }
}

impl Aggregate for Entity {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    /// An entity that follows no location may be taken over by one, as when a team moves what
    /// it wrote by hand into its repository. The way back leads through deregistration.
    fn decide(&self, command: &Command, _now: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
        use Entity::{Deregistered, NotRegistered, Registered};

        match (self, command) {
            (
                NotRegistered | Deregistered,
                Command::Put { uid, location, descriptor, digest, facts },
            ) => {
                facts.check_location(*location)?;
                facts.check_room()?;
                let (uid, location, digest) = (*uid, *location, *digest);
                let descriptor = descriptor.clone();
                Ok(vec![Event::Registered { uid, location, descriptor, digest }])
            }
            (Registered { location: Some(owner), .. }, Command::Put { location, .. })
                if *location != Some(*owner) =>
            {
                Err(Rejection::OwnedByLocation { owner: *owner })
            }
            (
                Registered { location: old_location, digest: old_digest, .. },
                Command::Put { location, digest, .. },
            ) if location == old_location && digest == old_digest => Ok(Vec::new()),
            (Registered { .. }, Command::Put { location, descriptor, digest, facts, .. }) => {
                facts.check_location(*location)?;
                let (location, digest) = (*location, *digest);
                Ok(vec![Event::Updated { location, descriptor: descriptor.clone(), digest }])
            }
            (Registered { location, .. }, Command::RemoveFollower { location: gone })
                if *location != Some(*gone) =>
            {
                Ok(Vec::new())
            }
            (Registered { uid, .. }, Command::Remove | Command::RemoveFollower { .. }) => {
                Ok(vec![Event::Deregistered { uid: *uid }])
            }
            (NotRegistered | Deregistered, Command::Remove | Command::RemoveFollower { .. }) => {
                Ok(Vec::new())
            }
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Registered { uid, location, digest, .. } => {
                *self = Self::Registered { uid: *uid, location: *location, digest: *digest };
            }
            Event::Updated { location: new_location, digest: new_digest, .. } => {
                if let Self::Registered { location, digest, .. } = self {
                    (*location, *digest) = (*new_location, *new_digest);
                }
            }
            Event::Deregistered { .. } => *self = Self::Deregistered,
        }
    }
}

impl Facts {
    fn check_location(&self, location: Option<LocationId>) -> Result<(), Rejection> {
        match location {
            Some(location) if self.location != Location::Registered => {
                Err(Rejection::UnknownLocation { location })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_room(&self) -> Result<(), Rejection> {
        match self.entities_max {
            Some(limit) if self.entities >= limit => Err(Rejection::QuotaExceeded { limit }),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
