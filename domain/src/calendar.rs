//! Billing periods: half-open spans between wall-clock boundaries of one anchor.

use chrono::{DateTime, Days, LocalResult, Months, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A unit of the civil calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// The unit.
    pub unit: Unit,
    /// How many of it, at least 1.
    pub count: u16,
}

/// Why something is not a billing interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an interval of 1 day to {YEARS_MAX} years, got {} {:?}", .0.count, .0.unit)]
pub struct IntervalError(Interval);

/// The longest billing interval, in years of 365 days: 10.
pub const YEARS_MAX: u16 = 10;

impl Interval {
    /// Checks that the interval is at least one unit and at most [`YEARS_MAX`] long.
    ///
    /// # Errors
    ///
    /// [`IntervalError`] if it is not.
    pub const fn new(unit: Unit, count: u16) -> Result<Self, IntervalError> {
        let interval = Self { unit, count };
        let count_max = match unit {
            Unit::Day => YEARS_MAX * 365,
            Unit::Week => YEARS_MAX * 52,
            Unit::Month => YEARS_MAX * 12,
            Unit::Year => YEARS_MAX,
        };
        if 1 <= count && count <= count_max { Ok(interval) } else { Err(IntervalError(interval)) }
    }
}

/// A half-open span `[start, end)` of instants.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Period {
    /// The first instant in it.
    pub start: DateTime<Utc>,
    /// The first instant after it.
    pub end: DateTime<Utc>,
}

impl Period {
    /// Whether `at` is in it.
    #[must_use]
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        self.start <= at && at < self.end
    }
}

/// Boundary `k` of the periods of `interval` from `anchor` in `zone`, by `docs/billing-rules.md` R3.
///
/// The wall time of the anchor plus `k` intervals, always from the original anchor and clamped
/// to the month's last day. A time that the clocks skip is moved forward by what they skip; of a
/// time that comes twice, the earlier instant is meant. Beyond the calendar's end, its end.
#[must_use]
pub fn boundary(anchor: DateTime<Utc>, zone: Tz, interval: Interval, k: u32) -> DateTime<Utc> {
    if k == 0 {
        return anchor;
    }
    let wall = anchor.with_timezone(&zone).naive_local();
    let count = u64::from(interval.count) * u64::from(k);
    let months = |it: u64| wall.checked_add_months(Months::new(u32::try_from(it).ok()?));
    let wall = match interval.unit {
        Unit::Day => wall.checked_add_days(Days::new(count)),
        Unit::Week => wall.checked_add_days(Days::new(count * 7)),
        Unit::Month => months(count),
        Unit::Year => months(count * 12),
    };
    wall.map_or(DateTime::<Utc>::MAX_UTC, |it| instant(it, zone))
}

/// The period of `interval` from `anchor` in `zone` that contains `at`, and its number; none
/// before the anchor.
#[must_use]
pub fn period_containing(
    anchor: DateTime<Utc>,
    zone: Tz,
    interval: Interval,
    at: DateTime<Utc>,
) -> Option<(u32, Period)> {
    if at < anchor {
        return None;
    }
    let boundary = |k| boundary(anchor, zone, interval, k);
    // The last boundary at or before `at`: double until one is after it, then halve the rest.
    let mut after = 1;
    while boundary(after) <= at {
        after = after.checked_mul(2)?;
    }
    let mut before = after / 2;
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if boundary(middle) <= at { before = middle } else { after = middle }
    }
    Some((before, Period { start: boundary(before), end: boundary(after) }))
}

fn instant(wall: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(it) | LocalResult::Ambiguous(it, _) => it.to_utc(),
        LocalResult::None => {
            // Read with the offset that held before the gap, a skipped time is after the gap by
            // as much as it was into it. A day before is before the gap wherever the zone is.
            let before = wall.checked_sub_days(Days::new(1)).unwrap_or(wall);
            let offset = zone.offset_from_utc_datetime(&before).fix();
            (wall - offset).and_utc()
        }
    }
}

#[cfg(test)]
mod tests;
