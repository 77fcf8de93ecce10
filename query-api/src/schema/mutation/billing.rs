//! Billing accounts, plans, subscriptions, meters.

use async_graphql::{Context, Enum, InputObject, Object, SimpleObject};
use commands::Outcome;
use domain::customer::Role;
use domain::id::{CustomerId, PlanId, SubscriptionId};
use domain::operation::{CancelWhen, Operation};
use uuid::Uuid;

use super::organisation::parsed;
use super::terms::TermsInput;
use super::{
    CommandOptions, CommandOutcome, CommandPayload, Submitted, UserError, malformed, submit,
};
use crate::schema::billing::{AggregationKind, CustomerRole};

/// Changing what is sold, to whom, and what is counted.
#[derive(Debug, Default)]
pub struct BillingMutation;

/// A billing account to be opened.
#[derive(Clone, Debug, InputObject)]
pub struct OpenCustomerInput {
    /// What it is to the tenant; not `ITSELF`, which every tenant has.
    pub role: CustomerRole,
    /// What it is called.
    pub name: String,
    /// An e-mail address for invoices.
    pub contact: Option<String>,
    /// The currency it is billed in; the tenant's if none.
    pub currency: Option<String>,
    /// The zone of its billing periods; the tenant's if none.
    pub time_zone: Option<String>,
}

/// A billing account as it is to be from now on.
#[derive(Clone, Debug, InputObject)]
pub struct ChangeCustomerInput {
    /// Which, `cus_…`.
    pub customer_id: String,
    /// What it is called.
    pub name: String,
    /// An e-mail address for invoices.
    pub contact: Option<String>,
}

/// A meter to be defined.
#[derive(Clone, Debug, InputObject)]
pub struct DefineMeterInput {
    /// Names it in usage and prices: 1 to 64 of `a-z 0-9 . _ -`.
    pub key: String,
    /// What people call it.
    pub name: String,
    /// What one of it is called.
    pub unit: String,
    /// How records become one number.
    pub aggregation: AggregationKind,
    /// The dimension whose different texts are counted, for `UNIQUE_COUNT`.
    pub dimension: Option<String>,
}

/// When a cancelled subscription ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "CancelWhen")]
pub enum CancelTime {
    /// At once.
    Now,
    /// With the running period.
    PeriodEnd,
}

/// The answer to a command that makes something with an identity of its own.
#[derive(Clone, Debug, SimpleObject)]
pub struct CreatedPayload {
    /// The identity of what was made; none if it was not accepted.
    pub created: Option<String>,
    /// What became of the command; none if it was not accepted.
    pub outcome: Option<CommandOutcome>,
    /// What the caller has to mend; then nothing was changed.
    pub user_errors: Vec<UserError>,
}

impl From<Submitted> for CreatedPayload {
    /// What was made is the stream the command wrote to; a repetition names that of the first
    /// time.
    fn from(submitted: Submitted) -> Self {
        let stream = |it: &Outcome| it.events.first().map(|it| it.stream.to_string());
        Self {
            created: submitted.accepted.as_ref().and_then(stream),
            outcome: submitted.outcome,
            user_errors: submitted.user_errors,
        }
    }
}

