//! A subscription: a plan sold to a customer, under terms embedded in its events.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{CustomerId, PlanId};
use crate::plan::Terms;

/// What happened. Stored forever: add variants and versions, never change one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A customer bought a plan.
    #[serde(rename = "subscription.started.v1")]
    Started {
        /// Who bought.
        customer: CustomerId,
        /// Which plan, at which version, on which terms.
        sold: Sold,
        /// The zone of its periods, fixed at the start; an IANA name.
        time_zone: chrono_tz::Tz,
        /// What the periods are counted from; the end of the trial if there is one.
        anchor: DateTime<Utc>,
        /// When nothing is billed before; none without a trial.
        trial_end: Option<DateTime<Utc>>,
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
    },
}

/// What was sold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sold {
    /// The plan.
    pub plan: PlanId,
    /// Its version.
    pub version: u32,
    /// What that version says.
    pub terms: Terms,
}
