//! Usage: what was consumed, recorded once for ever.
//!
//! One accepted request is one event. Whether an entry was seen before is a fact the owner
//! looks up in its identity index; what follows from it is decided here, by
//! `docs/billing-rules.md` R9–R12 and R21.

mod entry;
mod verdict;

use chrono::{DateTime, Utc};
use rpds::RedBlackTreeMapSync;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::entry::{
    DIMENSION_KEY_MAX, DIMENSION_VALUE_MAX, DIMENSIONS_MAX, Entry, ID_MAX, SOURCE_MAX, Timed,
    validate,
};
pub use self::verdict::{CLOCK_SKEW_MAX, Candidate, Seen, Verdict, judge};
use crate::aggregate::Aggregate;
use crate::calendar::Period;
use crate::id::CustomerId;
use crate::meter::{self, Aggregation, MeterKey};
use crate::quantity::Quantity;

/// The most entries one request may hold: 1,000, so that one event stays under the value limit
/// and a request can be answered entry by entry.
pub const ENTRIES_MAX: usize = 1_000;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Event {
    /// Usage was accepted.
    #[serde(rename = "usage.recorded.v1")]
    Recorded {
        /// The accepted entries, in the order of the request.
        entries: Vec<Entry>,
        /// What became of the others, by their place in the request.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        others: Vec<(u32, Verdict)>,
        /// What the accepted entries take from hard quotas.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        consumed: Vec<Consumption>,
    },
}

/// What accepted entries take from a hard quota (R21).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Consumption {
    /// Whose quota.
    pub customer: CustomerId,
    /// Of what.
    pub meter: MeterKey,
    /// For which period.
    pub period: Period,
    /// How much; negative where usage was taken back (R12).
    pub amount: Quantity,
}

/// What is true now: how much of each hard quota is used. Cloning it costs the same however many
/// quotas there are.
///
/// A quota's periods that ended before its newest began are forgotten, so few remain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    used: RedBlackTreeMapSync<Counter, Quantity>,
}

/// What a counter counts: a customer's use of a meter in a period. Two subscriptions may have
/// periods that begin together and end apart, so both bounds belong to it.
type Counter = (CustomerId, MeterKey, Period);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Record usage.
    Record {
        /// The entries of the request, in its order, each with what is known about it.
        entries: Vec<Candidate>,
        /// Facts: the hard quotas in force for any customer among the entries.
        allowances: Vec<Allowance>,
    },
}

/// A hard quota in force: the most a customer may use of a meter in a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Whose.
    pub customer: CustomerId,
    /// Of what.
    pub meter: MeterKey,
    /// How much.
    pub limit: Quantity,
    /// For which usage, by its time.
    pub period: Period,
}

/// Why not. A refused request consumes nothing, whichever of its entries would have fitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The request would exceed a hard quota.
    #[error("the quota of {limit} for `{meter}` is used up to {used}; {asked} more is too much")]
    QuotaExceeded {
        /// Whose quota.
        customer: CustomerId,
        /// Of what.
        meter: MeterKey,
        /// How much there is.
        limit: Quantity,
        /// How much was used before.
        used: Quantity,
        /// How much the request asks for.
        asked: Quantity,
    },
    /// The sum leaves the range in which it is exact.
    #[error("the usage of `{0}` adds up to more than can be counted exactly")]
    OutOfRange(MeterKey),
}

impl Rejection {
    /// A stable code in upper case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::QuotaExceeded { .. } => "QUOTA_EXCEEDED",
            Self::OutOfRange(_) => "USAGE_OUT_OF_RANGE",
        }
    }
}

/// What a record of `value` takes from a quota; nothing if the meter's number is not a sum.
///
/// Only counts and sums can be used up. A quota on another meter is never enforced.
fn takes(aggregation: &Aggregation, value: Quantity) -> Quantity {
    match aggregation {
        Aggregation::Count => Quantity::from(1),
        Aggregation::Sum => value,
        Aggregation::Max
        | Aggregation::Min
        | Aggregation::Avg
        | Aggregation::UniqueCount { .. }
        | Aggregation::Latest => Quantity::ZERO,
    }
}

impl Usage {
    /// How much of the quota of `customer` for `meter` in `period` is used.
    #[must_use]
    pub fn used(&self, customer: CustomerId, meter: &MeterKey, period: Period) -> Quantity {
        let counter = (customer, meter.clone(), period);
        self.used.get(&counter).copied().unwrap_or_default()
    }

