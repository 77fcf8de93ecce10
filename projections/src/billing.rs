//! Billing: customers, plans, subscriptions, meters and usage.
//!
//! Usage answers are folds of an index of the log, cut at a tenant sequence, so that the same
//! question gets the same bytes for ever. Hour buckets are for charts only; no invoice is made
//! from either.

pub mod customers;
pub mod meters;
pub mod plans;
pub mod subscriptions;
pub mod usage;

pub use customers::Customer;
pub use meters::Meter;
pub use plans::{Plan, PlanVersion, Seller};
pub use subscriptions::{
    Subscription, SubscriptionChange, SubscriptionFilter, SubscriptionState, SubscriptionStep,
};
pub use usage::{Step, UsageBucket, UsageQuery, UsageReport, UsageSeries, UsageTotal};
