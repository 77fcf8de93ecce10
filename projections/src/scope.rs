//! How a scope narrows rows that are not entities.

use domain::id::TenantId;
use domain::{Permission, Principal, Scope};

use crate::error::ReadError;

/// The tenant whose rows `principal` may see; none if it may see none of them.
///
/// Predicates speak of entities. Of anything else nobody can say whether one holds, so a scope
/// that has one shows nothing of it.
pub(crate) fn tenant(
    principal: &Principal,
    permission: Permission,
) -> Result<Option<TenantId>, ReadError> {
    match principal.authorize(permission)? {
        Scope::All => Ok(Some(principal.tenant())),
        Scope::None | Scope::Where(_) => Ok(None),
    }
}