    /// Everything that is used, for a snapshot.
    pub fn counters(&self) -> impl Iterator<Item = Consumption> {
        self.used.iter().map(|((customer, meter, period), amount)| {
            let (customer, meter) = (*customer, meter.clone());
            Consumption { customer, meter, period: *period, amount: *amount }
        })
    }

    /// The state that has used this, from a snapshot.
    #[must_use]
    pub fn from_counters(counters: &[Consumption]) -> Self {
        // Taken as they are. To count them again would forget old ones that were counted late.
        let counter = |it: &Consumption| ((it.customer, it.meter.clone(), it.period), it.amount);
        Self { used: counters.iter().map(counter).collect() }
    }

    /// What the entries take from `allowance`; none if that is nothing.
    ///
    /// Quotas are checked one by one, so where several hold for the same usage each of them must.
    fn consume(
        &self,
        entries: &[&Candidate],
        allowance: &Allowance,
    ) -> Result<Option<Consumption>, Rejection> {
        let Allowance { customer, meter, limit, period } = allowance;
        let out_of_range = || Rejection::OutOfRange(meter.clone());
        let mut amount = Quantity::ZERO;
        for Candidate { entry, meter: standing, .. } in entries {
            let concerned = entry.customer == *customer && entry.meter == *meter;
            if let meter::Standing::Defined(aggregation) = standing
                && concerned
                && period.contains(entry.at)
            {
                let taken = takes(aggregation, entry.value);
                amount = amount.checked_add(taken).ok_or_else(out_of_range)?;
            }
        }
        if amount == Quantity::ZERO {
            return Ok(None);
        }
        let used = self.used(*customer, meter, *period);
        let after = used.checked_add(amount).ok_or_else(out_of_range)?;
        // What gives something back is welcome even where the limit was lowered below the use.
        if amount > Quantity::ZERO && after > *limit {
            return Err(Rejection::QuotaExceeded {
                customer: *customer,
                meter: meter.clone(),
                limit: *limit,
                used,
                asked: amount,
            });
        }
        let (customer, meter, period) = (*customer, meter.clone(), *period);
        Ok(Some(Consumption { customer, meter, period, amount }))
    }

    fn record(
        &self,
        candidates: &[Candidate],
        allowances: &[Allowance],
        received_at: DateTime<Utc>,
    ) -> Result<Vec<Event>, Rejection> {
        let verdicts = judge(candidates, received_at);
        let (mut accepted, mut others) = (Vec::new(), Vec::new());
        for ((candidate, verdict), place) in candidates.iter().zip(verdicts).zip(0..) {
            match verdict {
                Verdict::Accepted => accepted.push(candidate),
                other => others.push((place, other)),
            }
        }
        if accepted.is_empty() {
            return Ok(Vec::new());
        }
        let mut consumed: Vec<Consumption> = Vec::new();
        for allowance in allowances {
            let Some(consumption) = self.consume(&accepted, allowance)? else { continue };
            // Two subscriptions may limit the same usage; it is counted once.
            if !consumed.contains(&consumption) {
                consumed.push(consumption);
            }
        }
        let entries = accepted.into_iter().map(|it| it.entry.clone()).collect();
        Ok(vec![Event::Recorded { entries, others, consumed }])
    }

    fn count(&mut self, consumption: &Consumption) {
        let Consumption { customer, meter, period, amount } = consumption;
        let dawn = DateTime::<Utc>::MIN_UTC;
        let first = (*customer, meter.clone(), Period { start: dawn, end: dawn });
        let counter = (*customer, meter.clone(), *period);
        let earlier = self.used.range(first..counter.clone()).map(|(counter, _)| counter);
        let over = earlier.filter(|(_, _, earlier)| earlier.end < period.start);
        let over: Vec<Counter> = over.cloned().collect();
        for forgotten in &over {
            self.used.remove_mut(forgotten);
        }
        let used = self.used(*customer, meter, *period);
        let amount = used.checked_add(*amount).unwrap_or(used);
        self.used.insert_mut(counter, amount);
    }
}

impl Aggregate for Usage {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, now: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Record { entries, allowances } => self.record(entries, allowances, now),
        }
    }

    fn evolve(&mut self, event: &Event) {
        let Event::Recorded { consumed, .. } = event;
        consumed.iter().for_each(|it| self.count(it));
    }
}

#[cfg(test)]
mod tests;
