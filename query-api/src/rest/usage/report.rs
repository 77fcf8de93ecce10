//! Reading usage: the same bytes for the same question, for ever.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use projections::Model;
use projections::billing::usage::{self, Step, UsageQuery, UsageReport};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::problem::cut;
use super::super::{Door, Problem};
use crate::schema::usage::AT_SEQUENCE;

/// How much was used, with the state the answer rests on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct Report {
    /// The tenant sequence the answer was cut at.
    sequence: u64,
    /// Everything recorded before this instant is in the answer.
    complete_through: Option<DateTime<Utc>>,
    rows: Rows,
}

/// Sorted by customer and meter.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Rows {
    Totals(Vec<Total>),
    Series(Vec<Series>),
}

/// The usage of one meter by one customer.
#[derive(Debug, Serialize, ToSchema)]
struct Total {
    customer: String,
    meter: String,
    #[serde(flatten)]
    amounts: Amounts,
}

/// The usage of one meter by one customer over time.
#[derive(Debug, Serialize, ToSchema)]
struct Series {
    customer: String,
    meter: String,
    /// The spans with usage, in order.
    buckets: Vec<Bucket>,
}

/// The usage of one span of time.
#[derive(Debug, Serialize, ToSchema)]
struct Bucket {
    /// The first instant of the span.
    start: DateTime<Utc>,
    #[serde(flatten)]
    amounts: Amounts,
}

/// What several entries come to. Exact decimals.
#[derive(Debug, Serialize, ToSchema)]
struct Amounts {
    count: u64,
    sum: String,
    min: String,
    max: String,
    /// The value with the latest time.
    latest: String,
}

impl From<usage::UsageTotal> for Total {
    fn from(it: usage::UsageTotal) -> Self {
        let (min, max, latest) = (it.min.to_string(), it.max.to_string(), it.latest.to_string());
        Self {
            customer: it.customer.to_string(),
            meter: it.meter.as_str().to_owned(),
            amounts: Amounts { count: it.count, sum: it.sum, min, max, latest },
        }
    }
}

impl From<usage::UsageSeries> for Series {
    fn from(it: usage::UsageSeries) -> Self {
        Self {
            customer: it.customer.to_string(),
            meter: it.meter.as_str().to_owned(),
            buckets: it.buckets.into_iter().map(Bucket::from).collect(),
        }
    }
}

impl From<usage::UsageBucket> for Bucket {
    fn from(it: usage::UsageBucket) -> Self {
        let (min, max, latest) = (it.min.to_string(), it.max.to_string(), it.latest.to_string());
        let amounts = Amounts { count: it.count, sum: it.sum, min, max, latest };
        Self { start: it.start, amounts }
    }
}

impl Report {
    fn of<T, R>(report: UsageReport<T>, rows: impl Fn(Vec<R>) -> Rows) -> Self
    where
        R: From<T>,
    {
        let UsageReport { sequence, complete_through, rows: found } = report;
        Self { sequence, complete_through, rows: rows(found.into_iter().map(R::from).collect()) }
    }
}

/// What is asked for: `from` and `to` at least.
#[derive(Default)]
struct Asked {
    customers: Vec<domain::id::CustomerId>,
    meters: Vec<domain::meter::MeterKey>,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    at_sequence: Option<u64>,
    step: Option<Step>,
}

impl Asked {
    /// Reads a query string; `meter` and `customer` may be there more than once.
    fn read(query: &str) -> Result<Self, Problem> {
        let mut asked = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let wrong = |error: &dyn std::fmt::Display| Problem::bad_field(&*name, error);
            match &*name {
                "meter" => asked.meters.push(value.parse().map_err(|it| wrong(&it))?),
                "customer" => asked.customers.push(value.parse().map_err(|it| wrong(&it))?),
                "from" => asked.from = Some(instant(&value).map_err(|it| wrong(&it))?),
                "to" => asked.to = Some(instant(&value).map_err(|it| wrong(&it))?),
                AT_SEQUENCE => {
                    let expected =
                        || wrong(&format_args!("expected a number, got `{}`", cut(&value)));
                    asked.at_sequence = Some(value.parse().map_err(|_| expected())?);
                }
                "step" => asked.step = step(&value).map_err(|it| wrong(&it))?,
                _ => return Err(wrong(&"there is no such parameter")),
            }
        }
        Ok(asked)
    }

    fn query(self) -> Result<(UsageQuery, Option<Step>), Problem> {
        let missing = |name| move || Problem::bad_field(name, "the parameter is missing");
        let query = UsageQuery {
            customers: self.customers,
            meters: self.meters,
            from: self.from.ok_or_else(missing("from"))?,
            to: self.to.ok_or_else(missing("to"))?,
            at_sequence: self.at_sequence,
        };
        Ok((query, self.step))
    }
}

/// The instant that `text` names, or what is wrong with it.
pub(super) fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    let expected = "expected an instant like `2026-01-31T12:00:00Z`, got";
    text.parse().map_err(|error| format!("{expected} `{}`: {error}", cut(text)))
}

/// How long the spans are; none for totals.
fn step(text: &str) -> Result<Option<Step>, String> {
    match text {
        "total" => Ok(None),
        "hour" => Ok(Some(Step::Hour)),
        "day" => Ok(Some(Step::Day)),
        _ => Err(format!("expected `hour`, `day` or `total`, got `{}`", cut(text))),
    }
}

/// How much was used in a time, in all or by the hour or day.
#[utoipa::path(
    get,
    path = "/api/v1/usage",
    security(("token" = []), ("session" = [])),
    params(
        ("from" = DateTime<Utc>, Query, description = "Used at or after this, a whole hour."),
        ("to" = DateTime<Utc>, Query, description = "Used before this, a whole hour."),
        ("meter" = Option<Vec<String>>, Query, description = "Of these meters; of all if none."),
        ("customer" = Option<Vec<String>>, Query, description = "Of these, `cus_…`; of all if none."),
        ("step" = Option<String>, Query, description = "`total` (the default), `hour` or `day`."),
        ("atSequence" = Option<u64>, Query, description = "As recorded up to this sequence."),
        ("Callboard-Position" = Option<String>, Header, description = "What must have been seen."),
    ),
    responses(
        (status = 200, body = Report),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::rest) async fn show(
    State(door): State<Door>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Report>, Problem> {
    let session = door.session(&headers).await?;
    let (query, step) = Asked::read(query.as_deref().unwrap_or_default())?.query()?;
    let request = door.request(&session, &headers);
    let models = request.read(Model::Billing).await?;
    let (principal, at) = (request.principal(), query.at_sequence);
    Ok(Json(match step {
        None => {
            let report = usage::totals(&models, principal, &query).await;
            Report::of(request.at_sequence(AT_SEQUENCE, at, report).await?, Rows::Totals)
        }
        Some(step) => {
            let report = usage::series(&models, principal, &query, step).await;
            Report::of(request.at_sequence(AT_SEQUENCE, at, report).await?, Rows::Series)
        }
    }))
}
