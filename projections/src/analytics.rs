//! How much a tenant's portal is used, and by how many: one row per day.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate};
use domain::id::{ActorId, CommandId, TenantId};
use domain::{Permission, Principal};

use crate::engine::fact::{Fact, Want};
use crate::engine::fold::{ApplyError, Schema};
use crate::error::ReadError;
use crate::model::Model;
use crate::read_models::ReadModels;
use crate::scope;
use crate::store::bulk::Rows;
use crate::store::{self, Connection, Row, Sql, StoreError};

/// Days count from 1970-01-01.
pub(crate) const SCHEMA: Schema = Schema {
    version: if cfg!(feature = "next") { 3 } else { 2 },
    tables: &[
        "CREATE TABLE days (
            tenant UUID NOT NULL,
            day BIGINT NOT NULL,
            registered BIGINT NOT NULL,
            updated BIGINT NOT NULL,
            deregistered BIGINT NOT NULL,
            commands BIGINT NOT NULL,
            PRIMARY KEY (tenant, day)
        ) /* clustered */",
        "CREATE TABLE day_actors (
            tenant UUID NOT NULL,
            day BIGINT NOT NULL,
            actor UUID NOT NULL,
            PRIMARY KEY (tenant, day, actor)
        ) /* clustered */",
        "CREATE TABLE day_nouns (
            tenant UUID NOT NULL,
            day BIGINT NOT NULL,
            noun TEXT NOT NULL,
            commands BIGINT NOT NULL,
            PRIMARY KEY (tenant, day, noun)
        ) /* clustered */",
        #[cfg(feature = "next")]
        "CREATE TABLE rehearsed (tenant UUID NOT NULL PRIMARY KEY)",
    ],
    indexes: &[],
};

/// The most days one answer covers: 1,000.
const DAYS_MAX: i64 = 1_000;

/// One day of a tenant, in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// Which.
    pub date: NaiveDate,
    /// How many entities were in the catalog when it ended (or now).
    pub entities: u64,
    /// How many were registered.
    pub registered: u64,
    /// How many updates were made.
    pub updated: u64,
    /// How many were deregistered.
    pub deregistered: u64,
    /// How many different people and machines changed something. Callboard itself is not one.
    pub active_actors: u64,
    /// How many commands changed something.
    pub commands: u64,
    /// The same by the noun that changed, sorted by noun. A command counts once per noun.
    pub commands_by_noun: Vec<(String, u64)>,
}

/// The days from `from` to `to`, both inclusive, on which something happened.
///
/// # Errors
///
/// [`ReadError`]. A range of more than 1,000 days is refused.
pub async fn days(
    models: &ReadModels,
    principal: &Principal,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<Day>, ReadError> {
    let length = (to - from).num_days() + 1;
    if !(1..=DAYS_MAX).contains(&length) {
        let message = format!("expected a range of 1 to {DAYS_MAX} days, got {length}");
        return Err(ReadError::Invalid(message));
    }
    let Some(tenant) = scope::tenant(principal, Permission::AnalyticsRead)? else {
        return Ok(Vec::new());
    };
    let fault = ReadError::fault(Model::Analytics);
    let mut reader = models.reader(Model::Analytics, tenant).await?;
    let mut snapshot = store::begin(&mut reader).await.map_err(fault)?;
    let days = read_days(&mut snapshot, tenant, number_of(from), number_of(to)).await;
    let days = days.map_err(fault)?;
    drop(snapshot);
    reader.finish();
    Ok(days)
}

async fn read_days(
    snapshot: &mut Connection,
    tenant: TenantId,
    from: i64,
    to: i64,
) -> Result<Vec<Day>, StoreError> {
    let mut before = Sql::new(
        "SELECT CAST(coalesce(sum(registered - deregistered), 0) AS BIGINT) FROM days WHERE tenant = ",
    );
    before.bind(tenant.0).push(" AND day < ").bind(from);
    let mut entities = match before.fetch_optional(snapshot).await? {
        Some(row) => row.integer(0)?,
        None => 0,
    };
    let mut nouns = commands_by_noun(snapshot, tenant, from, to).await?;
    let mut sql = Sql::new(
        "SELECT day, registered, updated, deregistered, commands, (
            SELECT count(*) FROM day_actors
            WHERE day_actors.tenant = days.tenant AND day_actors.day = days.day
        ) FROM days WHERE tenant = ",
    );
    sql.bind(tenant.0).push(" AND day >= ").bind(from).push(" AND day <= ").bind(to);
    sql.push(" ORDER BY day");
    let mut all = Vec::new();
    for row in sql.fetch(snapshot).await? {
        let number = row.integer(0)?;
        let mut day = read(&row, nouns.remove(&number).unwrap_or_default())?;
        entities += row.integer(1)? - row.integer(3)?;
        day.entities = entities.try_into().unwrap_or(0);
        all.push(day);
    }
    Ok(all)
}

