//! Usage: totals and series that answer the same bytes for the same question, for ever.
//!
//! Every answer is cut at one tenant sequence S and says so. What it says is a function of the
//! log up to S alone.

pub mod entities;
mod writer;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use domain::id::{CustomerId, TenantId};
use domain::meter::MeterKey;
use domain::{Permission, Principal};
use rust_decimal::Decimal;

use super::exact::{self, Digest};
use crate::error::{Delay, NotYetVisible, RETRY_AFTER, ReadError};
use crate::model::Model;
use crate::read_models::ReadModels;
use crate::scope;
use crate::store::{self, Connection, Row, Sql, StoreError};

pub(super) use entities::USAGE_ENTITY_HOURS;
pub use entities::{EntityUsage, EntityUsageQuery};
pub(super) use writer::apply;

/// One row per event and what it says of one meter, one customer and one hour. Hours count
/// from 1970. What is known of the entries is one text (see [`exact`]): nothing asks the database
/// about its parts, and a value that is bound costs more than a few bytes of it.
pub(super) const USAGE_INDEX: &str = "CREATE TABLE usage_index (
    tenant UUID NOT NULL,
    customer UUID NOT NULL,
    meter TEXT NOT NULL,
    hour BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    position BIGINT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (tenant, customer, meter, hour, sequence)
) /* clustered */";

/// The same without the events: everything that was applied so far.
pub(super) const USAGE_HOURS: &str = "CREATE TABLE usage_hours (
    tenant UUID NOT NULL,
    customer UUID NOT NULL,
    meter TEXT NOT NULL,
    hour BIGINT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (tenant, customer, meter, hour)
) /* clustered */";

/// The first event of each minute in which a tenant had one. Minutes count from 1970.
pub(super) const USAGE_CLOCK: &str = "CREATE TABLE usage_clock (
    tenant UUID NOT NULL,
    sequence BIGINT NOT NULL,
    minute BIGINT NOT NULL,
    PRIMARY KEY (tenant, sequence)
) /* clustered */";

/// The last event of each tenant, of whatever kind.
pub(super) const USAGE_APPLIED: &str = "CREATE TABLE usage_applied (
    tenant UUID NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL,
    at BIGINT NOT NULL
)";

const MICROS_PER_MINUTE: i64 = 60 * 1_000_000;
const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
const HOURS_PER_DAY: i64 = 24;

/// The most customers one query may name: 1,000.
pub const CUSTOMERS_MAX: usize = 1_000;

/// The most meters one query may name: 1,000.
pub const METERS_MAX: usize = 1_000;

/// The most spans of time one report may have, over all its customers and meters: 10,000, a year
/// of hours and some. A total is one span.
pub const SPANS_MAX: usize = 10_000;

/// Which usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageQuery {
    /// Of these customers, at most [`CUSTOMERS_MAX`]; of all if empty.
    pub customers: Vec<CustomerId>,
    /// Of these meters, at most [`METERS_MAX`]; of all if empty.
    pub meters: Vec<MeterKey>,
    /// Used at or after this instant, which must be the beginning of an hour in UTC.
    pub from: DateTime<Utc>,
    /// Used before this instant, which must be the beginning of an hour in UTC.
    pub to: DateTime<Utc>,
    /// As recorded up to and including this sequence; the newest applied if none.
    pub at_sequence: Option<u64>,
}

/// An answer with the state it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageReport<T> {
    /// The tenant sequence it was cut at. Asking again with it gives the same answer.
    pub sequence: u64,
    /// Everything recorded before this instant is in the answer, whatever was used when; none
    /// before the tenant's first event. A beginning of a minute in UTC; it moves with the
    /// tenant's own events.
    pub complete_through: Option<DateTime<Utc>>,
    /// The answer, sorted by customer and meter.
    pub rows: Vec<T>,
}

/// The usage of one meter by one customer. Exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageTotal {
    /// Who used it.
    pub customer: CustomerId,
    /// What was used.
    pub meter: MeterKey,
    /// How many entries.
    pub count: u64,
    /// The sum of their values, a plain decimal number.
    pub sum: String,
    /// The smallest value.
    pub min: Decimal,
    /// The largest value.
    pub max: Decimal,
    /// The value with the latest time; of several, the one recorded last.
    pub latest: Decimal,
}

/// The usage of one meter by one customer over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageSeries {
    /// Who used it.
    pub customer: CustomerId,
    /// What was used.
    pub meter: MeterKey,
    /// The spans with usage, in order.
    pub buckets: Vec<UsageBucket>,
}

/// The usage of one span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageBucket {
    /// The first instant of the span.
    pub start: DateTime<Utc>,
    /// How many entries.
    pub count: u64,
    /// The sum of their values, a plain decimal number.
    pub sum: String,
    /// The smallest value.
    pub min: Decimal,
    /// The largest value.
    pub max: Decimal,
    /// The value with the latest time.
    pub latest: Decimal,
}

