//! The audit trail, searchable: one row per event, without its body.
//!
//! Bodies stay in the log; a row has the position to read them from.

mod causal;

use chrono::{DateTime, Utc};
use domain::id::{ActorId, CommandId, EventId};
use domain::{Permission, Principal, Stream};
use event_log::{Attribute, Partition, Position};
use uuid::Uuid;

use crate::engine::fact::{Fact, Unfit};
use crate::engine::fold::{ApplyError, Schema};
use crate::error::ReadError;
use crate::model::Model;
use crate::page::{Direction, Page, Window};
use crate::read_models::ReadModels;
use crate::scope::{self, Scoped};
use crate::store::bulk::Rows;
use crate::store::{Connection, Row, Sql, StoreError, Value};

pub use self::causal::{CAUSED_MAX, CausalTree, Caused, STEPS_MAX, tree};

/// Sequences and recorded times rise together within a tenant, as do the ids of events and
/// commands nearly, so most of the indexes grow at their end.
pub(crate) const SCHEMA: Schema = Schema {
    version: 3,
    tables: &["CREATE TABLE events (
            tenant UUID NOT NULL,
            sequence BIGINT NOT NULL,
            id UUID NOT NULL,
            partition BIGINT NOT NULL,
            position BIGINT NOT NULL,
            name TEXT NOT NULL,
            stream TEXT NOT NULL,
            revision BIGINT NOT NULL,
            at BIGINT NOT NULL,
            actor UUID NOT NULL,
            command UUID NOT NULL,
            batch_position TEXT NOT NULL,
            correlation UUID,
            causation TEXT,
            PRIMARY KEY (tenant, sequence)
        ) /* clustered */"],
    indexes: &[
        "CREATE INDEX IF NOT EXISTS events_by_id ON events (tenant, id)",
        "CREATE INDEX IF NOT EXISTS events_by_time ON events (tenant, at, sequence)",
        "CREATE INDEX IF NOT EXISTS events_by_name ON events (tenant, name, sequence)",
        "CREATE INDEX IF NOT EXISTS events_by_actor ON events (tenant, actor, sequence)",
        "CREATE INDEX IF NOT EXISTS events_by_stream ON events (tenant, stream, sequence)",
        "CREATE INDEX IF NOT EXISTS events_by_command ON events (tenant, command, sequence)",
        "CREATE INDEX IF NOT EXISTS events_by_correlation ON events (tenant, correlation, sequence)
            WHERE correlation IS NOT NULL",
        "CREATE INDEX IF NOT EXISTS events_by_causation ON events (tenant, causation, sequence)
            WHERE causation >= 'evt_'",
    ],
};

const COLUMNS: &str = "id, sequence, partition, position, name, stream, revision, at, actor, \
                       command, batch_position, correlation, causation";

pub(crate) async fn apply(connection: &mut Connection, facts: &[Fact]) -> Result<(), ApplyError> {
    let mut rows = Rows::default();
    for fact in facts {
        rows.push(values(fact)?);
    }
    let insert = format!("INSERT INTO events (tenant, {COLUMNS})");
    Ok(rows.insert(connection, &insert, "").await?)
}

fn values(fact: &Fact) -> Result<[Value; 14], Unfit> {
    let id: EventId = fact.parsed(Attribute::Id)?;
    let command: CommandId = fact.command()?;
    let optional = |attribute| Some(fact.attribute(attribute)).filter(|it| !it.is_empty());
    let correlation = optional(Attribute::CorrelationId).map(Uuid::parse_str).transpose();
    let correlation = correlation.map_err(|it| fact.unfit(format!("its correlation: {it}")))?;
    Ok([
        fact.tenant.0.into(),
        id.0.into(),
        fact.sequence.into(),
        fact.partition.0.into(),
        fact.position.0.into(),
        fact.name().into(),
        fact.attribute(Attribute::Subject).into(),
        fact.revision.into(),
        fact.at.timestamp_micros().into(),
        fact.actor.0.into(),
        command.0.into(),
        fact.attribute(Attribute::BatchPos).into(),
        correlation.into(),
        optional(Attribute::CausationId).map(str::to_owned).into(),
    ])
}

/// One event of the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its identity.
    pub id: EventId,
    /// Its place in the tenant's history, gapless from 1; also its cursor.
    pub sequence: u64,
    /// The partition that holds it.
    pub partition: Partition,
    /// Its place there.
    pub position: Position,
    /// What happened, without the common prefix: `<noun>.<fact>.v<N>`.
    pub name: String,
    /// The stream it belongs to.
    pub stream: Stream,
    /// Its place in that stream.
    pub revision: u64,
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub actor: ActorId,
    /// The command that caused it.
    pub command: CommandId,
    /// Its place among the events of that command, `n/m`.
    pub batch_position: String,
    /// The conversation it belongs to.
    pub correlation: Option<Uuid>,
    /// What led to it, as recorded: the event that a reaction followed, or else the command itself.
    pub causation: Option<String>,
}

