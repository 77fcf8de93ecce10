//! Sums and extremes of usage, exact however many entries there are.
//!
//! A quantity has at most 12 digits after the point and is at most 10¹⁵. In units of 10⁻¹² that
//! is 10²⁷, so an `i128` holds the sum of 10¹¹ of the largest ones. No database has such a
//! number, so sums are stored as decimal text and added here.

use std::fmt;
use std::str::FromStr;

use domain::quantity::FRACTION_DIGITS_MAX;
use rust_decimal::Decimal;

/// A sum of quantities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum(i128);

/// Units of a [`Sum`] in one.
const UNITS: i128 = 10_i128.pow(FRACTION_DIGITS_MAX);

/// Why a text is not a sum.
#[derive(Debug, thiserror::Error)]
#[error("expected a decimal number with at most {FRACTION_DIGITS_MAX} digits after the point")]
pub(super) struct SumError;

/// Why a text is not a digest.
#[derive(Debug, thiserror::Error)]
#[error("expected the time and value of an entry, or what is known of several")]
pub(super) struct DigestError;

impl Sum {
    /// The sum of one quantity, which is no finer than quantities are.
    pub(super) fn of(quantity: Decimal) -> Self {
        let missing = FRACTION_DIGITS_MAX.saturating_sub(quantity.scale());
        Self(quantity.mantissa() * 10_i128.pow(missing))
    }

    /// Adds another sum.
    pub(super) fn add(&mut self, other: Self) {
        self.0 = self.0.checked_add(other.0).expect("no log holds 10^11 entries of one hour");
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, rest) = ((self.0 / UNITS).abs(), (self.0 % UNITS).abs());
        write!(f, "{sign}{whole}")?;
        if rest == 0 {
            return Ok(());
        }
        let digits = format!("{rest:0width$}", width = FRACTION_DIGITS_MAX as usize);
        write!(f, ".{}", digits.trim_end_matches('0'))
    }
}

impl FromStr for Sum {
    type Err = SumError;

    fn from_str(text: &str) -> Result<Self, SumError> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |it| (true, it));
        let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
        let width = FRACTION_DIGITS_MAX as usize;
        if rest.len() > width || !digits.starts_with(|it: char| it.is_ascii_digit()) {
            return Err(SumError);
        }
        let rest: i128 = format!("{rest:0<width$}").parse().map_err(|_| SumError)?;
        let whole: i128 = whole.parse().map_err(|_| SumError)?;
        let units = whole.checked_mul(UNITS).and_then(|it| it.checked_add(rest)).ok_or(SumError)?;
        Ok(Self(if negative { -units } else { units }))
    }
}

/// What is known of some entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest {
    pub count: u64,
    pub sum: Sum,
    pub min: Decimal,
    pub max: Decimal,
    pub latest: Decimal,
    /// When the latest was used, in microseconds since 1970.
    pub latest_at: i64,
}

impl Digest {
    /// Of one entry.
    pub(super) fn of(value: Decimal, at: i64) -> Self {
        let sum = Sum::of(value);
        Self { count: 1, sum, min: value, max: value, latest: value, latest_at: at }
    }

    /// Adds entries that were recorded after all of these.
    pub(super) fn append(&mut self, later: &Self) {
        self.count += later.count;
        self.sum.add(later.sum);
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        // R11: of several with the largest time, the one recorded last.
        if later.latest_at >= self.latest_at {
            (self.latest, self.latest_at) = (later.latest, later.latest_at);
        }
    }
}

/// As it is stored: when the latest was used and its value; then, if there are several, their
/// count, sum, least and greatest. One text, since no database could do anything with its parts.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, sum, min, max, latest, latest_at } = self;
        write!(f, "{latest_at} {latest}")?;
        if *count == 1 { Ok(()) } else { write!(f, " {count} {sum} {min} {max}") }
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        fn next<T: FromStr>(text: Option<&str>) -> Result<T, DigestError> {
            text.and_then(|it| it.parse().ok()).ok_or(DigestError)
        }
        let mut parts = text.split(' ');
        let latest_at = next(parts.next())?;
        let latest = next(parts.next())?;
        let Some(count) = parts.next() else { return Ok(Self::of(latest, latest_at)) };
        let several = Self {
            count: next(Some(count))?,
            sum: next(parts.next())?,
            min: next(parts.next())?,
            max: next(parts.next())?,
            latest,
            latest_at,
        };
        parts.next().map_or(Ok(several), |_| Err(DigestError))
    }
}

/// Adds `later` to what is known, if anything is.
pub(super) fn append(known: &mut Option<Digest>, later: &Digest) {
    match known {
        Some(known) => known.append(later),
        None => *known = Some(*later),
    }
}

#[cfg(test)]
mod tests;
