//! A subscription: a plan sold to a customer, under terms embedded in its events.

mod sale;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::sale::{Phase, Sale, Sold};
use crate::aggregate::{Aggregate, Due, DueKind};
use crate::calendar::{self, Interval, Period, Unit};
use crate::customer;
use crate::id::CustomerId;
use crate::operation::CancelWhen;
use crate::quantity::Currency;
use crate::usage::Allowance;

/// What happened. Stored forever: add variants and versions, never change one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Event {
    /// A customer bought a plan.
    #[serde(rename = "subscription.started.v1")]
    Started {
        /// Who bought.
        customer: CustomerId,
        /// Which plan, at which version, on which terms.
        sold: Sold,
        /// The zone of its periods, fixed at the start; an IANA name.
        #[schemars(with = "String")]
        time_zone: chrono_tz::Tz,
        /// What the periods are counted from; the end of the trial if there is one.
        anchor: DateTime<Utc>,
        /// When nothing is billed before; none without a trial.
        trial_end: Option<DateTime<Utc>>,
        /// The first instant after the first period, or after the trial if there is one. A fact:
        /// the zone database may say something else by the time it is read.
        period_end: DateTime<Utc>,
        /// When it was sold.
        at: DateTime<Utc>,
    },
    /// The customer moved to another plan or version.
    #[serde(rename = "subscription.plan-changed.v1")]
    PlanChanged {
        /// Which plan, at which version, on which terms from now on.
        sold: Sold,
        /// When.
        at: DateTime<Utc>,
    },
    /// It will end with the running period.
    #[serde(rename = "subscription.cancellation-scheduled.v1")]
    CancellationScheduled {
        /// The end of the running period.
        at: DateTime<Utc>,
    },
    /// It will go on after all.
    #[serde(rename = "subscription.cancellation-undone.v1")]
    CancellationUndone {},
    /// A further period has begun.
    #[serde(rename = "subscription.renewed.v1")]
    Renewed {
        /// Its number; the first is 0, a trial is before it.
        period: u32,
        /// Its first instant.
        start: DateTime<Utc>,
        /// The first instant after it.
        end: DateTime<Utc>,
    },
    /// It is over.
    #[serde(rename = "subscription.cancelled.v1")]
    Cancelled {
        /// The first instant it no longer covers.
        at: DateTime<Utc>,
        /// Why.
        reason: CancelReason,
    },
}

/// Why a subscription is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = crate::event::open)]
pub enum CancelReason {
    /// Somebody asked for it, at once or for the period's end.
    Requested,
    /// The tenant it belongs to was closed.
    TenantClosed,
}

/// What is true now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Subscription {
    /// Nothing happened yet.
    #[default]
    NotStarted,
    /// It goes on from period to period.
    Active(Sale),
    /// It ends with the running period.
    Cancelling(Sale),
    /// It is over.
    Cancelled {
        /// Who had bought.
        customer: CustomerId,
        /// The first instant it no longer covered.
        at: DateTime<Utc>,
    },
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Sell a plan to a customer.
    Start {
        /// Who buys.
        customer: CustomerId,
        /// Fact: whether that customer can buy.
        standing: customer::Standing,
        /// Fact: the zone of that customer.
        time_zone: chrono_tz::Tz,
        /// Fact: what is sold, from [`crate::plan::Plan::sell`].
        sold: Sold,
    },
    /// Move to another plan or version at once.
    ChangePlan {
        /// Fact: what is sold from now on, from [`crate::plan::Plan::sell`].
        sold: Sold,
    },
    /// End it.
    Cancel {
        /// When.
        when: CancelWhen,
    },
    /// Take back a cancellation that has not come about yet.
    UndoCancellation,
    /// A timer of [`Aggregate::due`] went off: renew or end it.
    PeriodEnded {
        /// The instant that was due.
        at: DateTime<Utc>,
    },
    /// The tenant is closed for good, and with it whatever it bought or sold.
    TenantClosed {
        /// Fact: when it was closed.
        at: DateTime<Utc>,
    },
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such subscription.
    #[error("the subscription does not exist")]
    NotStarted,
    /// It was started otherwise.
    #[error("the subscription was started already, with another customer or plan")]
    AlreadyStarted,
    /// It is over.
    #[error("the subscription is cancelled")]
    Cancelled,
    /// It is about to end.
    #[error("the subscription ends on {0}; undo the cancellation first")]
    Cancelling(DateTime<Utc>),
    /// There is no such billing account.
    #[error("there is no billing account {0}")]
    UnknownCustomer(CustomerId),
    /// The billing account is closed.
    #[error("the billing account {0} is closed")]
    ClosedCustomer(CustomerId),
    /// R16c: one currency per invoice.
    #[error("the subscription is in {from}, the plan in {to}; cancel it and start another")]
    OtherCurrency {
        /// The currency of the sale.
        from: Currency,
        /// The currency of the plan asked for.
        to: Currency,
    },
    /// Periods of another length would not be counted from the anchor (R3).
    #[error("the plan has another billing interval; cancel at the period's end and start another")]
    OtherInterval,
    /// The running period is over and its end is not handled yet.
    #[error("the period ended on {0} and is being renewed or closed; try again")]
    PeriodOver(DateTime<Utc>),
    /// The timer went off too early.
    #[error("the period ends on {0}, which is still to come")]
    TooEarly(DateTime<Utc>),
}