#[Object]
impl BillingMutation {
    /// Open a billing account.
    async fn open_customer(
        &self,
        context: &Context<'_>,
        input: OpenCustomerInput,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CreatedPayload>> {
        let currency = match input.currency {
            Some(text) => Some(parsed!("input.currency", text)),
            None => None,
        };
        let time_zone = match input.time_zone {
            Some(text) => Some(parsed!("input.timeZone", text)),
            None => None,
        };
        let operation = Operation::OpenCustomer {
            customer: CustomerId(Uuid::now_v7()),
            role: Role::from(input.role),
            name: input.name,
            contact: input.contact,
            currency,
            time_zone,
        };
        Ok(Some(submit(context, operation, options).await?.into()))
    }

    /// Change a billing account's name and contact.
    async fn change_customer(
        &self,
        context: &Context<'_>,
        input: ChangeCustomerInput,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let operation = Operation::ChangeCustomer {
            customer: parsed!("input.customerId", input.customer_id),
            name: input.name,
            contact: input.contact,
        };
        Ok(Some(submit(context, operation, options).await?.into()))
    }

    /// Close a billing account.
    async fn close_customer(
        &self,
        context: &Context<'_>,
        customer_id: String,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let customer = parsed!("customerId", customer_id);
        Ok(Some(submit(context, Operation::CloseCustomer { customer }, options).await?.into()))
    }

    /// Publish the next version of a plan, or the first of a new one if no plan is named.
    async fn publish_plan_version(
        &self,
        context: &Context<'_>,
        plan_id: Option<String>,
        terms: TermsInput,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CreatedPayload>> {
        let is_new = plan_id.is_none();
        let plan = match plan_id {
            Some(text) => parsed!("planId", text),
            None => PlanId(Uuid::now_v7()),
        };
        match terms.read() {
            Ok(terms) => {
                let operation = Operation::PublishPlanVersion { plan, is_new, terms };
                Ok(Some(submit(context, operation, options).await?.into()))
            }
            Err((path, message)) => Ok(Some(malformed(&path, message).into())),
        }
    }

    /// Stop selling a plan.
    async fn retire_plan(
        &self,
        context: &Context<'_>,
        plan_id: String,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let plan = parsed!("planId", plan_id);
        Ok(Some(submit(context, Operation::RetirePlan { plan }, options).await?.into()))
    }

    /// Sell a plan to a customer, at its newest version if none is named.
    async fn start_subscription(
        &self,
        context: &Context<'_>,
        customer_id: String,
        plan_id: String,
        version: Option<u32>,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CreatedPayload>> {
        let operation = Operation::StartSubscription {
            subscription: SubscriptionId(Uuid::now_v7()),
            customer: parsed!("customerId", customer_id),
            plan: parsed!("planId", plan_id),
            version,
        };
        Ok(Some(submit(context, operation, options).await?.into()))
    }

    /// Move a subscription to another plan or version.
    async fn change_plan(
        &self,
        context: &Context<'_>,
        subscription_id: String,
        plan_id: String,
        version: Option<u32>,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let operation = Operation::ChangePlan {
            subscription: parsed!("subscriptionId", subscription_id),
            plan: parsed!("planId", plan_id),
            version,
        };
        Ok(Some(submit(context, operation, options).await?.into()))
    }

    /// End a subscription.
    async fn cancel_subscription(
        &self,
        context: &Context<'_>,
        subscription_id: String,
        when: CancelTime,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let subscription = parsed!("subscriptionId", subscription_id);
        let operation = Operation::CancelSubscription { subscription, when: when.into() };
        Ok(Some(submit(context, operation, options).await?.into()))
    }

    /// Take back a cancellation that has not come about yet.
    async fn undo_cancellation(
        &self,
        context: &Context<'_>,
        subscription_id: String,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let subscription = parsed!("subscriptionId", subscription_id);
        Ok(Some(
            submit(context, Operation::UndoCancellation { subscription }, options).await?.into(),
        ))
    }

    /// Define something that can be counted.
    async fn define_meter(
        &self,
        context: &Context<'_>,
        input: DefineMeterInput,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        use domain::meter::Aggregation;
        let aggregation = match (input.aggregation, input.dimension) {
            (AggregationKind::UniqueCount, Some(dimension)) => {
                Aggregation::UniqueCount { dimension }
            }
            (AggregationKind::UniqueCount, None) => {
                let message = "expected the dimension that `UNIQUE_COUNT` counts";
                return Ok(Some(malformed("input.dimension", message).into()));
            }
            (_, Some(_)) => {
                let message = "only `UNIQUE_COUNT` has a dimension";
                return Ok(Some(malformed("input.dimension", message).into()));
            }
            (AggregationKind::Count, None) => Aggregation::Count,
            (AggregationKind::Sum, None) => Aggregation::Sum,
            (AggregationKind::Max, None) => Aggregation::Max,
            (AggregationKind::Min, None) => Aggregation::Min,
            (AggregationKind::Avg, None) => Aggregation::Avg,
            (AggregationKind::Latest, None) => Aggregation::Latest,
        };
        let operation = Operation::DefineMeter {
            key: parsed!("input.key", input.key),
            name: input.name,
            unit: input.unit,
            aggregation,
        };
        Ok(Some(submit(context, operation, options).await?.into()))
    }

    /// Stop counting something.
    async fn archive_meter(
        &self,
        context: &Context<'_>,
        key: String,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let operation = Operation::ArchiveMeter { key: parsed!("key", key) };
        Ok(Some(submit(context, operation, options).await?.into()))
    }
}