/// The most types one filter may name: 100, more than there are.
pub const NAMES_MAX: usize = 100;

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Done by this actor.
    pub actor: Option<ActorId>,
    /// Of these types, each whole (`entity.updated.v1`) or the beginning of one up to a dot
    /// (`entity`); of all if empty. At most [`NAMES_MAX`].
    pub names: Vec<String>,
    /// Of this stream.
    pub stream: Option<Stream>,
    /// Recorded at or after this instant.
    pub from: Option<DateTime<Utc>>,
    /// Recorded before this instant.
    pub to: Option<DateTime<Utc>>,
    /// Of this conversation.
    pub correlation: Option<Uuid>,
    /// Caused by this command.
    pub command: Option<CommandId>,
    /// Having followed from any of these events, by a reaction; from any or none if empty.
    pub causes: Vec<EventId>,
}

/// The events with these identities, in order, in one query.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find_many(
    models: &ReadModels,
    principal: &Principal,
    ids: &[EventId],
) -> Result<Vec<Option<AuditRow>>, ReadError> {
    let selected = scoped(principal, Read::Rows, &AuditFilter::default())?;
    scope::find_many(selected, ids, |it| it.0, |sql| fetch(models, sql), |it| it.id).await
}

/// A page of the events of `filter`, newest first.
///
/// # Errors
///
/// [`ReadError`].
pub async fn list(
    models: &ReadModels,
    principal: &Principal,
    filter: &AuditFilter,
    window: &Window<u64>,
) -> Result<Page<AuditRow, u64>, ReadError> {
    let Some(mut sql) = scoped(principal, Read::Rows, filter)? else { return Ok(Page::empty()) };
    let key = |it: &u64| vec![(*it).into()];
    window.cut_ordered(&mut sql, &["sequence"], Direction::Descending, key)?;
    let rows = fetch(models, sql).await?;
    Ok(window.page(rows, |it| it.sequence))
}

/// How many events `filter` has.
///
/// # Errors
///
/// [`ReadError`].
pub async fn count(
    models: &ReadModels,
    principal: &Principal,
    filter: &AuditFilter,
) -> Result<u64, ReadError> {
    let Some(sql) = scoped(principal, Read::Count, filter)? else { return Ok(0) };
    models.count(Model::Audit, sql).await
}

/// What is read of the events.
#[derive(Clone, Copy, Debug)]
enum Read {
    Rows,
    Count,
}

/// A query of what the principal may see and `filter` asks for; none if that is nothing.
fn scoped(
    principal: &Principal,
    read: Read,
    filter: &AuditFilter,
) -> Result<Option<Scoped>, ReadError> {
    let select = match read {
        Read::Rows => format!("SELECT {COLUMNS} FROM events"),
        Read::Count => "SELECT count(*) FROM events".to_owned(),
    };
    let Some(mut sql) = scope::select(principal, Permission::AuditRead, &select)? else {
        return Ok(None);
    };
    ReadError::if_more("types of events", filter.names.len(), NAMES_MAX)?;
    narrow(&mut sql, filter);
    Ok(Some(sql))
}

fn narrow(sql: &mut Sql, filter: &AuditFilter) {
    if let Some(actor) = filter.actor {
        sql.push(" AND actor = ").bind(actor.0);
    }
    if let Some(stream) = filter.stream {
        sql.push(" AND stream = ").bind(stream.to_string());
    }
    if let Some(from) = filter.from {
        sql.push(" AND at >= ").bind(from.timestamp_micros());
    }
    if let Some(to) = filter.to {
        sql.push(" AND at < ").bind(to.timestamp_micros());
    }
    if let Some(correlation) = filter.correlation {
        sql.push(" AND correlation = ").bind(correlation);
    }
    if let Some(command) = filter.command {
        sql.push(" AND command = ").bind(command.0);
    }
    if !filter.causes.is_empty() {
        let causes = filter.causes.iter().map(ToString::to_string);
        // Most events have the command that caused them there, which is not in the index.
        sql.push(" AND causation >= 'evt_' AND causation IN ").bind_list(causes);
    }
    for (index, name) in filter.names.iter().enumerate() {
        // What begins with `entity.` lies between `entity.` and `entity/`: `/` follows `.`.
        let whole = sql.push(if index == 0 { " AND (" } else { " OR " });
        whole.push("name = ").bind(name.as_str());
        whole.push(" OR (name > ").bind(format!("{name}."));
        whole.push(" AND name < ").bind(format!("{name}/")).push(")");
    }
    sql.push(if filter.names.is_empty() { "" } else { ")" });
}

async fn fetch(models: &ReadModels, sql: Scoped) -> Result<Vec<AuditRow>, ReadError> {
    models.rows(Model::Audit, sql, read).await
}

fn read(row: &Row) -> Result<AuditRow, StoreError> {
    Ok(AuditRow {
        id: EventId(row.uuid(0)?),
        sequence: row.count(1)?,
        partition: Partition(row.number(2)?),
        position: Position(row.count(3)?),
        name: row.text(4)?,
        stream: row.parsed(5)?,
        revision: row.count(6)?,
        at: row.time(7)?,
        actor: ActorId(row.uuid(8)?),
        command: CommandId(row.uuid(9)?),
        batch_position: row.text(10)?,
        correlation: row.optional_uuid(11)?,
        causation: row.optional_text(12)?,
    })
}

#[cfg(test)]
mod tests;
