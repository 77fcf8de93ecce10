//! Usage: totals and series that answer the same bytes for the same question, for ever.
//!
//! Every answer is cut at one tenant sequence S and says so. What it says is a function of the
//! log up to S alone.

use chrono::{DateTime, Utc};
use domain::Principal;
use domain::id::CustomerId;
use domain::meter::MeterKey;
use rust_decimal::Decimal;

use crate::error::ReadError;
use crate::read_models::ReadModels;

/// Which usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageQuery {
    /// Of these customers; of all if empty.
    pub customers: Vec<CustomerId>,
    /// Of these meters; of all if empty.
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

/// How long the spans of a series are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An hour.
    Hour,
    /// A day in UTC.
    Day,
}

/// The totals of `query`.
///
/// # Errors
///
/// [`ReadError::Invalid`] if the range is empty or not of whole hours;
/// [`ReadError::NotYetVisible`] if `at_sequence` has not been applied here.
pub async fn totals(
    models: &ReadModels,
    principal: &Principal,
    query: &UsageQuery,
) -> Result<UsageReport<UsageTotal>, ReadError> {
    let _ = (models, principal, query);
    unimplemented!()
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
    let _ = (models, principal, query, step);
    unimplemented!()
}