impl Rejection {
    /// A stable code in upper case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotStarted => "SUBSCRIPTION_NOT_FOUND",
            Self::AlreadyStarted => "SUBSCRIPTION_EXISTS",
            Self::Cancelled => "SUBSCRIPTION_CANCELLED",
            Self::Cancelling(_) => "SUBSCRIPTION_CANCELLING",
            Self::UnknownCustomer(_) => "CUSTOMER_NOT_FOUND",
            Self::ClosedCustomer(_) => "CUSTOMER_CLOSED",
            Self::OtherCurrency { .. } => "PLAN_CURRENCY",
            Self::OtherInterval => "PLAN_INTERVAL",
            Self::PeriodOver(_) => "PERIOD_OVER",
            Self::TooEarly(_) => "TOO_EARLY",
        }
    }
}

impl Subscription {
    /// The sale, unless it has not begun or is over.
    #[must_use]
    pub fn sale(&self) -> Option<&Sale> {
        match self {
            Self::NotStarted | Self::Cancelled { .. } => None,
            Self::Active(sale) | Self::Cancelling(sale) => Some(sale),
        }
    }

    /// The span of the running period or trial.
    #[must_use]
    pub fn current_period(&self) -> Option<Period> {
        self.sale().map(|it| it.period)
    }

    /// The hard quotas on usage: for the running period and, since usage may be dated a little
    /// ahead of us, for the next one if there will be one.
    #[must_use]
    pub fn allowances(&self) -> Vec<Allowance> {
        match self {
            Self::NotStarted | Self::Cancelled { .. } => Vec::new(),
            Self::Active(sale) => sale.allowances(&[sale.period, sale.next().1]),
            Self::Cancelling(sale) => sale.allowances(&[sale.period]),
        }
    }

    /// The hard quota on how many entities there may be at a time; none if there is no limit.
    #[must_use]
    pub fn entities_max(&self) -> Option<u64> {
        self.sale()?.entities_max()
    }

    fn change(&mut self, change: impl FnOnce(&mut Sale)) {
        if let Self::Active(sale) | Self::Cancelling(sale) = self {
            change(sale);
        }
    }
}

/// Starts a subscription. A trial is as many civil days as the plan says; what follows it is
/// counted from its end (R18).
fn start(
    customer: CustomerId,
    standing: customer::Standing,
    time_zone: chrono_tz::Tz,
    sold: &Sold,
    now: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    match standing {
        customer::Standing::NotOpened => return Err(Rejection::UnknownCustomer(customer)),
        customer::Standing::Closed => return Err(Rejection::ClosedCustomer(customer)),
        customer::Standing::Open => {}
    }
    let trial_end = match sold.terms.trial_days {
        0 => None,
        days => {
            let day = Interval { unit: Unit::Day, count: days };
            Some(calendar::boundary(now, time_zone, day, 1))
        }
    };
    let (sold, anchor) = (sold.clone(), trial_end.unwrap_or(now));
    let period_end =
        trial_end.unwrap_or_else(|| calendar::boundary(now, time_zone, sold.terms.interval, 1));
    Ok(vec![Event::Started { customer, sold, time_zone, anchor, trial_end, period_end, at: now }])
}

impl Aggregate for Subscription {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, now: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
        use Subscription::{Active, Cancelled, Cancelling, NotStarted};

