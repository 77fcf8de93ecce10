//! Billing accounts, plans, subscriptions, meters.

pub mod customer;
pub mod meter;
pub mod plan;
pub mod subscription;

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
