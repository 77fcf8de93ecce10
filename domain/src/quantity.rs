//! Amounts: exact, checked, never a binary float.
//!
//! They are stored as strings and read from nothing else: a JSON number may have been through a
//! binary float. [`Money`] is a whole number of its currency's minor unit; how prices become
//! money is not known here.

mod currency;
mod money;

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

pub use self::money::{Money, MoneyError};

/// The most fractional digits a quantity or unit price may have.
///
/// `docs/billing-rules.md` R1 says how many.
pub const FRACTION_DIGITS_MAX: u32 = 12;

/// The largest absolute quantity or unit price: 10¹⁵, so that sums of many stay exact in the
/// 96-bit mantissa of [`Decimal`].
pub const ABSOLUTE_MAX: i64 = 1_000_000_000_000_000;

/// What an amount looks like where it is stored: 10¹⁵ has 16 digits.
const AMOUNT_PATTERN: &str = r"^-?[0-9]{1,16}(\.[0-9]{1,12})?$";

/// Why a text or number is not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a decimal number.
    #[error("expected a decimal number like `12.5`, without an exponent, got `{0}`")]
    Malformed(String),
    /// More than [`FRACTION_DIGITS_MAX`] fractional digits.
    #[error("expected at most {FRACTION_DIGITS_MAX} digits after the point, got `{0}`")]
    TooFine(Decimal),
    /// Beyond [`ABSOLUTE_MAX`].
    #[error("expected an amount within ±{ABSOLUTE_MAX}, got `{0}`")]
    TooLarge(Decimal),
    /// No currency that is in use.
    #[error("expected the ISO 4217 code of a currency in use, like `EUR`, got `{0}`")]
    Currency(String),
}

fn checked(value: Decimal) -> Result<Decimal, AmountError> {
    let value = value.normalize();
    if value.scale() > FRACTION_DIGITS_MAX {
        return Err(AmountError::TooFine(value));
    }
    if value.abs() > Decimal::from(ABSOLUTE_MAX) {
        return Err(AmountError::TooLarge(value));
    }
    Ok(value)
}

macro_rules! amount {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
        #[schemars(extend("pattern" = AMOUNT_PATTERN))]
        pub struct $name(#[schemars(with = "String")] Decimal);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(Decimal::ZERO);

            /// Checks and normalises `value`.
            ///
            /// # Errors
            ///
            /// [`AmountError`] if it is too fine or too large.
            pub fn new(value: Decimal) -> Result<Self, AmountError> {
                checked(value).map(Self)
            }

            /// The number itself.
            #[must_use]
            pub const fn get(self) -> Decimal {
                self.0
            }

            /// The sum, or none where it would leave the exact range.
            #[must_use]
            pub fn checked_add(self, other: Self) -> Option<Self> {
                Self::new(self.0.checked_add(other.0)?).ok()
            }
        }

        impl TryFrom<Decimal> for $name {
            type Error = AmountError;

            fn try_from(value: Decimal) -> Result<Self, AmountError> {
                Self::new(value)
            }
        }

        impl From<u32> for $name {
            fn from(value: u32) -> Self {
                Self(value.into())
            }
        }

        impl FromStr for $name {
            type Err = AmountError;

            fn from_str(text: &str) -> Result<Self, AmountError> {
                let malformed = |_| AmountError::Malformed(text.chars().take(64).collect());
                Self::new(Decimal::from_str_exact(text).map_err(malformed)?)
            }
        }

        // Not by way of `Decimal`, which rounds what it cannot hold and reads exponents.
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::text::deserialize(deserializer)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

amount!(
    /// How much of something was used or bought, in plain units.
    Quantity
);
amount!(
    /// The price of one unit, in major units of its currency.
    UnitPrice
);

/// A currency by its ISO 4217 code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[A-Z]{3}$"))]
pub struct Currency([u8; 3]);

impl Currency {
    /// The code, three upper-case letters.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("the letters were checked")
    }

    /// How many digits its minor unit has, by ISO 4217: 2 unless listed otherwise.
    #[must_use]
    pub const fn minor_digits(&self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG"
            | b"RWF" | b"UGX" | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            b"CLF" | b"UYW" => 4,
            _ => 2,
        }
    }
}

/// As callers write it.
impl FromStr for Currency {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        if currency::is_in_use(text) { Self::stored(text) } else { Err(no_currency(text)) }
    }
}

impl Currency {
    /// As it is stored. Currencies go out of use; what was sold in them stays readable.
    ///
    /// # Errors
    ///
    /// [`AmountError::Currency`] if it is not three upper-case letters.
    pub fn stored(text: &str) -> Result<Self, AmountError> {
        let code: Option<[u8; 3]> = text.as_bytes().try_into().ok();
        let code = code.filter(|it| it.iter().all(u8::is_ascii_uppercase));
        code.map(Self).ok_or_else(|| no_currency(text))
    }
}

fn no_currency(text: &str) -> AmountError {
    AmountError::Currency(text.chars().take(16).collect())
}

impl TryFrom<String> for Currency {
    type Error = AmountError;

    fn try_from(text: String) -> Result<Self, AmountError> {
        Self::stored(&text)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests;
