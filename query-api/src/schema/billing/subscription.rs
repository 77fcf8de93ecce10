//! Subscriptions and what happened to them.

use async_graphql::connection::Connection;
use async_graphql::{Context, Description, Enum, ID, InputObject, Json, Object};
use chrono::{DateTime, Utc};
use domain::id::SubscriptionId;
use projections::Model;
use projections::billing::subscriptions::{
    self, SubscriptionFilter, SubscriptionState, SubscriptionStep,
};
use serde_json::Value;

use super::customer::Customer;
use super::terms::Terms;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::loaders::Loaders;
use crate::schema::node::NodeId;
use crate::schema::page::{Cursor, Long, PageArguments, connection};

/// A plan sold to a customer.
#[derive(Clone, Debug, Description)]
pub struct Subscription(pub subscriptions::Subscription);

/// Whether a subscription runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum SubscriptionStatus {
    /// It runs.
    Active,
    /// It runs until its running period ends.
    Ending,
    /// It is over.
    Cancelled,
}

#[Object(use_type_description)]
impl Subscription {
    /// The global id.
    pub async fn id(&self, context: &Context<'_>) -> async_graphql::Result<ID> {
        Ok(NodeId::Subscription(self.0.id).seal(context.data()?))
    }

    /// The identity, `sub_…`, as mutations name it.
    async fn subscription_id(&self) -> String {
        self.0.id.to_string()
    }

    /// Who bought.
    async fn customer(&self, context: &Context<'_>) -> async_graphql::Result<Option<Customer>> {
        let loaders = context.data::<Loaders>()?;
        Ok(loaders.customer(self.0.customer).await?.map(Customer))
    }

    /// The plan, `pln_…`.
    async fn plan_id(&self) -> String {
        self.0.sold.plan.to_string()
    }

    /// The version of the plan.
    async fn plan_version(&self) -> u32 {
        self.0.sold.version
    }

    /// The terms it was sold under.
    async fn terms(&self) -> Terms {
        Terms(self.0.sold.terms.clone())
    }

    /// Whether it runs.
    async fn status(&self) -> SubscriptionStatus {
        match self.0.state {
            SubscriptionState::Active => SubscriptionStatus::Active,
            SubscriptionState::Ending(_) => SubscriptionStatus::Ending,
            SubscriptionState::Cancelled(_) => SubscriptionStatus::Cancelled,
        }
    }

    /// The first instant it no longer covers, if an end is known.
    async fn ends_at(&self) -> Option<DateTime<Utc>> {
        match self.0.state {
            SubscriptionState::Active => None,
            SubscriptionState::Ending(at) | SubscriptionState::Cancelled(at) => Some(at),
        }
    }

    /// The zone of its periods, an IANA name.
    async fn time_zone(&self) -> &'static str {
        self.0.time_zone.name()
    }

    /// What its periods are counted from.
    async fn anchor(&self) -> DateTime<Utc> {
        self.0.anchor
    }

    /// When nothing is billed before; none without a trial.
    async fn trial_end(&self) -> Option<DateTime<Utc>> {
        self.0.trial_end
    }

    /// When it was sold.
    async fn started_at(&self) -> DateTime<Utc> {
        self.0.started_at
    }

    /// The stream's revision, to be used as `expectedRevision`.
    async fn revision(&self) -> Long {
        Long(self.0.revision)
    }

    /// Everything that happened to it, oldest first.
    #[graphql(complexity = "20 * child_complexity")]
    async fn history(
        &self,
        context: &Context<'_>,
    ) -> async_graphql::Result<Vec<SubscriptionChange>> {
        let steps = context.data::<Loaders>()?.steps(self.0.id).await?;
        Ok(steps.into_iter().map(SubscriptionChange).collect())
    }
}

/// Something that happened to a subscription.
#[derive(Clone, Debug, Description)]
pub struct SubscriptionChange(SubscriptionStep);

#[Object(use_type_description)]
impl SubscriptionChange {
    /// The stream's revision.
    async fn revision(&self) -> Long {
        Long(self.0.revision)
    }

    /// What happened, as it was recorded: the name of the event and its fields.
    async fn event(&self) -> Json<Value> {
        Json(serde_json::to_value(&self.0.change).expect("it was stored as JSON"))
    }

    /// The tenant sequence of the event.
    async fn sequence(&self) -> Long {
        Long(self.0.sequence)
    }

    /// When it was recorded.
    async fn at(&self) -> DateTime<Utc> {
        self.0.recorded_at
    }

    /// Who did it.
    async fn actor(&self) -> String {
        self.0.actor.to_string()
    }
}

/// Which subscriptions.
#[derive(Clone, Debug, Default, InputObject)]
pub struct SubscriptionsMatching {
    /// Of this customer, `cus_…`.
    pub customer: Option<String>,
    /// To this plan, `pln_…`.
    pub plan: Option<String>,
    /// Those that are over, or those that are not.
    pub cancelled: Option<bool>,
}

impl SubscriptionsMatching {
    fn filter(&self) -> Result<SubscriptionFilter, ApiError> {
        let customer = self.customer.as_deref().map(str::parse).transpose();
        let plan = self.plan.as_deref().map(str::parse).transpose();
        Ok(SubscriptionFilter {
            customer: customer.map_err(ApiError::argument)?,
            plan: plan.map_err(ApiError::argument)?,
            cancelled: self.cancelled,
        })
    }
}

/// What is true of a whole list of subscriptions.
#[derive(Clone, Debug, Description)]
pub struct SubscriptionTotals(SubscriptionFilter);

#[Object(use_type_description)]
impl SubscriptionTotals {
    /// How many there are.
    async fn total_count(&self, context: &Context<'_>) -> async_graphql::Result<Long> {
        let request = context.data::<RequestContext>()?;
        let models = request.read(Model::Billing).await?;
        let count = subscriptions::count(&models, request.principal(), &self.0).await;
        Ok(Long(count.map_err(ApiError::from)?))
    }
}

/// Reading subscriptions.
#[derive(Debug, Default)]
pub struct SubscriptionQuery;

#[Object]
impl SubscriptionQuery {
    /// The subscriptions that match, the oldest first.
    #[graphql(complexity = "first.or(last).unwrap_or(20) as usize * child_complexity")]
    async fn subscriptions(
        &self,
        context: &Context<'_>,
        #[graphql(default)] matching: SubscriptionsMatching,
        first: Option<u32>,
        after: Option<String>,
        last: Option<u32>,
        before: Option<String>,
    ) -> async_graphql::Result<Connection<Cursor, Subscription, SubscriptionTotals>> {
        let request = context.data::<RequestContext>()?;
        let filter = matching.filter()?;
        let purpose = format!("cursor/subscriptions/{filter:?}");
        let arguments = PageArguments { first, after, last, before };
        let window = arguments.window::<SubscriptionId>(request, &purpose)?;
        let models = request.read(Model::Billing).await?;
        let page = subscriptions::list(&models, request.principal(), &filter, &window).await;
        let page = page.map_err(ApiError::from)?;
        Ok(connection(request, &purpose, page, SubscriptionTotals(filter), Subscription))
    }
}
