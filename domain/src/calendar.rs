//! Billing periods: half-open spans between wall-clock boundaries of one anchor.

use serde::{Deserialize, Serialize};

/// A unit of the civil calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A civil day.
    Day,
    /// Seven civil days.
    Week,
    /// A calendar month, clamped to its last day.
    Month,
    /// Twelve calendar months.
    Year,
}

/// How long a billing period is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interval {
    /// The unit.
    pub unit: Unit,
    /// How many of it, at least 1.
    pub count: u16,
}
