//! What is stored of members and roles.

use std::collections::BTreeMap;

use domain::member::{Member, Term};
use domain::personal::Digest;
use domain::role::{self, Role, RoleName, RoleRef};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{RowError, json};

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum MemberV1 {
    NotAdded,
    /// The keys are a list of [`domain::member::ApiKey`] in JSON, each with the actor it is, and so are the sessions,
    /// each with its id, and the invite.
    Present {
        name: Option<[u8; 16]>,
        roles: Vec<RoleRef>,
        keys: String,
        sessions: String,
        invite: String,
        term: Term,
    },
    Removed(Term),
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
            Member::Present { name, roles, keys, sessions, invite, term } => Self::Present {
                name: name.map(|it| it.0),
                roles: roles.to_vec(),
                keys: list(keys),
                sessions: list(sessions),
                invite: invite.as_ref().map(json).unwrap_or_default(),
                term: *term,
            },
            Member::Removed(term) => Self::Removed(*term),
        }
    }

    pub(super) fn restore(self) -> Result<Member, RowError> {
        Ok(match self {
            Self::NotAdded => Member::NotAdded,
            Self::Present { name, roles, keys, sessions, invite, term } => Member::Present {
                name: name.map(Digest),
                roles: roles.into(),
                keys: read_list(&keys)?,
                sessions: read_list(&sessions)?,
                invite: match invite.as_str() {
                    "" => None,
                    invite => Some(serde_json::from_str(invite)?),
                },
                term,
            },
            Self::Removed(term) => Member::Removed(term),
        })
    }
}

/// What somebody has, each with its id, as JSON. Most have none.
fn list<I: Serialize, T: Serialize>(held: &BTreeMap<I, T>) -> String {
    if held.is_empty() { String::new() } else { json(&held.iter().collect::<Vec<_>>()) }
}

fn read_list<I, T>(text: &str) -> Result<BTreeMap<I, T>, RowError>
where
    I: DeserializeOwned + Ord,
    T: DeserializeOwned,
{
    let held: Vec<(I, T)> = match text {
        "" => Vec::new(),
        text => serde_json::from_str(text)?,
    };
    Ok(held.into_iter().collect())
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