fn read(row: &Row, commands_by_noun: Vec<(String, u64)>) -> Result<Day, StoreError> {
    let date = DateTime::from_timestamp(row.integer(0)?.saturating_mul(SECONDS_PER_DAY), 0);
    let missing = StoreError::Value { column: 0, expected: "a day", source: None };
    Ok(Day {
        date: date.ok_or(missing)?.date_naive(),
        entities: 0,
        registered: row.count(1)?,
        updated: row.count(2)?,
        deregistered: row.count(3)?,
        active_actors: row.count(5)?,
        commands: row.count(4)?,
        commands_by_noun,
    })
}

async fn commands_by_noun(
    snapshot: &mut Connection,
    tenant: TenantId,
    from: i64,
    to: i64,
) -> Result<BTreeMap<i64, Vec<(String, u64)>>, StoreError> {
    let mut sql = Sql::new("SELECT day, noun, commands FROM day_nouns WHERE tenant = ");
    sql.bind(tenant.0).push(" AND day >= ").bind(from).push(" AND day <= ").bind(to);
    sql.push(" ORDER BY day, noun");
    let mut nouns: BTreeMap<i64, Vec<(String, u64)>> = BTreeMap::new();
    for row in sql.fetch(snapshot).await? {
        nouns.entry(row.integer(0)?).or_default().push((row.text(1)?, row.count(2)?));
    }
    Ok(nouns)
}

fn number_of(date: NaiveDate) -> i64 {
    date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp().div_euclid(SECONDS_PER_DAY)
}

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// What it needs to know of events about `noun`.
pub(crate) fn wants(noun: &str) -> Want {
    match noun {
        // Nothing changed.
        "request" => Want::Nothing,
        _ => Want::Header,
    }
}

/// What one batch adds.
#[derive(Default)]
struct Added {
    days: BTreeMap<(TenantId, i64), Counts>,
    actors: BTreeSet<(TenantId, i64, ActorId)>,
    nouns: BTreeMap<(TenantId, i64, String), u64>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    registered: u64,
    updated: u64,
    deregistered: u64,
    commands: u64,
}

pub(crate) async fn apply(connection: &mut Connection, facts: &[Fact]) -> Result<(), ApplyError> {
    let mut added = Added::default();
    // The events of a command stand together, and a batch never has a part of them.
    let mut command: Option<CommandId> = None;
    let mut nouns: Vec<&str> = Vec::new();
    for fact in facts {
        let this = fact.command()?;
        let day = fact.at.timestamp().div_euclid(SECONDS_PER_DAY);
        let counts = added.days.entry((fact.tenant, day)).or_default();
        match fact.name() {
            "entity.registered.v1" => counts.registered += 1,
            "entity.updated.v1" => counts.updated += 1,
            "entity.deregistered.v1" => counts.deregistered += 1,
            _ => (),
        }
        if command != Some(this) {
            command = Some(this);
            nouns.clear();
            counts.commands += 1;
        }
        if !nouns.contains(&fact.noun()) {
            nouns.push(fact.noun());
            *added.nouns.entry((fact.tenant, day, fact.noun().to_owned())).or_default() += 1;
        }
        if fact.actor != ActorId::SYSTEM {
            added.actors.insert((fact.tenant, day, fact.actor));
        }
    }
    Ok(added.write(connection).await?)
}

impl Added {
    async fn write(self, connection: &mut Connection) -> Result<(), StoreError> {
        let mut days = Rows::default();
        for ((tenant, day), it) in self.days {
            days.push([
                tenant.0.into(),
                day.into(),
                it.registered.into(),
                it.updated.into(),
                it.deregistered.into(),
                it.commands.into(),
            ]);
        }
        let insert = "INSERT INTO days
            (tenant, day, registered, updated, deregistered, commands)";
        let add = "ON CONFLICT (tenant, day) DO UPDATE SET
            registered = days.registered + excluded.registered,
            updated = days.updated + excluded.updated,
            deregistered = days.deregistered + excluded.deregistered,
            commands = days.commands + excluded.commands";
        days.insert(connection, insert, add).await?;

        let mut actors = Rows::default();
        for (tenant, day, actor) in self.actors {
            actors.push([tenant.0.into(), day.into(), actor.0.into()]);
        }
        let insert = "INSERT INTO day_actors (tenant, day, actor)";
        actors.insert(connection, insert, "ON CONFLICT DO NOTHING").await?;

        let mut nouns = Rows::default();
        for ((tenant, day, noun), commands) in self.nouns {
            nouns.push([tenant.0.into(), day.into(), noun.into(), commands.into()]);
        }
        let insert = "INSERT INTO day_nouns (tenant, day, noun, commands)";
        let add = "ON CONFLICT (tenant, day, noun) DO UPDATE SET
            commands = day_nouns.commands + excluded.commands";
        nouns.insert(connection, insert, add).await
    }
}

#[cfg(test)]
mod tests;
