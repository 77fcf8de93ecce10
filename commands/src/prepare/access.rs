//! Preparing changes of members and roles.

use std::collections::BTreeSet;

use domain::id::{ActorId, RoleId};
use domain::member::ApiKey;
use domain::role::{Permit, RoleName, RoleRef};
use domain::{member, role};
use vault::TenantKeys;

use super::Ask;
use super::operation::Shaped;
use crate::request::CommandError;

/// What a permission and its condition take in an event, about. In bytes: 256.
const PERMIT_BYTES: usize = 256;

/// The stream of a role of the tenant.
pub(super) fn role_id(keys: &TenantKeys, name: &RoleName) -> RoleId {
    RoleId::from_digest(keys.digest("role", name.as_str()).0)
}

/// Roles as events name them.
pub(super) fn references(keys: &TenantKeys, names: &BTreeSet<RoleName>) -> BTreeSet<RoleRef> {
    let own = |name| RoleRef::Own(role_id(keys, name));
    names.iter().map(|it| it.built_in().map_or_else(|| own(it), RoleRef::BuiltIn)).collect()
}

pub(super) fn add_member(
    keys: &TenantKeys,
    member: ActorId,
    name: Option<String>,
    roles: &BTreeSet<RoleName>,
) -> Shaped {
    let subject = keys.subject_id(&member.to_string());
    let subjects = name.iter().map(|_| subject).collect();
    let bytes = name.as_ref().map_or(0, String::len);
    let name = name.map(|it| keys.personal(subject, it));
    let command = member::Command::Add { name, roles: references(keys, roles) };
    Shaped { subjects, bytes, ..Ask::Member { member, command }.into() }
}

pub(super) fn issue_api_key(
    member: ActorId,
    key: ActorId,
    mut asked: ApiKey,
) -> Result<Shaped, CommandError> {
    if key == member {
        return Err(CommandError::invalid("key", "a key is an actor of its own".to_owned()));
    }
    asked.scope.sort_unstable();
    asked.scope.dedup();
    let bytes = asked.scope.len() * PERMIT_BYTES;
    let command = member::Command::IssueApiKey { key, asked };
    Ok(Shaped { bytes, ..Ask::Member { member, command }.into() })
}

pub(super) fn define_role(keys: &TenantKeys, name: RoleName, permits: Vec<Permit>) -> Shaped {
    let (role, bytes) = (role_id(keys, &name), permits.len() * PERMIT_BYTES);
    let command = role::Command::Define { name, permits: normalized(permits) };
    Shaped { bytes, ..Ask::Role { role, command }.into() }
}

pub(super) fn change_role(keys: &TenantKeys, name: &RoleName, permits: Vec<Permit>) -> Shaped {
    let bytes = permits.len() * PERMIT_BYTES;
    let command = role::Command::Change { permits: normalized(permits) };
    Shaped { bytes, ..Ask::Role { role: role_id(keys, name), command }.into() }
}

/// The same permissions in their order, with conditions as they are compared: what is meant alike
/// is stored alike.
fn normalized(mut permits: Vec<Permit>) -> Vec<Permit> {
    permits.sort_by_key(|it| it.permission);
    permits.into_iter().map(Permit::normalized).collect()
}