impl UsageBucket {
    fn of(start: DateTime<Utc>, digest: Digest) -> Self {
        let Digest { count, sum, min, max, latest, .. } = digest;
        Self { start, count, sum: sum.to_string(), min, max, latest }
    }

    /// None if no calendar has the hour.
    fn of_hour(hour: i64, digest: Digest) -> Option<Self> {
        let start = DateTime::from_timestamp_micros(hour.checked_mul(MICROS_PER_HOUR)?)?;
        Some(Self::of(start, digest))
    }
}

/// How long the spans of a series are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// An hour.
    Hour,
    /// A day in UTC.
    Day,
}

impl Step {
    /// The first hour of the span that `hour` is in.
    fn first_hour(self, hour: i64) -> i64 {
        match self {
            Self::Hour => hour,
            Self::Day => hour.div_euclid(HOURS_PER_DAY) * HOURS_PER_DAY,
        }
    }
}

/// The totals of `query`.
///
/// # Errors
///
/// [`ReadError::Invalid`] if the range is empty or not of whole hours, more than
/// [`CUSTOMERS_MAX`] customers or [`METERS_MAX`] meters are named, or the report would have more
/// than [`SPANS_MAX`] spans;
/// [`ReadError::NotYetVisible`] if `at_sequence` has not been applied here.
pub async fn totals(
    models: &ReadModels,
    principal: &Principal,
    query: &UsageQuery,
) -> Result<UsageReport<UsageTotal>, ReadError> {
    let report = fold(models, principal, query, |_| 0).await?;
    Ok(report.map(|((customer, meter), spans)| {
        let it = spans.into_values().next()?;
        let Digest { count, min, max, latest, .. } = it;
        let sum = it.sum.to_string();
        Some(UsageTotal { customer, meter, count, sum, min, max, latest })
    }))
}

/// The series of `query`.
///
/// # Errors
///
/// As for [`totals`].
pub async fn series(
    models: &ReadModels,
    principal: &Principal,
    query: &UsageQuery,
    step: Step,
) -> Result<UsageReport<UsageSeries>, ReadError> {
    let report = fold(models, principal, query, |hour| step.first_hour(hour)).await?;
    Ok(report.map(|((customer, meter), spans)| {
        let buckets = spans.into_iter();
        let buckets = buckets.filter_map(|(hour, it)| UsageBucket::of_hour(hour, it)).collect();
        Some(UsageSeries { customer, meter, buckets })
    }))
}

/// What was used by whom, in spans named by their first hour.
type Folded = ((CustomerId, MeterKey), BTreeMap<i64, Digest>);

impl UsageReport<Folded> {
    fn map<T>(self, each: impl Fn(Folded) -> Option<T>) -> UsageReport<T> {
        let Self { sequence, complete_through, rows } = self;
        let rows = rows.into_iter().filter_map(each).collect();
        UsageReport { sequence, complete_through, rows }
    }
}

