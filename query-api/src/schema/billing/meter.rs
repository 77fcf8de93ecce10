//! Meters.

use async_graphql::connection::Connection;
use async_graphql::{Context, Description, Enum, ID, Object, SimpleObject};
use projections::Model;
use projections::billing::meters;

use crate::context::RequestContext;
use crate::error::ApiError;
use crate::schema::node::NodeId;
use crate::schema::page::{Cursor, Long, PageArguments, connection};

/// Something that can be counted.
#[derive(Clone, Debug, Description)]
pub struct Meter(pub meters::Meter);

#[Object(use_type_description)]
impl Meter {
    /// The global id.
    pub async fn id(&self, context: &Context<'_>) -> async_graphql::Result<ID> {
        Ok(NodeId::Meter(self.0.key.clone()).seal(context.data()?))
    }

    /// Names it in usage and prices.
    async fn key(&self) -> &str {
        self.0.key.as_str()
    }

    /// What people call it.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What one of it is called.
    async fn unit(&self) -> &str {
        &self.0.unit
    }

    /// How records become one number.
    async fn aggregation(&self) -> Aggregation {
        (&self.0.aggregation).into()
    }

    /// Whether usage of it can no longer be recorded.
    async fn archived(&self) -> bool {
        self.0.archived
    }

    /// The stream's revision, to be used as `expectedRevision`.
    async fn revision(&self) -> Long {
        Long(self.0.revision)
    }
}

/// How records of a period become one number.
#[derive(Clone, Debug, SimpleObject)]
pub struct Aggregation {
    /// The way.
    pub kind: AggregationKind,
    /// The dimension whose different texts are counted, for `UNIQUE_COUNT`.
    pub dimension: Option<String>,
}

/// The ways records become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum AggregationKind {
    /// How many records.
    Count,
    /// The sum of the values.
    Sum,
    /// The largest value.
    Max,
    /// The smallest value.
    Min,
    /// The mean of the values.
    Avg,
    /// How many different texts in a dimension.
    UniqueCount,
    /// The value with the largest time.
    Latest,
}

impl From<&domain::meter::Aggregation> for Aggregation {
    fn from(aggregation: &domain::meter::Aggregation) -> Self {
        use domain::meter::Aggregation as Of;
        let (kind, dimension) = match aggregation {
            Of::Count => (AggregationKind::Count, None),
            Of::Sum => (AggregationKind::Sum, None),
            Of::Max => (AggregationKind::Max, None),
            Of::Min => (AggregationKind::Min, None),
            Of::Avg => (AggregationKind::Avg, None),
            Of::UniqueCount { dimension } => {
                (AggregationKind::UniqueCount, Some(dimension.clone()))
            }
            Of::Latest => (AggregationKind::Latest, None),
        };
        Self { kind, dimension }
    }
}

/// What is true of all meters.
#[derive(Clone, Copy, Debug, Default, Description)]
pub struct MeterTotals;

#[Object(use_type_description)]
impl MeterTotals {
    /// How many there are.
    async fn total_count(&self, context: &Context<'_>) -> async_graphql::Result<Long> {
        let request = context.data::<RequestContext>()?;
        let models = request.read(Model::Billing).await?;
        let count = meters::count(&models, request.principal()).await;
        Ok(Long(count.map_err(ApiError::from)?))
    }
}

/// Reading meters.
#[derive(Debug, Default)]
pub struct MeterQuery;

#[Object]
impl MeterQuery {
    /// The meters, by key.
    #[graphql(complexity = "first.or(last).unwrap_or(20) as usize * child_complexity")]
    async fn meters(
        &self,
        context: &Context<'_>,
        first: Option<u32>,
        after: Option<String>,
        last: Option<u32>,
        before: Option<String>,
    ) -> async_graphql::Result<Connection<Cursor, Meter, MeterTotals>> {
        let request = context.data::<RequestContext>()?;
        let purpose = "cursor/meters";
        let arguments = PageArguments { first, after, last, before };
        let window = arguments.window::<String>(request, purpose)?;
        let models = request.read(Model::Billing).await?;
        let page = meters::list(&models, request.principal(), &window).await;
        let page = page.map_err(ApiError::from)?;
        Ok(connection(request, purpose, page, MeterTotals, Meter))
    }
}
