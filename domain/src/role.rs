//! A role: what whoever has it may do. Built-in ones are a table, others are streams of a tenant.
//!
//! A role of a tenant is named once for all; what it permits may change, and everybody who has it
//! may do that from then on. Who may give it to whom is for [`crate::principal::Grants::cover`]
//! to say and for the write side to ask.

mod built_in;
mod name;
mod permit;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::built_in::BuiltIn;
pub use self::name::{RoleName, RoleNameError, RoleRef};
pub use self::permit::Permit;
use crate::aggregate::Aggregate;
use crate::violation::{self, Violation, Violations};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Event {
    /// Members can have it.
    #[serde(rename = "role.defined.v1")]
    Defined {
        /// What it is called, once for all.
        name: RoleName,
        /// What it permits.
        permits: Vec<Permit>,
    },
    /// It permits something else.
    #[serde(rename = "role.changed.v1")]
    Changed {
        /// All that it permits from now on.
        permits: Vec<Permit>,
    },
    /// It permits nothing any more.
    #[serde(rename = "role.retired.v1")]
    Retired {},
}

/// What is true now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Nothing happened yet.
    #[default]
    NotDefined,
    /// Members can have it.
    Defined(Definition),
    /// It permits nothing any more. Its name stays taken, for members may still have it.
    Retired(RoleName),
}

/// What a role is called and permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// What it is called.
    pub name: RoleName,
    /// What it permits. Shared, since everybody who has it may do that.
    pub permits: Arc<[Permit]>,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Define it.
    Define {
        /// What it is called.
        name: RoleName,
        /// What it permits.
        permits: Vec<Permit>,
    },
    /// Let it permit something else.
    Change {
        /// All that it permits from now on.
        permits: Vec<Permit>,
    },
    /// Let it permit nothing any more.
    Retire,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such role.
    #[error("the role does not exist")]
    NotDefined,
    /// It was defined otherwise.
    #[error("the role `{0}` exists and permits something else; change it, or take another name")]
    AlreadyDefined(RoleName),
    /// It is retired.
    #[error("the role `{0}` is retired; take another name")]
    Retired(RoleName),
    /// What it would be is malformed.
    #[error("{}", violation::summary(.0))]
    Invalid(Vec<Violation>),
}

impl Rejection {
    /// A stable code in upper case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotDefined => "ROLE_NOT_FOUND",
            Self::AlreadyDefined(_) => "ROLE_EXISTS",
            Self::Retired(_) => "ROLE_RETIRED",
            Self::Invalid(_) => "ROLE_INVALID",
        }
    }
}

/// Notes what is wrong with the shape of a role.
pub(crate) fn note_violations(name: &RoleName, permits: &[Permit], violations: &mut Violations) {
    note_name(name, violations);
    permit::note_violations(permits, violations);
}

/// Notes that a role of the tenant cannot be called so.
pub(crate) fn note_name(name: &RoleName, violations: &mut Violations) {
    if name.built_in().is_some() {
        violations.note("role", format!("`{name}` is built in; take another name"));
    }
}

fn check(name: &RoleName, permits: &[Permit]) -> Result<(), Rejection> {
    let mut violations = Violations::default();
    note_violations(name, permits, &mut violations);
    match violations.into_vec() {
        none if none.is_empty() => Ok(()),
        some => Err(Rejection::Invalid(some)),
    }
}

impl Role {
    /// What it permits: nothing, unless it is defined.
    #[must_use]
    pub fn permits(&self) -> &[Permit] {
        match self {
            Self::Defined(definition) => &definition.permits,
            Self::NotDefined | Self::Retired(_) => &[],
        }
    }
}

impl Aggregate for Role {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _now: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
        use Role::{Defined, NotDefined, Retired};

        match (self, command) {
            (NotDefined, Command::Define { name, permits }) => {
                check(name, permits)?;
                Ok(vec![Event::Defined { name: name.clone(), permits: permits.clone() }])
            }
            (NotDefined, Command::Change { .. } | Command::Retire) => Err(Rejection::NotDefined),

            (Defined(known), Command::Define { permits, .. }) if *known.permits == **permits => {
                Ok(Vec::new())
            }
            (Defined(known), Command::Define { .. }) => {
                Err(Rejection::AlreadyDefined(known.name.clone()))
            }
            (Defined(known), Command::Change { permits }) if *known.permits == **permits => {
                Ok(Vec::new())
            }
            (Defined(known), Command::Change { permits }) => {
                check(&known.name, permits)?;
                Ok(vec![Event::Changed { permits: permits.clone() }])
            }
            (Defined(_), Command::Retire) => Ok(vec![Event::Retired {}]),

            (Retired(_), Command::Retire) => Ok(Vec::new()),
            (Retired(name), Command::Define { .. } | Command::Change { .. }) => {
                Err(Rejection::Retired(name.clone()))
            }
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Defined { name, permits } => {
                let (name, permits) = (name.clone(), permits.as_slice().into());
                *self = Self::Defined(Definition { name, permits });
            }
            Event::Changed { permits } => {
                if let Self::Defined(definition) = self {
                    definition.permits = permits.as_slice().into();
                }
            }
            Event::Retired {} => {
                if let Self::Defined(definition) = self {
                    *self = Self::Retired(definition.name.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