/// Folds the usage of `query` into spans, all in one snapshot of the tables.
async fn fold(
    models: &ReadModels,
    principal: &Principal,
    query: &UsageQuery,
    span: impl Fn(i64) -> i64,
) -> Result<UsageReport<Folded>, ReadError> {
    let hours = hours_of(query.from, query.to)?;
    ReadError::if_more("customers", query.customers.len(), CUSTOMERS_MAX)?;
    ReadError::if_more("meters", query.meters.len(), METERS_MAX)?;
    let nothing = UsageReport { sequence: 0, complete_through: None, rows: Vec::new() };
    let Some(tenant) = scope::tenant(principal, Permission::UsageRead)? else {
        return Ok(nothing);
    };
    let fault = ReadError::fault(Model::Billing);
    let mut reader = models.reader(Model::Billing, tenant).await?;
    let mut snapshot = store::begin(&mut reader).await.map_err(fault)?;
    let applied = applied_sequence(&mut snapshot, tenant).await.map_err(fault)?;
    let sequence = query.at_sequence.unwrap_or(applied);
    if sequence > applied {
        drop(snapshot);
        reader.finish();
        let events_behind = sequence - applied;
        let (model, delay) = (Model::Billing, Delay::Following);
        let retry_after = RETRY_AFTER;
        return Err(NotYetVisible { model, events_behind, retry_after, delay }.into());
    }
    let complete_through = minute_of(&mut snapshot, tenant, sequence).await.map_err(fault)?;
    // The hours are the index folded up to the last event, so either gives the same answer.
    let table = if sequence == applied { Table::Hours } else { Table::IndexUpTo(sequence) };
    let sql = select(tenant, query, hours, table);
    let mut folded: BTreeMap<_, BTreeMap<i64, Option<Digest>>> = BTreeMap::new();
    let mut count = 0;
    let folding = sql.each(&mut snapshot, |row| {
        let (key, hour, digest) = read(row)?;
        let slot = folded.entry(key).or_default().entry(span(hour)).or_default();
        count += usize::from(slot.is_none());
        exact::append(slot, &digest);
        Ok(if count > SPANS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    folding.await.map_err(fault)?;
    if count > SPANS_MAX {
        return Err(too_many(query));
    }
    drop(snapshot);
    reader.finish();
    let flat = |(key, spans): (_, BTreeMap<i64, Option<Digest>>)| {
        (key, spans.into_iter().filter_map(|(hour, it)| Some((hour, it?))).collect())
    };
    let rows = folded.into_iter().map(flat).collect();
    Ok(UsageReport { sequence, complete_through, rows })
}

fn too_many(query: &UsageQuery) -> ReadError {
    let named = |count| if count == 0 { "all".to_owned() } else { format!("{count}") };
    let (customers, meters) = (named(query.customers.len()), named(query.meters.len()));
    let UsageQuery { from, to, .. } = query;
    ReadError::Invalid(format!(
        "expected a report of at most {SPANS_MAX} spans, got more for {customers} `customers` and \
         {meters} `meters` `from` {from} `to` {to}; name fewer of them, a shorter time, or a \
         longer `step`"
    ))
}

/// The first hour at or after `from`, and the first one that is no longer before `to`.
fn hours_of(from: DateTime<Utc>, to: DateTime<Utc>) -> Result<(i64, i64), ReadError> {
    let hours = (whole_hour(from)?, whole_hour(to)?);
    if hours.0 >= hours.1 {
        let message = format!("expected `from` before `to`, got {from} and {to}");
        return Err(ReadError::Invalid(message));
    }
    Ok(hours)
}

fn whole_hour(at: DateTime<Utc>) -> Result<i64, ReadError> {
    let micros = at.timestamp_micros();
    if micros.rem_euclid(MICROS_PER_HOUR) == 0 && at.timestamp_subsec_nanos() == 0 {
        Ok(micros.div_euclid(MICROS_PER_HOUR))
    } else {
        Err(ReadError::Invalid(format!("expected the beginning of an hour in UTC, got {at}")))
    }
}

async fn applied_sequence(snapshot: &mut Connection, tenant: TenantId) -> Result<u64, StoreError> {
    let mut sql = Sql::new("SELECT sequence FROM usage_applied WHERE tenant = ");
    sql.bind(tenant.0);
    sql.fetch_optional(snapshot).await?.map_or(Ok(0), |it| it.count(0))
}

/// The minute in which the event at `sequence` was recorded. Recorded time never decreases, so
/// whatever was recorded before that minute has a smaller sequence.
async fn minute_of(
    snapshot: &mut Connection,
    tenant: TenantId,
    sequence: u64,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let mut sql = Sql::new("SELECT minute FROM usage_clock WHERE tenant = ");
    sql.bind(tenant.0).push(" AND sequence <= ").bind(sequence);
    sql.push(" ORDER BY sequence DESC LIMIT 1");
    let Some(row) = sql.fetch_optional(snapshot).await? else { return Ok(None) };
    Ok(DateTime::from_timestamp_micros(row.integer(0)?.saturating_mul(MICROS_PER_MINUTE)))
}

/// Where an answer is read from.
#[derive(Clone, Copy)]
enum Table {
    Hours,
    IndexUpTo(u64),
}

fn select(tenant: TenantId, query: &UsageQuery, hours: (i64, i64), table: Table) -> Sql {
    let mut sql = Sql::new("SELECT digest, customer, meter, hour");
    sql.push(match table {
        Table::Hours => " FROM usage_hours",
        Table::IndexUpTo(_) => " FROM usage_index",
    });
    sql.push(" WHERE tenant = ").bind(tenant.0);
    if !query.customers.is_empty() {
        sql.push(" AND customer IN ").bind_list(query.customers.iter().map(|it| it.0));
    }
    if !query.meters.is_empty() {
        sql.push(" AND meter IN ").bind_list(query.meters.iter().map(MeterKey::as_str));
    }
    sql.push(" AND hour >= ").bind(hours.0).push(" AND hour < ").bind(hours.1);
    match table {
        Table::Hours => sql.push(" ORDER BY customer, meter, hour"),
        Table::IndexUpTo(sequence) => {
            sql.push(" AND sequence <= ").bind(sequence);
            // Which of two with the same time is the latest depends on the order.
            sql.push(" ORDER BY customer, meter, sequence, hour")
        }
    };
    sql
}

fn read(row: &Row) -> Result<((CustomerId, MeterKey), i64, Digest), StoreError> {
    let key = (CustomerId(row.uuid(1)?), row.parsed(2)?);
    Ok((key, row.integer(3)?, row.parsed(0)?))
}
