//! What is stored of members and roles.

use domain::id::ActorId;
use domain::member::{ApiKey, Member};
use domain::personal::Digest;
use domain::role::{self, Role, RoleName, RoleRef};
use serde::{Deserialize, Serialize};

use super::{RowError, json};

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum MemberV1 {
    NotAdded,
    /// The keys are a list of [`ApiKey`] in JSON, each with the actor it is.
    Present {
        name: Option<[u8; 16]>,
        roles: Vec<RoleRef>,
        keys: String,
    },
    Removed,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum RoleV1 {
    NotDefined,
    /// What it permits is a list of [`role::Permit`] in JSON.
    Defined {
        name: RoleName,
        permits: String,
    },
    Retired(RoleName),
}

impl MemberV1 {
    pub(super) fn of(state: &Member) -> Self {
        match state {
            Member::NotAdded => Self::NotAdded,
            Member::Present { name, roles, keys } => {
                let keys: Vec<_> = keys.iter().collect();
                // Most have none.
                let keys = if keys.is_empty() { String::new() } else { json(&keys) };
                Self::Present { name: name.map(|it| it.0), roles: roles.to_vec(), keys }
            }
            Member::Removed => Self::Removed,
        }
    }

    pub(super) fn restore(self) -> Result<Member, RowError> {
        Ok(match self {
            Self::NotAdded => Member::NotAdded,
            Self::Present { name, roles, keys } => {
                let keys: Vec<(ActorId, ApiKey)> = match keys.as_str() {
                    "" => Vec::new(),
                    keys => serde_json::from_str(keys)?,
                };
                let (roles, keys) = (roles.into(), keys.into_iter().collect());
                Member::Present { name: name.map(Digest), roles, keys }
            }
            Self::Removed => Member::Removed,
        })
    }
}

impl RoleV1 {
    pub(super) fn of(state: &Role) -> Self {
        match state {
            Role::NotDefined => Self::NotDefined,
            Role::Defined(role::Definition { name, permits }) => {
                Self::Defined { name: name.clone(), permits: json(&**permits) }
            }
            Role::Retired(name) => Self::Retired(name.clone()),
        }
    }

    pub(super) fn restore(self) -> Result<Role, RowError> {
        Ok(match self {
            Self::NotDefined => Role::NotDefined,
            Self::Defined { name, permits } => {
                let permits: Vec<role::Permit> = serde_json::from_str(&permits)?;
                Role::Defined(role::Definition { name, permits: permits.into() })
            }
            Self::Retired(name) => Role::Retired(name),
        })
    }
}
