//! Plans and the terms of their versions.

use async_graphql::connection::Connection;
use async_graphql::{Context, Description, Enum, ID, Object};
use chrono::{DateTime, Utc};
use domain::id::PlanId;
use projections::Model;
use projections::billing::plans;

use super::terms::Terms;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::schema::node::{NodeId, Seller};
use crate::schema::page::{Cursor, Long, PageArguments, connection};

/// A plan that can be sold.
#[derive(Clone, Debug, Description)]
pub struct Plan {
    /// The row.
    pub plan: plans::Plan,
    /// Whose it is.
    pub seller: Seller,
}

#[Object(use_type_description)]
impl Plan {
    /// The global id.
    pub async fn id(&self, context: &Context<'_>) -> async_graphql::Result<ID> {
        Ok(NodeId::Plan(self.plan.id, self.seller).seal(context.data()?))
    }

    /// The identity, `pln_…`, as mutations name it.
    async fn plan_id(&self) -> String {
        self.plan.id.to_string()
    }

    /// The name in its newest version.
    async fn name(&self) -> &str {
        &self.plan.name
    }

    /// Whether it can no longer be sold.
    async fn retired(&self) -> bool {
        self.plan.retired
    }

    /// Its versions, the newest first.
    async fn versions(&self) -> Vec<PlanVersion> {
        self.plan.versions.iter().cloned().map(PlanVersion).collect()
    }

    /// The stream's revision, to be used as `expectedRevision`.
    async fn revision(&self) -> Long {
        Long(self.plan.revision)
    }
}

/// A version of a plan; it never changes.
#[derive(Clone, Debug, Description)]
pub struct PlanVersion(plans::PlanVersion);

#[Object(use_type_description)]
impl PlanVersion {
    /// Counts from 1.
    async fn version(&self) -> u32 {
        self.0.version
    }

    /// What it says.
    async fn terms(&self) -> Terms {
        Terms(self.0.terms.clone())
    }

    /// When it was published.
    async fn published_at(&self) -> DateTime<Utc> {
        self.0.published_at
    }
}

/// Whose plans are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Seller")]
pub enum PlanSeller {
    /// The tenant's own, for its customers.
    Itself,
    /// The operator's, for the tenant itself.
    Operator,
}

/// What is true of all plans of a seller.
#[derive(Clone, Copy, Debug, Description)]
pub struct PlanTotals(Seller);

#[Object(use_type_description)]
impl PlanTotals {
    /// How many there are.
    async fn total_count(&self, context: &Context<'_>) -> async_graphql::Result<Long> {
        let request = context.data::<RequestContext>()?;
        let models = request.read(Model::Billing).await?;
        let count = plans::count(&models, request.principal(), self.0.into()).await;
        Ok(Long(count.map_err(ApiError::from)?))
    }
}

/// Reading plans.
#[derive(Debug, Default)]
pub struct PlanQuery;

#[Object]
impl PlanQuery {
    /// The plans of a seller.
    #[graphql(complexity = "first.or(last).unwrap_or(20) as usize * child_complexity")]
    async fn plans(
        &self,
        context: &Context<'_>,
        #[graphql(default_with = "PlanSeller::Operator")] seller: PlanSeller,
        first: Option<u32>,
        after: Option<String>,
        last: Option<u32>,
        before: Option<String>,
    ) -> async_graphql::Result<Connection<Cursor, Plan, PlanTotals>> {
        let request = context.data::<RequestContext>()?;
        let seller = Seller::from(seller);
        let purpose = format!("cursor/plans/{seller:?}");
        let arguments = PageArguments { first, after, last, before };
        let window = arguments.window::<PlanId>(request, &purpose)?;
        let models = request.read(Model::Billing).await?;
        let page = plans::list(&models, request.principal(), seller.into(), &window).await;
        let page = page.map_err(ApiError::from)?;
        Ok(connection(request, &purpose, page, PlanTotals(seller), |plan| Plan { plan, seller }))
    }
}
