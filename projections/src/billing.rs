//! Billing: customers, plans, subscriptions, meters and usage.
//!
//! Usage answers are folds of an index of the log, cut at a tenant sequence, so that the same
//! question gets the same bytes for ever. Hour buckets are for charts only; no invoice is made
//! from either.

pub mod customers;
mod exact;
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
pub use usage::{
    EntityUsage, EntityUsageQuery, Step, UsageBucket, UsageQuery, UsageReport, UsageSeries,
    UsageTotal,
};

use domain::Event;
use vault::Keyring;

use crate::engine::fact::{Fact, Want};
use crate::engine::fold::{ApplyError, Schema};
use crate::store::{Connection, Value};

pub(crate) const SCHEMA: Schema = Schema {
    version: 5,
    tables: &[
        customers::CUSTOMERS,
        meters::METERS,
        meters::METERS_BY_KEY,
        plans::PLANS,
        plans::PLAN_VERSIONS,
        subscriptions::SUBSCRIPTIONS,
        subscriptions::SUBSCRIPTION_STEPS,
        usage::USAGE_INDEX,
        usage::USAGE_HOURS,
        usage::USAGE_ENTITY_HOURS,
        usage::USAGE_CLOCK,
        usage::USAGE_APPLIED,
    ],
    indexes: &[subscriptions::SUBSCRIPTIONS_BY_CUSTOMER],
};

pub(crate) fn wants(noun: &str) -> Want {
    match noun {
        "customer" | "plan" | "subscription" | "meter" | "usage" => Want::Body,
        // How far the history is known to be complete moves with every event.
        _ => Want::Header,
    }
}

pub(crate) async fn apply(
    keyring: &Keyring,
    connection: &mut Connection,
    facts: &[Fact],
) -> Result<(), ApplyError> {
    let mut customers = Vec::new();
    let mut plans = Vec::new();
    let mut subscriptions = Vec::new();
    let mut meters = Vec::new();
    let mut usage = Vec::new();
    for fact in facts {
        match &fact.event {
            Some(Event::Customer(event)) => customers.push((fact, event)),
            Some(Event::Plan(event)) => plans.push((fact, event)),
            Some(Event::Subscription(event)) => subscriptions.push((fact, event)),
            Some(Event::Meter(event)) => meters.push((fact, event)),
            Some(Event::Usage(event)) => usage.push((fact, event)),
            _ => (),
        }
    }
    customers::apply(keyring, connection, &customers).await?;
    plans::apply(connection, &plans).await?;
    subscriptions::apply(connection, &subscriptions).await?;
    meters::apply(connection, &meters).await?;
    usage::apply(keyring, connection, facts, &usage).await
}

/// A value as the JSON text that is stored of it.
fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_string(value).expect("terms, roles and aggregations are plain data").into()
}

#[cfg(test)]
mod tests;
