//! How a scope narrows rows that are not entities.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use domain::id::TenantId;
use domain::{Permission, Principal, Scope};
use uuid::Uuid;

use crate::error::ReadError;
use crate::store::Sql;

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

/// A statement that answers rows of one tenant only, and is run out of a tenant's share.
#[derive(Clone, Debug)]
pub(crate) struct Scoped {
    /// Whose share it is run out of.
    pub(crate) tenant: TenantId,
    /// Whose rows it answers.
    pub(crate) of: TenantId,
    pub(crate) sql: Sql,
}

impl Deref for Scoped {
    type Target = Sql;

    fn deref(&self) -> &Sql {
        &self.sql
    }
}

impl DerefMut for Scoped {
    fn deref_mut(&mut self) -> &mut Sql {
        &mut self.sql
    }
}

/// `select`, limited to what `principal` may see; none if that is nothing. Its text ends inside
/// the `WHERE` clause.
pub(crate) fn select(
    principal: &Principal,
    permission: Permission,
    select: &str,
) -> Result<Option<Scoped>, ReadError> {
    Ok(tenant(principal, permission)?.map(|tenant| {
        let mut sql = Sql::new(select);
        sql.push(" WHERE tenant = ").bind(tenant.0);
        Scoped { tenant, of: tenant, sql }
    }))
}

/// What is found under each of `ids`, in order and in one query. `selected` is what may be seen, none
/// of it if none, of tables whose column `id` holds what `uuid` makes of one.
pub(crate) async fn find_many<I, T, F>(
    selected: Option<Scoped>,
    ids: &[I],
    uuid: impl Fn(&I) -> Uuid,
    fetch: impl FnOnce(Scoped) -> F,
    id: impl Fn(&T) -> I,
) -> Result<Vec<Option<T>>, ReadError>
where
    I: Ord,
    T: Clone,
    F: Future<Output = Result<Vec<T>, ReadError>>,
{
    let Some(mut sql) = selected else { return Ok(vec![None; ids.len()]) };
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    sql.push(" AND id IN ").bind_list(ids.iter().map(uuid));
    let found = fetch(sql).await?;
    let found: BTreeMap<_, _> = found.into_iter().map(|it| (id(&it), it)).collect();
    Ok(ids.iter().map(|it| found.get(it).cloned()).collect())
}
