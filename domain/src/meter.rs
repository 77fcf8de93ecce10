//! A meter: something that can be counted, and how its records become one number.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Usage of it can be recorded.
    #[serde(rename = "meter.defined.v1")]
    Defined {
        /// Names it in usage and prices.
        key: MeterKey,
        /// What people call it.
        name: String,
        /// What one of it is called, say `request` or `GB-hour`.
        unit: String,
        /// How records become one number.
        aggregation: Aggregation,
    },
    /// Usage of it can no longer be recorded.
    #[serde(rename = "meter.archived.v1")]
    Archived {},
}

/// How records of a period become one number, by `reference/billing-rules.md` R11.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Aggregation {
    /// How many records.
    Count,
    /// The sum of the values.
    Sum,
    /// The largest value.
    Max,
    /// The smallest value.
    Min,
    /// The mean of the values.
    Avg,
    /// How many different texts in a dimension.
    UniqueCount {
        /// The dimension.
        dimension: String,
    },
    /// The value with the largest time.
    Latest,
}

/// A meter's name, say `api.calls`: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MeterKey(Box<str>);

/// Why a text is not a meter's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a meter key like `api.calls`, got `{0}`")]
pub struct MeterKeyError(String);

impl MeterKey {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MeterKey {
    type Err = MeterKeyError;

    fn from_str(text: &str) -> Result<Self, MeterKeyError> {
        let fits = (1..=64).contains(&text.len())
            && text.starts_with(|it: char| it.is_ascii_lowercase())
            && text.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'));
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(MeterKeyError(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for MeterKey {
    type Error = MeterKeyError;

    fn try_from(text: String) -> Result<Self, MeterKeyError> {
        text.parse()
    }
}

impl From<MeterKey> for String {
    fn from(key: MeterKey) -> Self {
        key.0.into()
    }
}

impl fmt::Display for MeterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
