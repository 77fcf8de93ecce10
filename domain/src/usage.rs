//! Usage: what was consumed, recorded once for ever.
//!
//! One accepted request is one event. Whether an entry was seen before is a fact the owner
//! looks up in its identity index; what follows from it is decided here, by
//! `reference/billing-rules.md` R9–R12 and R21.

mod entry;

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use chrono::{DateTime, TimeDelta, Utc};
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

pub use self::entry::{
    DIMENSION_KEY_MAX, DIMENSION_VALUE_MAX, DIMENSIONS_MAX, Entry, ID_MAX, SOURCE_MAX, Timed,
    validate,
};
use crate::aggregate::Aggregate;
use crate::calendar::Period;
use crate::customer;
use crate::id::CustomerId;
use crate::meter::{self, Aggregation, MeterKey};
use crate::quantity::Quantity;

/// How far ahead of us a usage entry may be dated before it is refused.
///
/// Covers honest clock skew between machines; the past is never refused (R10). In seconds: 300.
pub const CLOCK_SKEW_MAX: TimeDelta = TimeDelta::seconds(300);

/// The most entries one request may hold: 1,000, so that one event stays under the value limit
/// and a request can be answered entry by entry.
pub const ENTRIES_MAX: usize = 1_000;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
/// A quota's periods that ended before its newest began are forgotten, so at most two remain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    used: RedBlackTreeMapSync<Counter, Used>,
}

/// What a counter counts: a customer's use of a meter in the period that starts then.
type Counter = (CustomerId, MeterKey, DateTime<Utc>);

/// How far a quota is used, and when that ceases to matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Used {
    end: DateTime<Utc>,
    amount: Quantity,
}

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

/// An entry that wants to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The entry.
    pub entry: Entry,
    /// Fact: whether its identity is known, from the owner's index of everything recorded.
    pub seen: Seen,
    /// Fact: whether its meter can be used.
    pub meter: meter::Standing,
    /// Fact: whether its customer can use anything.
    pub customer: customer::Standing,
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

/// Whether the identity of an entry is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// Not yet.
    New,
    /// With the same content.
    Same,
    /// With other content.
    Conflict,
}

/// What became of an entry of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It counts.
    Accepted,
    /// It counted already (R9): ignored, success.
    Duplicate,
    /// Its identity counted with other content (R9): ignored, reported.
    Conflict,
    /// There is no such meter.
    UnknownMeter,
    /// The meter is archived.
    ArchivedMeter,
    /// There is no such billing account.
    UnknownCustomer,
    /// The billing account is closed.
    ClosedCustomer,
    /// It is dated further ahead than [`CLOCK_SKEW_MAX`].
    TooFarAhead,
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

/// Says what becomes of each entry of a request received at `received_at`, quotas aside.
///
/// Who sends an entry again is told that it counted, even if its meter or account has gone since.
#[must_use]
pub fn judge(candidates: &[Candidate], received_at: DateTime<Utc>) -> Vec<Verdict> {
    let mut accepted: HashMap<(&str, &str), &Entry> = HashMap::new();
    let verdict = |candidate| judge_one(candidate, received_at, &mut accepted);
    candidates.iter().map(verdict).collect()
}

fn judge_one<'a>(
    candidate: &'a Candidate,
    received_at: DateTime<Utc>,
    accepted: &mut HashMap<(&'a str, &'a str), &'a Entry>,
) -> Verdict {
    let entry = &candidate.entry;
    match candidate.seen {
        Seen::Same => return Verdict::Duplicate,
        Seen::Conflict => return Verdict::Conflict,
        Seen::New => {}
    }
    let slot = match accepted.entry((&entry.source, &entry.id)) {
        Slot::Occupied(first) if first.get().content() == entry.content() => {
            return Verdict::Duplicate;
        }
        Slot::Occupied(_) => return Verdict::Conflict,
        Slot::Vacant(slot) => slot,
    };
    match (&candidate.meter, candidate.customer) {
        (meter::Standing::NotDefined, _) => Verdict::UnknownMeter,
        (meter::Standing::Archived, _) => Verdict::ArchivedMeter,
        (meter::Standing::Defined(_), customer::Standing::NotOpened) => Verdict::UnknownCustomer,
        (meter::Standing::Defined(_), customer::Standing::Closed) => Verdict::ClosedCustomer,
        (meter::Standing::Defined(_), customer::Standing::Open) => {
            if entry.at > received_at + CLOCK_SKEW_MAX {
                return Verdict::TooFarAhead;
            }
            slot.insert(entry);
            Verdict::Accepted
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
    /// How much of the quota of `customer` for `meter` in the period from `start` is used.
    #[must_use]
    pub fn used(&self, customer: CustomerId, meter: &MeterKey, start: DateTime<Utc>) -> Quantity {
        let counter = (customer, meter.clone(), start);
        self.used.get(&counter).map_or(Quantity::ZERO, |it| it.amount)
    }

    /// Everything that is used, for a snapshot.
    pub fn counters(&self) -> impl Iterator<Item = Consumption> {
        self.used.iter().map(|((customer, meter, start), used)| Consumption {
            customer: *customer,
            meter: meter.clone(),
            period: Period { start: *start, end: used.end },
            amount: used.amount,
        })
    }

    /// The state that has used this, from a snapshot.
    #[must_use]
    pub fn from_counters(counters: &[Consumption]) -> Self {
        let mut usage = Self::default();
        counters.iter().for_each(|it| usage.count(it));
        usage
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
        let used = self.used(*customer, meter, period.start);
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
        let first = (*customer, meter.clone(), DateTime::<Utc>::MIN_UTC);
        let counter = (*customer, meter.clone(), period.start);
        let over = |(_, used): &(&Counter, &Used)| used.end < period.start;
        let over: Vec<Counter> = self
            .used
            .range(first..counter.clone())
            .filter(over)
            .map(|(counter, _)| counter.clone())
            .collect();
        for forgotten in &over {
            self.used.remove_mut(forgotten);
        }
        let used = self.used(*customer, meter, period.start);
        let amount = used.checked_add(*amount).unwrap_or(used);
        self.used.insert_mut(counter, Used { end: period.end, amount });
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
