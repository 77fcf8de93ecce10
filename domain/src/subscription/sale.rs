//! A sale that is not over: what was sold, its periods, its quotas, and how it may change.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rust_decimal::prelude::ToPrimitive;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Event, Rejection};
use crate::calendar::{self, Period};
use crate::id::{CustomerId, PlanId};
use crate::meter::MeterKey;
use crate::plan::{Enforcement, Quota, QuotaOf, Terms};
use crate::quantity::Quantity;
use crate::usage::Allowance;

/// What was sold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sold {
    /// The plan.
    pub plan: PlanId,
    /// Its version.
    pub version: u32,
    /// What that version says.
    pub terms: Terms,
}

/// A sale that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    /// Who bought.
    pub customer: CustomerId,
    /// Which plan, at which version, on which terms. Shared, so that a copy of the state is cheap.
    pub sold: Arc<Sold>,
    /// The zone of its periods.
    pub time_zone: chrono_tz::Tz,
    /// What the periods are counted from.
    pub anchor: DateTime<Utc>,
    /// Which period is running.
    pub phase: Phase,
    /// The span of the running period.
    pub period: Period,
}

/// Which period of a subscription is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The trial before the first.
    Trial,
    /// The one with this number; the first is 0.
    Period(u32),
}

impl Sale {
    /// The period after the running one: it begins where that ends, and ends at the boundary after
    /// it (R3).
    pub(super) fn next(&self) -> (u32, Period) {
        let number = match self.phase {
            Phase::Trial => 0,
            Phase::Period(number) => number.saturating_add(1),
        };
        let interval = self.sold.terms.interval;
        let boundary = number.saturating_add(1);
        let end = calendar::boundary(self.anchor, self.time_zone, interval, boundary);
        (number, Period { start: self.period.end, end })
    }

    /// The hard quotas on usage, for each of `periods`.
    pub(super) fn allowances(&self, periods: &[Period]) -> Vec<Allowance> {
        let limits = self.hard().filter_map(|it| match &it.of {
            QuotaOf::Entities => None,
            QuotaOf::Usage { meter } => Some((meter, it.limit)),
        });
        let allowance = |(meter, limit): (&MeterKey, Quantity)| {
            let allowance =
                |period| Allowance { customer: self.customer, meter: meter.clone(), limit, period };
            periods.iter().copied().map(allowance).collect::<Vec<_>>()
        };
        limits.flat_map(allowance).collect()
    }

    /// The hard quota on entities. There can be no part of one.
    pub(super) fn entities_max(&self) -> Option<u64> {
        let limits = self.hard().filter_map(|it| match it.of {
            QuotaOf::Entities => it.limit.get().to_u64(),
            QuotaOf::Usage { .. } => None,
        });
        limits.min()
    }

    fn hard(&self) -> impl Iterator<Item = &Quota> {
        self.sold.terms.quotas.iter().filter(|it| it.enforcement == Enforcement::Hard)
    }

    /// Moves to another plan or version at once.
    pub(super) fn change(&self, sold: &Sold, now: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
        let (from, to) = (&self.sold.terms, &sold.terms);
        if *self.sold == *sold {
            return Ok(Vec::new());
        }
        if from.currency != to.currency {
            return Err(Rejection::OtherCurrency { from: from.currency, to: to.currency });
        }
        if from.interval != to.interval {
            return Err(Rejection::OtherInterval);
        }
        Ok(vec![Event::PlanChanged { sold: sold.clone(), at: now }])
    }
}
