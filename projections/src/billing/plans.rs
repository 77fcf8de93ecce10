//! Plans and their versions.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use domain::id::{PlanId, TenantId};
use domain::plan::{Event, Terms};
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
use crate::store::{self, Connection, Row, Sql, StoreError};

pub(super) const PLANS: &str = "CREATE TABLE plans (
    tenant UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT NOT NULL,
    retired BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
)";

pub(super) const PLAN_VERSIONS: &str = "CREATE TABLE plan_versions (
    tenant UUID NOT NULL,
    plan UUID NOT NULL,
    version BIGINT NOT NULL,
    terms TEXT NOT NULL,
    published_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, plan, version)
)";

/// Whose plans are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seller {
    /// The principal's own tenant.
    Itself,
    /// The operator of the installation, whose catalogue every tenant may read.
    Operator,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its identity; also its cursor.
    pub id: PlanId,
    /// The name in its newest version.
    pub name: String,
    /// Whether new subscriptions can be sold.
    pub retired: bool,
    /// Its versions, the newest first.
    pub versions: Vec<PlanVersion>,
    /// The stream's revision.
    pub revision: u64,
}

/// A version of a plan; it never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanVersion {
    /// Counts from 1.
    pub version: u32,
    /// What it says.
    pub terms: Terms,
    /// When it was published.
    pub published_at: DateTime<Utc>,
}

/// The plans of `seller` with these identities, in order, with all their versions.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find_many(
    models: &ReadModels,
    principal: &Principal,
    seller: Seller,
    ids: &[PlanId],
) -> Result<Vec<Option<Plan>>, ReadError> {
    let Some(tenant) = tenant_of(principal, seller)? else { return Ok(vec![None; ids.len()]) };
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = plans_of(tenant);
    sql.push(" AND id IN ").bind_list(ids.iter().map(|it| it.0));
    let found = fetch(models, principal, tenant, sql).await?;
    let found: BTreeMap<_, _> = found.into_iter().map(|it| (it.id, it)).collect();
    Ok(ids.iter().map(|it| found.get(it).cloned()).collect())
}

/// A page of the plans of `seller`, by identity.
///
/// # Errors
///
/// [`ReadError`].
pub async fn list(
    models: &ReadModels,
    principal: &Principal,
    seller: Seller,
    window: &Window<PlanId>,
) -> Result<Page<Plan, PlanId>, ReadError> {
    let Some(tenant) = tenant_of(principal, seller)? else { return Ok(Page::empty()) };
    let mut sql = plans_of(tenant);
    window.cut(&mut sql, &["id"], |it| vec![it.0.into()])?;
    let rows = fetch(models, principal, tenant, sql).await?;
    Ok(window.page(rows, |it| it.id))
}

/// How many plans `seller` has.
///
/// # Errors
///
/// [`ReadError`].
pub async fn count(
    models: &ReadModels,
    principal: &Principal,
    seller: Seller,
) -> Result<u64, ReadError> {
    let Some(tenant) = tenant_of(principal, seller)? else { return Ok(0) };
    let mut sql = Sql::new("SELECT count(*) FROM plans WHERE tenant = ");
    sql.bind(tenant.0);
    let scoped = Scoped { tenant: principal.tenant(), of: tenant, sql };
    models.count(Model::Billing, scoped).await
}

/// Whose plans the principal reads; none if it may read none.
fn tenant_of(principal: &Principal, seller: Seller) -> Result<Option<TenantId>, ReadError> {
    let own = scope::tenant(principal, Permission::PlanRead)?;
    Ok(own.map(|own| match seller {
        Seller::Itself => own,
        Seller::Operator => TenantId::SYSTEM,
    }))
}

fn plans_of(tenant: TenantId) -> Sql {
    let mut sql = Sql::new("SELECT id, name, retired, revision FROM plans WHERE tenant = ");
    sql.bind(tenant.0);
    sql
}

