//! Tenants: as each sees itself, with its members and roles, and as the directory lists them for
//! operators. What anybody may do is *not* decided by these tables.
//!
//! All are small, so the writer loads the rows a batch touches, folds the events into them and
//! writes them back whole.

mod directory;
pub mod members;
pub mod roles;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::directory::Slug;
use domain::id::TenantId;
use domain::tenant::{Event, Name, Settings, SuspensionReason};
use domain::{Permission, Principal};
use vault::Keyring;

use crate::engine::fact::{Fact, Unfit, Want};
use crate::engine::fold::{ApplyError, Schema};
use crate::error::ReadError;
use crate::model::Model;
use crate::read_models::ReadModels;
use crate::scope;
use crate::store::bulk::Rows;
use crate::store::{Connection, Row, StoreError, Value};

pub use directory::{
    Registration, count_registrations, find_registration_by_slug, find_registrations,
    list_registrations,
};

pub(crate) const SCHEMA: Schema = Schema {
    version: 5,
    tables: &[
        "CREATE TABLE tenants (
            tenant UUID NOT NULL PRIMARY KEY,
            slug TEXT NOT NULL,
            name TEXT NOT NULL,
            settings TEXT NOT NULL,
            standing TEXT NOT NULL,
            created_at BIGINT NOT NULL,
            revision BIGINT NOT NULL
        )",
        directory::REGISTRATIONS,
        directory::REGISTRATIONS_BY_SLUG,
        members::MEMBERS,
        roles::ROLES,
    ],
    indexes: &[roles::ROLES_BY_NAME],
};

pub(crate) fn wants(noun: &str) -> Want {
    match noun {
        "tenant" | "directory" | "member" | "role" => Want::Body,
        _ => Want::Nothing,
    }
}

pub(crate) async fn apply(
    keyring: &Keyring,
    connection: &mut Connection,
    facts: &[Fact],
) -> Result<(), ApplyError> {
    let (mut tenants, mut directory) = (Vec::new(), Vec::new());
    let (mut members, mut roles) = (Vec::new(), Vec::new());
    for fact in facts {
        match &fact.event {
            Some(domain::Event::Tenant(event)) => tenants.push((fact, event)),
            Some(domain::Event::Directory(event)) => directory.push((fact, event)),
            Some(domain::Event::Member(event)) => members.push((fact, event)),
            Some(domain::Event::Role(event)) => roles.push((fact, event)),
            _ => (),
        }
    }
    apply_tenants(connection, &tenants).await?;
    directory::apply(connection, &directory).await?;
    members::apply(keyring, connection, &members).await?;
    roles::apply(connection, &roles).await
}

/// A tenant as it sees itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its identity.
    pub id: TenantId,
    /// The slug it was created under.
    pub slug: Slug,
    /// Its display name.
    pub name: Name,
    /// Its settings.
    pub settings: Settings,
    /// Whether it may change things.
    pub standing: Standing,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// The stream's revision.
    pub revision: u64,
}

/// Whether a tenant may change things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It may.
    Active,
    /// It may only read.
    Suspended(SuspensionReason),
    /// It is closed for good.
    Closed,
}

/// The principal's own tenant.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find(models: &ReadModels, principal: &Principal) -> Result<Option<Tenant>, ReadError> {
    let Some(sql) = scope::select(principal, Permission::TenantRead, SELECT)? else {
        return Ok(None);
    };
    Ok(models.rows(Model::Organisation, sql, read).await?.pop())
}

const SELECT: &str =
    "SELECT tenant, slug, name, settings, standing, created_at, revision FROM tenants";

fn read(row: &Row) -> Result<Tenant, StoreError> {
    Ok(Tenant {
        id: TenantId(row.uuid(0)?),
        slug: row.parsed(1)?,
        name: row.parsed(2)?,
        settings: row.json(3)?,
        standing: row.json(4)?,
        created_at: row.time(5)?,
        revision: row.count(6)?,
    })
}

async fn apply_tenants(
    connection: &mut Connection,
    events: &[(&Fact, &Event)],
) -> Result<(), ApplyError> {
    let mut touched = BTreeMap::new();
    let mut keys = Rows::default();
    for tenant in events.iter().map(|it| it.0.tenant).collect::<std::collections::BTreeSet<_>>() {
        keys.push([tenant.0.into()]);
    }
    for row in keys.fetch(connection, SELECT, ["tenant"]).await? {
        let tenant = read(&row)?;
        touched.insert(tenant.id, tenant);
    }
    for (fact, event) in events {
        evolve(&mut touched, fact, event)?;
    }
    let mut rows = Rows::default();
    for tenant in touched.into_values() {
        rows.push([
            tenant.id.0.into(),
            tenant.slug.as_str().into(),
            tenant.name.as_str().into(),
            json(&tenant.settings),
            json(&tenant.standing),
            tenant.created_at.timestamp_micros().into(),
            tenant.revision.into(),
        ]);
    }
    let insert =
        "INSERT INTO tenants (tenant, slug, name, settings, standing, created_at, revision)";
    let update = "ON CONFLICT (tenant) DO UPDATE SET name = excluded.name,
        settings = excluded.settings, standing = excluded.standing, revision = excluded.revision";
    Ok(rows.insert(connection, insert, update).await?)
}

fn evolve(
    tenants: &mut BTreeMap<TenantId, Tenant>,
    fact: &Fact,
    event: &Event,
) -> Result<(), Unfit> {
    if let Event::Created { slug, name, settings, at } = event {
        let tenant = Tenant {
            id: fact.tenant,
            slug: slug.clone(),
            name: name.clone(),
            settings: settings.clone(),
            standing: Standing::Active,
            created_at: *at,
            revision: fact.revision,
        };
        tenants.insert(fact.tenant, tenant);
        return Ok(());
    }
    let unknown = || fact.unfit("the tenant was never created");
    let tenant = tenants.get_mut(&fact.tenant).ok_or_else(unknown)?;
    tenant.revision = fact.revision;
    match event {
        Event::Created { .. } => (),
        Event::Renamed { name } => tenant.name = name.clone(),
        Event::Configured { settings } => tenant.settings = settings.clone(),
        // The write side says who they are, to whoever may know.
        Event::ProviderAdded { .. } | Event::ProviderRemoved { .. } => (),
        Event::Suspended { reason } => tenant.standing = Standing::Suspended(*reason),
        Event::Reactivated {} => tenant.standing = Standing::Active,
        Event::Closed { .. } => tenant.standing = Standing::Closed,
    }
    Ok(())
}

/// A value as the JSON text that is stored of it.
fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_string(value).expect("what is stored so is plain data").into()
}

#[cfg(test)]
mod tests;
