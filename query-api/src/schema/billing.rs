//! Billing accounts, plans, subscriptions, meters.

pub mod customer;
pub mod meter;
pub mod plan;
pub mod subscription;
pub mod terms;

use async_graphql::MergedObject;

pub use customer::{Customer, CustomerRole};
pub use meter::{Aggregation, AggregationKind, Meter};
pub use plan::Plan;
pub use subscription::Subscription;
pub use terms::Terms;

/// Reading what is sold, to whom, and what is counted.
#[derive(Debug, Default, MergedObject)]
pub struct BillingQuery(
    customer::CustomerQuery,
    plan::PlanQuery,
    subscription::SubscriptionQuery,
    meter::MeterQuery,
);
