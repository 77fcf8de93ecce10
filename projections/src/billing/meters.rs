//! Meters.

use std::collections::{BTreeMap, BTreeSet};

use domain::id::{MeterId, TenantId};
use domain::meter::{Aggregation, Event, MeterKey};
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

pub(super) const METERS: &str = "CREATE TABLE meters (
    tenant UUID NOT NULL,
    id UUID NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    unit TEXT NOT NULL,
    aggregation TEXT NOT NULL,
    archived BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
)";

pub(super) const METERS_BY_KEY: &str = "CREATE UNIQUE INDEX meters_by_key ON meters (tenant, key)";

/// Something that can be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Its identity.
    pub id: MeterId,
    /// Names it in usage and prices; also its cursor.
    pub key: MeterKey,
    /// What people call it.
    pub name: String,
    /// What one of it is called.
    pub unit: String,
    /// How records become one number.
    pub aggregation: Aggregation,
    /// Whether usage of it can be recorded.
    pub archived: bool,
    /// The stream's revision.
    pub revision: u64,
}

/// The meters with these keys, in order, in one query.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find_many(
    models: &ReadModels,
    principal: &Principal,
    keys: &[MeterKey],
) -> Result<Vec<Option<Meter>>, ReadError> {
    let Some(mut sql) = scoped(principal, SELECT)? else { return Ok(vec![None; keys.len()]) };
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    sql.push(" AND key IN ").bind_list(keys.iter().map(MeterKey::as_str));
    let found = fetch(models, sql).await?;
    let found: BTreeMap<_, _> = found.into_iter().map(|it| (it.key.clone(), it)).collect();
    Ok(keys.iter().map(|it| found.get(it).cloned()).collect())
}

/// A page of the meters, by key.
///
/// # Errors
///
/// [`ReadError`].
pub async fn list(
    models: &ReadModels,
    principal: &Principal,
    window: &Window<String>,
) -> Result<Page<Meter, String>, ReadError> {
    let Some(mut sql) = scoped(principal, SELECT)? else { return Ok(Page::empty()) };
    window.cut(&mut sql, &["key"], |it| vec![it.as_str().into()])?;
    let rows = fetch(models, sql).await?;
    Ok(window.page(rows, |it| it.key.as_str().to_owned()))
}

/// How many meters there are.
///
/// # Errors
///
/// [`ReadError`].
pub async fn count(models: &ReadModels, principal: &Principal) -> Result<u64, ReadError> {
    let Some(sql) = scoped(principal, "SELECT count(*) FROM meters")? else { return Ok(0) };
    models.count(Model::Billing, sql).await
}

const SELECT: &str =
    "SELECT id, key, name, unit, aggregation, archived, revision, tenant FROM meters";

/// `select`, limited to what the principal may see; none if that is nothing.
fn scoped(principal: &Principal, select: &str) -> Result<Option<Scoped>, ReadError> {
    scope::select(principal, Permission::MeterRead, select)
}

async fn fetch(models: &ReadModels, sql: Scoped) -> Result<Vec<Meter>, ReadError> {
    models.rows(Model::Billing, sql, read).await
}

fn read(row: &Row) -> Result<Meter, StoreError> {
    Ok(Meter {
        id: MeterId(row.uuid(0)?),
        key: row.parsed(1)?,
        name: row.text(2)?,
        unit: row.text(3)?,
        aggregation: row.json(4)?,
        archived: row.integer(5)? != 0,
        revision: row.count(6)?,
    })
}

type Key = (TenantId, MeterId);

pub(super) async fn apply(
    connection: &mut Connection,
    events: &[(&Fact, &Event)],
) -> Result<(), ApplyError> {
    let mut keys = Rows::default();
    let mut seen = BTreeSet::new();
    for (fact, _) in events {
        let key = key(fact)?;
        if seen.insert(key) {
            keys.push([key.0.0.into(), key.1.0.into()]);
        }
    }
    let mut touched = BTreeMap::new();
    for row in keys.fetch(connection, SELECT, ["tenant", "id"]).await? {
        let meter = read(&row)?;
        touched.insert((TenantId(row.uuid(7)?), meter.id), meter);
    }
    for (fact, event) in events {
        evolve(&mut touched, fact, event)?;
    }
    let mut rows = Rows::default();
    for ((tenant, id), meter) in touched {
        rows.push([
            tenant.0.into(),
            id.0.into(),
            meter.key.as_str().into(),
            meter.name.into(),
            meter.unit.into(),
            json(&meter.aggregation),
            i64::from(meter.archived).into(),
            meter.revision.into(),
        ]);
    }
    let insert =
        "INSERT INTO meters (tenant, id, key, name, unit, aggregation, archived, revision)";
    let update = "ON CONFLICT (tenant, id) DO UPDATE SET archived = excluded.archived,
        revision = excluded.revision";
    Ok(rows.insert(connection, insert, update).await?)
}

fn key(fact: &Fact) -> Result<Key, Unfit> {
    match fact.stream {
        Stream::Meter(id) => Ok((fact.tenant, id)),
        _ => Err(fact.unfit("it is not in the stream of a meter")),
    }
}

fn evolve(touched: &mut BTreeMap<Key, Meter>, fact: &Fact, event: &Event) -> Result<(), Unfit> {
    let id = key(fact)?;
    match event {
        Event::Defined { key, name, unit, aggregation } => {
            let meter = Meter {
                id: id.1,
                key: key.clone(),
                name: name.clone(),
                unit: unit.clone(),
                aggregation: aggregation.clone(),
                archived: false,
                revision: fact.revision,
            };
            touched.insert(id, meter);
        }
        Event::Archived {} => {
            let unknown = || fact.unfit("the meter was never defined");
            let meter = touched.get_mut(&id).ok_or_else(unknown)?;
            meter.archived = true;
            meter.revision = fact.revision;
        }
    }
    Ok(())
}