        match (self, command) {
            (NotStarted, Command::Start { customer, standing, time_zone, sold }) => {
                start(*customer, *standing, *time_zone, sold, now)
            }
            (
                NotStarted,
                Command::ChangePlan { .. } | Command::Cancel { .. } | Command::UndoCancellation,
            ) => Err(Rejection::NotStarted),

            (Active(sale) | Cancelling(sale), Command::Start { customer, sold, .. }) => {
                let same = sale.customer == *customer && *sale.sold == *sold;
                if same { Ok(Vec::new()) } else { Err(Rejection::AlreadyStarted) }
            }

            (Active(sale) | Cancelling(sale), Command::PeriodEnded { at })
                if *at != sale.period.end =>
            {
                Ok(Vec::new())
            }
            (Active(_) | Cancelling(_), Command::PeriodEnded { at }) if now < *at => {
                Err(Rejection::TooEarly(*at))
            }
            (Active(sale), Command::PeriodEnded { .. }) => {
                let (period, Period { start, end }) = sale.next();
                Ok(vec![Event::Renewed { period, start, end }])
            }
            (Cancelling(_), Command::PeriodEnded { at }) => {
                Ok(vec![Event::Cancelled { at: *at, reason: CancelReason::Requested }])
            }

            // As if cancelled at that instant (R19); what is owed is a matter of rating. A period
            // that was over before then ended as it was going to.
            (Active(sale) | Cancelling(sale), Command::TenantClosed { at }) => {
                let at = (*at).min(sale.period.end);
                Ok(vec![Event::Cancelled { at, reason: CancelReason::TenantClosed }])
            }

            // The owner fires timers first, so this guards only against its mistakes.
            (
                Active(Sale { period, .. }) | Cancelling(Sale { period, .. }),
                Command::ChangePlan { .. } | Command::Cancel { .. } | Command::UndoCancellation,
            ) if now >= period.end => Err(Rejection::PeriodOver(period.end)),

            (Active(sale), Command::ChangePlan { sold }) => sale.change(sold, now),
            // Wishes that contradict each other: whoever changes the plan must say it goes on.
            (Cancelling(sale), Command::ChangePlan { .. }) => {
                Err(Rejection::Cancelling(sale.period.end))
            }

            (Active(_) | Cancelling(_), Command::Cancel { when: CancelWhen::Now }) => {
                Ok(vec![Event::Cancelled { at: now, reason: CancelReason::Requested }])
            }
            (Active(sale), Command::Cancel { when: CancelWhen::PeriodEnd }) => {
                Ok(vec![Event::CancellationScheduled { at: sale.period.end }])
            }
            (Cancelling(_), Command::Cancel { when: CancelWhen::PeriodEnd }) => Ok(Vec::new()),

            (Active(_), Command::UndoCancellation) => Ok(Vec::new()),
            (Cancelling(_), Command::UndoCancellation) => Ok(vec![Event::CancellationUndone {}]),

            (Cancelled { .. }, Command::Cancel { .. })
            | (
                NotStarted | Cancelled { .. },
                Command::PeriodEnded { .. } | Command::TenantClosed { .. },
            ) => Ok(Vec::new()),
            (
                Cancelled { .. },
                Command::Start { .. } | Command::ChangePlan { .. } | Command::UndoCancellation,
            ) => Err(Rejection::Cancelled),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Started { customer, sold, time_zone, anchor, trial_end, period_end, at } => {
                *self = Self::Active(Sale {
                    customer: *customer,
                    sold: Arc::new(sold.clone()),
                    time_zone: *time_zone,
                    anchor: *anchor,
                    phase: trial_end.map_or(Phase::Period(0), |_| Phase::Trial),
                    period: Period { start: *at, end: *period_end },
                });
            }
            Event::PlanChanged { sold, at: _ } => {
                self.change(|it| it.sold = Arc::new(sold.clone()));
            }
            Event::CancellationScheduled { at: _ } => {
                if let Self::Active(sale) = self {
                    *self = Self::Cancelling(sale.clone());
                }
            }
            Event::CancellationUndone {} => {
                if let Self::Cancelling(sale) = self {
                    *self = Self::Active(sale.clone());
                }
            }
            Event::Renewed { period, start, end } => self.change(|it| {
                it.phase = Phase::Period(*period);
                it.period = Period { start: *start, end: *end };
            }),
            Event::Cancelled { at, reason: _ } => {
                if let Some(sale) = self.sale() {
                    *self = Self::Cancelled { customer: sale.customer, at: *at };
                }
            }
        }
    }

    fn due(&self) -> Option<Due> {
        self.sale().map(|it| Due { at: it.period.end, kind: DueKind::PeriodEnd })
    }
}

#[cfg(test)]
mod tests;
