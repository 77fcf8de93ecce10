//! Money: whole minor units of one currency (`docs/billing-rules.md` R1).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Currency;

/// An amount of money. Negative for what is owed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// How many of the currency's minor unit: cents for `EUR`, yen for `JPY`.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

/// Why two amounts have no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// They are of two currencies (R16c).
    #[error("expected an amount in {expected}, got one in {got}")]
    Mixed {
        /// The currency of the first.
        expected: Currency,
        /// The currency of the second.
        got: Currency,
    },
    /// It leaves the range of 64 bits.
    #[error("the amount is beyond what can be counted in minor units of {0}")]
    Overflow(Currency),
}

impl Money {
    /// Nothing, in `currency`.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self { minor: 0, currency }
    }

    /// The sum.
    ///
    /// # Errors
    ///
    /// [`MoneyError`] if the currencies differ or the sum is too large.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.with(other, i64::checked_add)
    }

    /// The difference.
    ///
    /// # Errors
    ///
    /// [`MoneyError`] if the currencies differ or the difference is too large.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.with(other, i64::checked_sub)
    }

    /// The same amount owed the other way.
    ///
    /// # Errors
    ///
    /// [`MoneyError::Overflow`] for the one amount that has no opposite.
    pub fn checked_neg(self) -> Result<Self, MoneyError> {
        Self::zero(self.currency).checked_sub(self)
    }

    fn with(
        self,
        other: Self,
        operation: impl FnOnce(i64, i64) -> Option<i64>,
    ) -> Result<Self, MoneyError> {
        let currency = self.currency;
        if other.currency != currency {
            return Err(MoneyError::Mixed { expected: currency, got: other.currency });
        }
        let minor = operation(self.minor, other.minor).ok_or(MoneyError::Overflow(currency))?;
        Ok(Self { minor, currency })
    }
}

/// In major units with every digit of the minor unit: `-12.30 EUR`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.currency.minor_digits();
        let unit = 10_u64.pow(digits);
        let amount = self.minor.unsigned_abs();
        let sign = if self.minor < 0 { "-" } else { "" };
        write!(f, "{sign}{}", amount / unit)?;
        if digits > 0 {
            let width = usize::try_from(digits).expect("at most 4");
            write!(f, ".{:0width$}", amount % unit)?;
        }
        write!(f, " {}", self.currency)
    }
}
