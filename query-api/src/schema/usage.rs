//! Usage: totals and series, exact and repeatable.

use async_graphql::{Context, Description, Enum, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use projections::Model;
use projections::billing::usage::{self, Step, UsageReport};

use super::billing::Customer;
use super::page::Long;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::loaders::Loaders;

/// The argument that names a state, as callers write it.
pub(crate) const AT_SEQUENCE: &str = "atSequence";

/// Which usage.
#[derive(Clone, Debug, InputObject)]
pub struct UsageMatching {
    /// Of these customers, `cus_…`; of all if none.
    #[graphql(default)]
    pub customers: Vec<String>,
    /// Of these meters, by key; of all if none.
    #[graphql(default)]
    pub meters: Vec<String>,
    /// Used at or after this instant, the beginning of an hour in UTC.
    pub from: DateTime<Utc>,
    /// Used before this instant, the beginning of an hour in UTC.
    pub to: DateTime<Utc>,
    /// As recorded up to this sequence; asking again with it gives the same answer.
    pub at_sequence: Option<Long>,
}

impl UsageMatching {
    fn query(&self) -> Result<usage::UsageQuery, ApiError> {
        let customers = self.customers.iter().map(|it| it.parse()).collect::<Result<_, _>>();
        let meters = self.meters.iter().map(|it| it.parse()).collect::<Result<_, _>>();
        Ok(usage::UsageQuery {
            customers: customers.map_err(ApiError::argument)?,
            meters: meters.map_err(ApiError::argument)?,
            from: self.from,
            to: self.to,
            at_sequence: self.at_sequence.map(|it| it.0),
        })
    }
}

/// How long the spans of a series are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Step")]
pub enum UsageStep {
    /// An hour.
    Hour,
    /// A day in UTC.
    Day,
}

/// The usage of one meter by one customer. Numbers are exact decimals.
#[derive(Clone, Debug, Description)]
pub struct UsageTotal(usage::UsageTotal);

#[Object(use_type_description)]
impl UsageTotal {
    /// Who used it.
    async fn customer(&self, context: &Context<'_>) -> async_graphql::Result<Option<Customer>> {
        Ok(context.data::<Loaders>()?.customer(self.0.customer).await?.map(Customer))
    }

    /// What was used.
    async fn meter(&self) -> &str {
        self.0.meter.as_str()
    }

    /// How many entries.
    async fn count(&self) -> Long {
        Long(self.0.count)
    }

    /// The sum of their values.
    async fn sum(&self) -> &str {
        &self.0.sum
    }

    /// The smallest value.
    async fn min(&self) -> String {
        self.0.min.to_string()
    }

    /// The largest value.
    async fn max(&self) -> String {
        self.0.max.to_string()
    }

    /// The value with the latest time.
    async fn latest(&self) -> String {
        self.0.latest.to_string()
    }
}

/// The usage of one meter by one customer over time.
#[derive(Clone, Debug, Description)]
pub struct UsageSeries(usage::UsageSeries);

#[Object(use_type_description)]
impl UsageSeries {
    /// Who used it.
    async fn customer(&self, context: &Context<'_>) -> async_graphql::Result<Option<Customer>> {
        Ok(context.data::<Loaders>()?.customer(self.0.customer).await?.map(Customer))
    }

    /// What was used.
    async fn meter(&self) -> &str {
        self.0.meter.as_str()
    }

    /// The spans with usage, in order.
    async fn buckets(&self) -> Vec<UsageBucket> {
        self.0.buckets.iter().map(UsageBucket::from).collect()
    }
}

/// The usage of one span of time. Numbers are exact decimals.
#[derive(Clone, Debug, SimpleObject)]
pub struct UsageBucket {
    /// The first instant of the span.
    pub start: DateTime<Utc>,
    /// How many entries.
    pub count: Long,
    /// The sum of their values.
    pub sum: String,
    /// The smallest value.
    pub min: String,
    /// The largest value.
    pub max: String,
    /// The value with the latest time.
    pub latest: String,
}

impl From<&usage::UsageBucket> for UsageBucket {
    fn from(bucket: &usage::UsageBucket) -> Self {
        Self {
            start: bucket.start,
            count: Long(bucket.count),
            sum: bucket.sum.clone(),
            min: bucket.min.to_string(),
            max: bucket.max.to_string(),
            latest: bucket.latest.to_string(),
        }
    }
}

/// The usage of one meter on behalf of an entity, whoever pays for it.
#[derive(Clone, Debug, SimpleObject)]
pub struct EntityUsage {
    /// What was used.
    pub meter: String,
    /// All of it, as one span.
    pub total: UsageBucket,
    /// The spans with usage, in order.
    pub buckets: Vec<UsageBucket>,
}

impl From<usage::EntityUsage> for EntityUsage {
    fn from(usage: usage::EntityUsage) -> Self {
        Self {
            meter: usage.meter.as_str().to_owned(),
            total: UsageBucket::from(&usage.total),
            buckets: usage.buckets.iter().map(UsageBucket::from).collect(),
        }
    }
}

/// The usage on behalf of an entity, with the state it rests on.
#[derive(Clone, Debug, SimpleObject)]
pub struct EntityUsageReport {
    /// The tenant sequence the answer was cut at.
    pub sequence: Long,
    /// Everything recorded before this instant is in the answer.
    pub complete_through: Option<DateTime<Utc>>,
    /// The meters with usage, by key.
    pub meters: Vec<EntityUsage>,
}

impl From<UsageReport<usage::EntityUsage>> for EntityUsageReport {
    fn from(report: UsageReport<usage::EntityUsage>) -> Self {
        let UsageReport { sequence, complete_through, rows } = report;
        let meters = rows.into_iter().map(EntityUsage::from).collect();
        Self { sequence: Long(sequence), complete_through, meters }
    }
}

/// Totals, with the state they rest on.
#[derive(Clone, Debug, SimpleObject)]
pub struct UsageTotals {
    /// The tenant sequence the answer was cut at.
    pub sequence: Long,
    /// Everything recorded before this instant is in the answer.
    pub complete_through: Option<DateTime<Utc>>,
    /// The totals, sorted by customer and meter.
    pub totals: Vec<UsageTotal>,
}

/// Series, with the state they rest on.
#[derive(Clone, Debug, SimpleObject)]
pub struct UsageSeriesReport {
    /// The tenant sequence the answer was cut at.
    pub sequence: Long,
    /// Everything recorded before this instant is in the answer.
    pub complete_through: Option<DateTime<Utc>>,
    /// The series, sorted by customer and meter.
    pub series: Vec<UsageSeries>,
}

/// Reading usage.
#[derive(Debug, Default)]
pub struct UsageQuery;

#[Object]
impl UsageQuery {
    /// How much was used in all.
    #[graphql(complexity = "50 + child_complexity")]
    async fn usage_totals(
        &self,
        context: &Context<'_>,
        matching: UsageMatching,
    ) -> async_graphql::Result<UsageTotals> {
        let request = context.data::<RequestContext>()?;
        let models = request.read(Model::Billing).await?;
        let query = matching.query()?;
        let report = usage::totals(&models, request.principal(), &query).await;
        let report = request.at_sequence(AT_SEQUENCE, query.at_sequence, report).await?;
        let UsageReport { sequence, complete_through, rows } = report;
        let totals = rows.into_iter().map(UsageTotal).collect();
        Ok(UsageTotals { sequence: Long(sequence), complete_through, totals })
    }

    /// How much was used over time.
    #[graphql(complexity = "200 + child_complexity")]
    async fn usage_series(
        &self,
        context: &Context<'_>,
        matching: UsageMatching,
        #[graphql(default_with = "UsageStep::Day")] step: UsageStep,
    ) -> async_graphql::Result<UsageSeriesReport> {
        let request = context.data::<RequestContext>()?;
        let models = request.read(Model::Billing).await?;
        let query = matching.query()?;
        let report = usage::series(&models, request.principal(), &query, step.into()).await;
        let report = request.at_sequence(AT_SEQUENCE, query.at_sequence, report).await?;
        let UsageReport { sequence, complete_through, rows } = report;
        let series = rows.into_iter().map(UsageSeries).collect();
        Ok(UsageSeriesReport { sequence: Long(sequence), complete_through, series })
    }
}