/// The plans of `sql` with their versions, all of `tenant`.
async fn fetch(
    models: &ReadModels,
    principal: &Principal,
    tenant: TenantId,
    sql: Sql,
) -> Result<Vec<Plan>, ReadError> {
    let fault = ReadError::fault(Model::Billing);
    // Whoever reads it, not whose it is: the operator's plans are read by everybody.
    let mut reader = models.reader_of(Model::Billing, principal.tenant(), tenant).await?;
    let mut snapshot = store::begin(&mut reader).await.map_err(fault)?;
    let rows = sql.fetch(&mut snapshot).await.map_err(fault)?;
    let plans: Result<Vec<_>, _> = rows.iter().map(read).collect();
    let mut plans = plans.map_err(fault)?;
    if plans.is_empty() {
        drop(snapshot);
        reader.finish();
        return Ok(plans);
    }
    let mut sql =
        Sql::new("SELECT plan, version, terms, published_at FROM plan_versions WHERE tenant = ");
    sql.bind(tenant.0).push(" AND plan IN ").bind_list(plans.iter().map(|it| it.id.0));
    sql.push(" ORDER BY plan, version DESC");
    let mut versions: BTreeMap<PlanId, Vec<PlanVersion>> = BTreeMap::new();
    let rows = sql.fetch(&mut snapshot).await.map_err(fault)?;
    drop(snapshot);
    reader.finish();
    for row in rows {
        let plan = PlanId(row.uuid(0).map_err(fault)?);
        versions.entry(plan).or_default().push(read_version(&row).map_err(fault)?);
    }
    for plan in &mut plans {
        plan.versions = versions.remove(&plan.id).unwrap_or_default();
    }
    Ok(plans)
}

fn read(row: &Row) -> Result<Plan, StoreError> {
    Ok(Plan {
        id: PlanId(row.uuid(0)?),
        name: row.text(1)?,
        retired: row.integer(2)? != 0,
        versions: Vec::new(),
        revision: row.count(3)?,
    })
}

fn read_version(row: &Row) -> Result<PlanVersion, StoreError> {
    Ok(PlanVersion { version: row.number(1)?, terms: row.json(2)?, published_at: row.time(3)? })
}

/// What a batch says of a plan: its newest name, and whether it is retired.
struct Touched {
    name: Option<String>,
    retired: i64,
    revision: u64,
}

pub(super) async fn apply(
    connection: &mut Connection,
    events: &[(&Fact, &Event)],
) -> Result<(), ApplyError> {
    let mut known = load(connection, events).await?;
    let mut versions = Rows::default();
    for (fact, event) in events {
        let id = key(fact)?;
        let plan = known.entry(id).or_insert(Touched { name: None, retired: 0, revision: 0 });
        plan.revision = fact.revision;
        match event {
            Event::VersionPublished { version, terms } => {
                plan.name = Some(terms.name.clone());
                versions.push([
                    id.0.0.into(),
                    id.1.0.into(),
                    (*version).into(),
                    json(terms),
                    fact.at.timestamp_micros().into(),
                ]);
            }
            Event::Retired {} if plan.name.is_none() => {
                return Err(fact.unfit("the plan was never published").into());
            }
            Event::Retired {} => plan.retired = 1,
        }
    }
    let mut plans = Rows::default();
    for ((tenant, id), it) in known {
        let Some(name) = it.name else { continue };
        let [name, retired, revision] = [name.into(), it.retired.into(), it.revision.into()];
        plans.push([tenant.0.into(), id.0.into(), name, retired, revision]);
    }
    let insert = "INSERT INTO plans (tenant, id, name, retired, revision)";
    let update = "ON CONFLICT (tenant, id) DO UPDATE SET name = excluded.name,
        retired = excluded.retired, revision = excluded.revision";
    plans.insert(connection, insert, update).await?;
    let insert = "INSERT INTO plan_versions (tenant, plan, version, terms, published_at)";
    Ok(versions.insert(connection, insert, "").await?)
}

async fn load(
    connection: &mut Connection,
    events: &[(&Fact, &Event)],
) -> Result<BTreeMap<(TenantId, PlanId), Touched>, ApplyError> {
    let mut keys = Rows::default();
    let mut seen = BTreeSet::new();
    for (fact, _) in events {
        let key = key(fact)?;
        if seen.insert(key) {
            keys.push([key.0.0.into(), key.1.0.into()]);
        }
    }
    let before = "SELECT tenant, id, name, retired, revision FROM plans";
    let mut known = BTreeMap::new();
    for row in keys.fetch(connection, before, ["tenant", "id"]).await? {
        let touched =
            Touched { name: Some(row.text(2)?), retired: row.integer(3)?, revision: row.count(4)? };
        known.insert((TenantId(row.uuid(0)?), PlanId(row.uuid(1)?)), touched);
    }
    Ok(known)
}

fn key(fact: &Fact) -> Result<(TenantId, PlanId), Unfit> {
    match fact.stream {
        Stream::Plan(id) => Ok((fact.tenant, id)),
        _ => Err(fact.unfit("it is not in the stream of a plan")),
    }
}
