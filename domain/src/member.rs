//! A member: somebody who may do something in a tenant, by the roles they have there.
//!
//! Named by the actor it is, so what somebody does and whether they may is told by one id. The
//! name is personal and sealed; a member may have none. It does *not* know how somebody proves
//! who they are.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::personal::{Digest, Personal};
use crate::role::{BuiltIn, RoleRef};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Somebody belongs to the tenant.
    #[serde(rename = "member.added.v1")]
    Added {
        /// What they are called, if that was said.
        name: Option<Personal>,
        /// What they are.
        roles: BTreeSet<RoleRef>,
    },
    /// Somebody is something else.
    #[serde(rename = "member.roles-changed.v1")]
    RolesChanged {
        /// All that they are from now on.
        roles: BTreeSet<RoleRef>,
    },
    /// Somebody does not belong to the tenant any more.
    #[serde(rename = "member.removed.v1")]
    Removed {},
}

impl Event {
    /// Every personal text in the event.
    pub fn personal_mut(&mut self) -> Vec<&mut Personal> {
        match self {
            Self::Added { name, .. } => name.iter_mut().collect(),
            Self::RolesChanged { .. } | Self::Removed {} => Vec::new(),
        }
    }
}

/// The most roles one member may have: 20, so that what they amount to is soon said.
pub const ROLES_MAX: usize = 20;

/// The longest name, in characters: 120, as for everything that has one.
pub const NAME_MAX: usize = 120;

/// What is true now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Member {
    /// They never belonged to the tenant.
    #[default]
    NotAdded,
    /// They belong to it.
    Present {
        /// Stands for the name in comparisons.
        name: Option<Digest>,
        /// What they are, in order. Shared, since many are the same.
        roles: Arc<[RoleRef]>,
    },
    /// They belonged to it.
    Removed,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Let somebody belong to the tenant.
    Add {
        /// What they are called.
        name: Option<Personal>,
        /// What they are.
        roles: BTreeSet<RoleRef>,
    },
    /// Let them be something else.
    ChangeRoles {
        /// All that they are from now on.
        roles: BTreeSet<RoleRef>,
        /// Fact: how many owners the tenant has.
        owners: u64,
    },
    /// Let them belong to it no longer.
    Remove {
        /// Fact: how many owners the tenant has.
        owners: u64,
    },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Nobody of this id is a member.
    #[error("there is no such member")]
    NotAdded,
    /// They are a member with other roles or under another name.
    #[error("they are a member already, with other roles or under another name")]
    AlreadyAdded,
    /// Nobody could give any permission back.
    #[error("they are the last owner; make somebody else one first")]
    LastOwner,
}

impl Rejection {
    /// A stable code in upper case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAdded => "MEMBER_NOT_FOUND",
            Self::AlreadyAdded => "MEMBER_EXISTS",
            Self::LastOwner => "LAST_OWNER",
        }
    }
}

impl Member {
    /// What they are: nothing, unless they belong to the tenant.
    #[must_use]
    pub fn roles(&self) -> &[RoleRef] {
        match self {
            Self::Present { roles, .. } => roles,
            Self::NotAdded | Self::Removed => &[],
        }
    }

    /// Whether they are an owner of the tenant.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.roles().contains(&RoleRef::BuiltIn(BuiltIn::Owner))
    }
}

/// Fails if nobody would be left who is an owner.
fn leaves_an_owner(roles: &[RoleRef], owners: u64) -> Result<(), Rejection> {
    let owner = RoleRef::BuiltIn(BuiltIn::Owner);
    if roles.contains(&owner) && owners <= 1 { Err(Rejection::LastOwner) } else { Ok(()) }
}

impl Aggregate for Member {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _now: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
        use Member::{NotAdded, Present, Removed};

        match (self, command) {
            (NotAdded | Removed, Command::Add { name, roles }) => {
                Ok(vec![Event::Added { name: name.clone(), roles: roles.clone() }])
            }
            (NotAdded, Command::ChangeRoles { .. } | Command::Remove { .. })
            | (Removed, Command::ChangeRoles { .. }) => Err(Rejection::NotAdded),

            (Present { name: known, roles: held }, Command::Add { name, roles }) => {
                let digest = name.as_ref().map(|it| it.digest);
                if digest == *known && held.iter().eq(roles) {
                    Ok(Vec::new())
                } else {
                    Err(Rejection::AlreadyAdded)
                }
            }
            (Present { roles: held, .. }, Command::ChangeRoles { roles, .. })
                if held.iter().eq(roles) =>
            {
                Ok(Vec::new())
            }
            (Present { roles: held, .. }, Command::ChangeRoles { roles, owners }) => {
                if !roles.contains(&RoleRef::BuiltIn(BuiltIn::Owner)) {
                    leaves_an_owner(held, *owners)?;
                }
                Ok(vec![Event::RolesChanged { roles: roles.clone() }])
            }
            (Present { roles: held, .. }, Command::Remove { owners }) => {
                leaves_an_owner(held, *owners)?;
                Ok(vec![Event::Removed {}])
            }
            (Removed, Command::Remove { .. }) => Ok(Vec::new()),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Added { name, roles } => {
                let name = name.as_ref().map(|it| it.digest);
                *self = Self::Present { name, roles: roles.iter().copied().collect() };
            }
            Event::RolesChanged { roles: new_roles } => {
                if let Self::Present { roles, .. } = self {
                    *roles = new_roles.iter().copied().collect();
                }
            }
            Event::Removed {} => *self = Self::Removed,
        }
    }
}

#[cfg(test)]
mod tests;
