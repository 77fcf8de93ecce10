//! The directory's list of tenants, for operators.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use domain::directory::{Event, Host, Slug};
use domain::id::TenantId;
use domain::tenant::Name;
use domain::{Permission, Principal};

use super::{Standing, json};
use crate::engine::fact::{Fact, Unfit};
use crate::engine::fold::ApplyError;
use crate::error::ReadError;
use crate::model::Model;
use crate::page::{Page, Window};
use crate::read_models::ReadModels;
use crate::scope::{self, Scoped};
use crate::store::bulk::Rows;
use crate::store::{Connection, Row, StoreError};

/// The system tenant is part of the key like any other, although only it has a directory.
pub(super) const REGISTRATIONS: &str = "CREATE TABLE registrations (
    tenant UUID NOT NULL,
    registered UUID NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    partition BIGINT NOT NULL,
    hosts TEXT NOT NULL,
    standing TEXT NOT NULL,
    registered_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, registered)
)";

pub(super) const REGISTRATIONS_BY_SLUG: &str =
    "CREATE UNIQUE INDEX registrations_by_slug ON registrations (tenant, slug)";

/// A tenant as the directory lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its identity.
    pub tenant: TenantId,
    /// Its present slug; also its cursor.
    pub slug: Slug,
    /// The display name it was registered with.
    pub name: Name,
    /// The partition that holds it.
    pub partition: u32,
    /// The host names that select it, sorted.
    pub hosts: Vec<Host>,
    /// What the operator wants it to be.
    pub standing: Standing,
    /// When it was registered.
    pub registered_at: DateTime<Utc>,
}

/// The directory's entries of these tenants, in order, in one query. For operators.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find_registrations(
    models: &ReadModels,
    principal: &Principal,
    tenants: &[TenantId],
) -> Result<Vec<Option<Registration>>, ReadError> {
    let Some(mut sql) = scoped(principal, SELECT)? else { return Ok(vec![None; tenants.len()]) };
    if tenants.is_empty() {
        return Ok(Vec::new());
    }
    sql.push(" AND registered IN ").bind_list(tenants.iter().map(|it| it.0));
    let found = fetch(models, sql).await?;
    let found: BTreeMap<_, _> = found.into_iter().map(|it| (it.tenant, it)).collect();
    Ok(tenants.iter().map(|it| found.get(it).cloned()).collect())
}

/// The directory's entry of the tenant with this present slug. For operators.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find_registration_by_slug(
    models: &ReadModels,
    principal: &Principal,
    slug: &Slug,
) -> Result<Option<Registration>, ReadError> {
    let Some(mut sql) = scoped(principal, SELECT)? else { return Ok(None) };
    sql.push(" AND slug = ").bind(slug.as_str());
    Ok(fetch(models, sql).await?.pop())
}

/// A page of the directory, by slug. For operators.
///
/// # Errors
///
/// [`ReadError`].
pub async fn list_registrations(
    models: &ReadModels,
    principal: &Principal,
    window: &Window<String>,
) -> Result<Page<Registration, String>, ReadError> {
    let Some(mut sql) = scoped(principal, SELECT)? else { return Ok(Page::empty()) };
    window.cut(&mut sql, &["slug"], |it| vec![it.as_str().into()])?;
    let rows = fetch(models, sql).await?;
    Ok(window.page(rows, |it| it.slug.as_str().to_owned()))
}

/// How many tenants the directory has. For operators.
///
/// # Errors
///
/// [`ReadError`].
pub async fn count_registrations(
    models: &ReadModels,
    principal: &Principal,
) -> Result<u64, ReadError> {
    let count = "SELECT count(*) FROM registrations";
    let Some(sql) = scoped(principal, count)? else { return Ok(0) };
    models.count(Model::Organisation, sql).await
}

const SELECT: &str = "SELECT registered, slug, name, partition, hosts, standing, registered_at \
                      FROM registrations";

/// `select`, limited to what the principal may see; none if that is nothing.
fn scoped(principal: &Principal, select: &str) -> Result<Option<Scoped>, ReadError> {
    scope::select(principal, Permission::DirectoryRead, select)
}

