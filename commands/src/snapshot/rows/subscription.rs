//! What is stored of subscriptions.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::id::CustomerId;
use domain::subscription::{Phase, Sale, Sold, Subscription};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{RowError, json};

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum SubscriptionV1 {
    NotStarted,
    Active(SaleV1),
    Cancelling(SaleV1),
    Cancelled { customer: u128, at: DateTime<Utc> },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SaleV1 {
    customer: u128,
    /// A [`Sold`] in JSON.
    sold: String,
    time_zone: chrono_tz::Tz,
    anchor: DateTime<Utc>,
    /// None for the trial.
    period_number: Option<u32>,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

pub(super) fn subscription(state: &Subscription) -> SubscriptionV1 {
    match state {
        Subscription::NotStarted => SubscriptionV1::NotStarted,
        Subscription::Active(sale) => SubscriptionV1::Active(SaleV1::of(sale)),
        Subscription::Cancelling(sale) => SubscriptionV1::Cancelling(SaleV1::of(sale)),
        Subscription::Cancelled { customer, at } => {
            SubscriptionV1::Cancelled { customer: customer.0.as_u128(), at: *at }
        }
    }
}

impl SubscriptionV1 {
    pub(super) fn restore(self) -> Result<Subscription, RowError> {
        Ok(match self {
            Self::NotStarted => Subscription::NotStarted,
            Self::Active(sale) => Subscription::Active(sale.restore()?),
            Self::Cancelling(sale) => Subscription::Cancelling(sale.restore()?),
            Self::Cancelled { customer, at } => {
                Subscription::Cancelled { customer: CustomerId(Uuid::from_u128(customer)), at }
            }
        })
    }
}

impl SaleV1 {
    fn of(sale: &Sale) -> Self {
        Self {
            customer: sale.customer.0.as_u128(),
            sold: json(&*sale.sold),
            time_zone: sale.time_zone,
            anchor: sale.anchor,
            period_number: match sale.phase {
                Phase::Trial => None,
                Phase::Period(number) => Some(number),
            },
            start: sale.period.start,
            end: sale.period.end,
        }
    }

    fn restore(self) -> Result<Sale, RowError> {
        let sold: Sold = serde_json::from_str(&self.sold)?;
        Ok(Sale {
            customer: CustomerId(Uuid::from_u128(self.customer)),
            sold: Arc::new(sold),
            time_zone: self.time_zone,
            anchor: self.anchor,
            phase: self.period_number.map_or(Phase::Trial, Phase::Period),
            period: domain::calendar::Period { start: self.start, end: self.end },
        })
    }
}
