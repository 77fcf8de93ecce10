//! Billing accounts, plans, subscriptions, meters.

mod customer;
mod meter;
mod plan;
mod subscription;

use async_graphql::MergedObject;

pub use customer::{Customer, CustomerRole};
pub use meter::{Aggregation, AggregationKind, Meter};
pub use plan::{Plan, Terms};
pub use subscription::Subscription;

/// Reading what is sold, to whom, and what is counted.
#[derive(Debug, Default, MergedObject)]
pub struct BillingQuery(
    customer::CustomerQuery,
    plan::PlanQuery,
    subscription::SubscriptionQuery,
    meter::MeterQuery,
);
