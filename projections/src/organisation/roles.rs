//! The roles that a tenant has defined. Those that every tenant has are in no table.

use std::collections::{BTreeMap, BTreeSet};

use domain::id::{RoleId, TenantId};
use domain::role::{Event, Permit, RoleName};
use domain::{Permission, Principal, Stream};

use super::json;
use crate::engine::fact::{Fact, Unfit};
use crate::engine::fold::ApplyError;
use crate::error::ReadError;
use crate::model::Model;
use crate::page::{Page, Window};
use crate::read_models::ReadModels;
use crate::scope::{self, Scoped};
use crate::store::bulk::Rows;
use crate::store::{Connection, Row, StoreError};

pub(super) const ROLES: &str = "CREATE TABLE roles (
    tenant UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT NOT NULL,
    permits TEXT NOT NULL,
    is_retired BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
)";

pub(super) const ROLES_BY_NAME: &str = "CREATE UNIQUE INDEX roles_by_name ON roles (tenant, name)";

/// A role of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its identity.
    pub id: RoleId,
    /// What it is called; also its cursor.
    pub name: RoleName,
    /// What it permits: nothing once it is retired.
    pub permits: Vec<Permit>,
    /// Whether it permits nothing any more, for good.
    pub is_retired: bool,
    /// The stream's revision.
    pub revision: u64,
}

/// The roles with these identities, in order, in one query.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find_many(
    models: &ReadModels,
    principal: &Principal,
    ids: &[RoleId],
) -> Result<Vec<Option<Role>>, ReadError> {
    let selected = scoped(principal, SELECT)?;
    scope::find_many(selected, ids, |it| it.0, |sql| fetch(models, sql), |it| it.id).await
}

/// A page of the roles, by name.
///
/// # Errors
///
/// [`ReadError`].
pub async fn list(
    models: &ReadModels,
    principal: &Principal,
    window: &Window<String>,
) -> Result<Page<Role, String>, ReadError> {
    let Some(mut sql) = scoped(principal, SELECT)? else { return Ok(Page::empty()) };
    window.cut(&mut sql, &["name"], |it| vec![it.as_str().into()])?;
    let rows = fetch(models, sql).await?;
    Ok(window.page(rows, |it| it.name.as_str().to_owned()))
}

/// How many roles the tenant has defined.
///
/// # Errors
///
/// [`ReadError`].
pub async fn count(models: &ReadModels, principal: &Principal) -> Result<u64, ReadError> {
    let Some(sql) = scoped(principal, "SELECT count(*) FROM roles")? else { return Ok(0) };
    models.count(Model::Organisation, sql).await
}

const SELECT: &str = "SELECT id, name, permits, is_retired, revision, tenant FROM roles";

/// `select`, limited to what the principal may see; none if that is nothing.
fn scoped(principal: &Principal, select: &str) -> Result<Option<Scoped>, ReadError> {
    scope::select(principal, Permission::RoleRead, select)
}

async fn fetch(models: &ReadModels, sql: Scoped) -> Result<Vec<Role>, ReadError> {
    models.rows(Model::Organisation, sql, read).await
}

fn read(row: &Row) -> Result<Role, StoreError> {
    Ok(Role {
        id: RoleId(row.uuid(0)?),
        name: row.parsed(1)?,
        permits: row.json(2)?,
        is_retired: row.count(3)? > 0,
        revision: row.count(4)?,
    })
}

type Key = (TenantId, RoleId);

pub(super) async fn apply(
    connection: &mut Connection,
    events: &[(&Fact, &Event)],
) -> Result<(), ApplyError> {
    let keys = events.iter().map(|it| key(it.0)).collect::<Result<BTreeSet<_>, _>>()?;
    let mut wanted = Rows::default();
    for (tenant, id) in keys {
        wanted.push([tenant.0.into(), id.0.into()]);
    }
    let mut touched = BTreeMap::new();
    for row in wanted.fetch(connection, SELECT, ["tenant", "id"]).await? {
        let role = read(&row)?;
        touched.insert((TenantId(row.uuid(5)?), role.id), role);
    }
    for (fact, event) in events {
        evolve(&mut touched, fact, event)?;
    }
    let mut rows = Rows::default();
    for ((tenant, id), role) in touched {
        rows.push([
            tenant.0.into(),
            id.0.into(),
            role.name.as_str().into(),
            json(&role.permits),
            u64::from(role.is_retired).into(),
            role.revision.into(),
        ]);
    }
    let insert = "INSERT INTO roles (tenant, id, name, permits, is_retired, revision)";
    let update = "ON CONFLICT (tenant, id) DO UPDATE SET permits = excluded.permits,
        is_retired = excluded.is_retired, revision = excluded.revision";
    Ok(rows.insert(connection, insert, update).await?)
}

fn key(fact: &Fact) -> Result<Key, Unfit> {
    match fact.stream {
        Stream::Role(id) => Ok((fact.tenant, id)),
        _ => Err(fact.unfit("it is not in the stream of a role")),
    }
}

fn evolve(touched: &mut BTreeMap<Key, Role>, fact: &Fact, event: &Event) -> Result<(), Unfit> {
    let key = key(fact)?;
    if let Event::Defined { name, permits } = event {
        let (name, permits, revision) = (name.clone(), permits.clone(), fact.revision);
        let role = Role { id: key.1, name, permits, is_retired: false, revision };
        touched.insert(key, role);
        return Ok(());
    }
    let unknown = || fact.unfit("the role was never defined");
    let role = touched.get_mut(&key).ok_or_else(unknown)?;
    role.revision = fact.revision;
    match event {
        Event::Defined { .. } => {}
        Event::Changed { permits } => role.permits = permits.clone(),
        Event::Retired {} => (role.permits, role.is_retired) = (Vec::new(), true),
    }
    Ok(())
}