async fn fetch(models: &ReadModels, sql: Scoped) -> Result<Vec<Registration>, ReadError> {
    models.rows(Model::Organisation, sql, read).await
}

fn read(row: &Row) -> Result<Registration, StoreError> {
    Ok(Registration {
        tenant: TenantId(row.uuid(0)?),
        slug: row.parsed(1)?,
        name: row.parsed(2)?,
        partition: row.number(3)?,
        hosts: row.json(4)?,
        standing: row.json(5)?,
        registered_at: row.time(6)?,
    })
}

pub(super) async fn apply(
    connection: &mut Connection,
    events: &[(&Fact, &Event)],
) -> Result<(), ApplyError> {
    let mut keys = Rows::default();
    for tenant in events.iter().filter_map(|it| about(it.1)).collect::<BTreeSet<_>>() {
        keys.push([TenantId::SYSTEM.0.into(), tenant.0.into()]);
    }
    let mut touched = BTreeMap::new();
    for row in keys.fetch(connection, SELECT, ["tenant", "registered"]).await? {
        let registration = read(&row)?;
        touched.insert(registration.tenant, registration);
    }
    for (fact, event) in events {
        evolve(&mut touched, fact, event)?;
    }
    let mut rows = Rows::default();
    for it in touched.into_values() {
        rows.push([
            TenantId::SYSTEM.0.into(),
            it.tenant.0.into(),
            it.slug.as_str().into(),
            it.name.as_str().into(),
            it.partition.into(),
            json(&it.hosts),
            json(&it.standing),
            it.registered_at.timestamp_micros().into(),
        ]);
    }
    let insert = "INSERT INTO registrations
        (tenant, registered, slug, name, partition, hosts, standing, registered_at)";
    let update = "ON CONFLICT (tenant, registered) DO UPDATE SET slug = excluded.slug,
        hosts = excluded.hosts, standing = excluded.standing";
    Ok(rows.insert(connection, insert, update).await?)
}

/// The tenant an event is about, if it is about one.
fn about(event: &Event) -> Option<TenantId> {
    Some(match event {
        Event::TenantRegistered { tenant, .. }
        | Event::SlugChanged { tenant, .. }
        | Event::HostAdded { tenant, .. }
        | Event::HostRemoved { tenant, .. }
        | Event::TenantSuspended { tenant, .. }
        | Event::TenantReactivated { tenant }
        | Event::TenantClosed { tenant } => *tenant,
        Event::LevelRaised { .. } => return None,
    })
}

fn evolve(
    registrations: &mut BTreeMap<TenantId, Registration>,
    fact: &Fact,
    event: &Event,
) -> Result<(), Unfit> {
    if let Event::TenantRegistered { tenant, slug, name, partition, owner: _, at } = event {
        let registration = Registration {
            tenant: *tenant,
            slug: slug.clone(),
            name: name.clone(),
            partition: *partition,
            hosts: Vec::new(),
            standing: Standing::Active,
            registered_at: *at,
        };
        registrations.insert(*tenant, registration);
        return Ok(());
    }
    let Some(tenant) = about(event) else { return Ok(()) };
    let unknown = || fact.unfit(format!("{tenant} was never registered"));
    let registration = registrations.get_mut(&tenant).ok_or_else(unknown)?;
    match event {
        Event::TenantRegistered { .. } | Event::LevelRaised { .. } => (),
        Event::SlugChanged { slug, .. } => registration.slug = slug.clone(),
        Event::HostAdded { host, .. } => {
            registration.hosts.push(host.clone());
            registration.hosts.sort();
            registration.hosts.dedup();
        }
        Event::HostRemoved { host, .. } => registration.hosts.retain(|it| it != host),
        Event::TenantSuspended { reason, .. } => {
            registration.standing = Standing::Suspended(*reason);
        }
        Event::TenantReactivated { .. } => registration.standing = Standing::Active,
        Event::TenantClosed { .. } => registration.standing = Standing::Closed,
    }
    Ok(())
}
