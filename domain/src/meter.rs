//! A meter: something that can be counted, and how its records become one number.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::violation::{self, Violation, Violations};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// How records of a period become one number, by `docs/billing-rules.md` R11.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// The longest display name, in characters: 120, as for everything that has one.
pub const NAME_MAX: usize = 120;

/// The longest unit, in characters: 32, so that it fits on an axis.
pub const UNIT_MAX: usize = 32;

/// What is true now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Meter {
    /// Nothing happened yet.
    #[default]
    NotDefined,
    /// Usage of it can be recorded.
    Defined(Definition),
    /// Usage of it can no longer be recorded.
    Archived(Definition),
}

/// What a meter counts and how. It never changes: usage recorded under it would change meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Names it in usage and prices.
    pub key: MeterKey,
    /// What people call it.
    pub name: String,
    /// What one of it is called.
    pub unit: String,
    /// How records become one number.
    pub aggregation: Aggregation,
}

/// Whether usage can be recorded, for the decisions of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is no such meter.
    NotDefined,
    /// It can, and this is how records become one number.
    Defined(Aggregation),
    /// No longer.
    Archived,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Define it.
    Define(Definition),
    /// Stop counting it.
    Archive,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such meter.
    #[error("the meter does not exist")]
    NotDefined,
    /// It was defined otherwise.
    #[error("the meter `{0}` is defined otherwise; a definition never changes, take another key")]
    AlreadyDefined(MeterKey),
    /// It is archived.
    #[error("the meter `{0}` is archived")]
    Archived(MeterKey),
    /// The definition is malformed.
    #[error("{}", violation::summary(.0))]
    Invalid(Vec<Violation>),
}

impl Rejection {
    /// A stable code in upper case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotDefined => "METER_NOT_FOUND",
            Self::AlreadyDefined(_) => "METER_EXISTS",
            Self::Archived(_) => "METER_ARCHIVED",
            Self::Invalid(_) => "METER_INVALID",
        }
    }
}

impl Definition {
    /// What is wrong with its shape.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let mut violations = Violations::default();
        self::violations(&self.name, &self.unit, &self.aggregation, &mut violations);
        violations.into_vec()
    }
}

/// Notes what is wrong with the shape of a definition.
pub(crate) fn violations(
    name: &str,
    unit: &str,
    aggregation: &Aggregation,
    violations: &mut Violations,
) {
    violations.text("name", name, NAME_MAX);
    violations.text("unit", unit, UNIT_MAX);
    if let Aggregation::UniqueCount { dimension } = aggregation {
        violations.text("dimension", dimension, crate::usage::DIMENSION_KEY_MAX);
    }
}

impl Meter {
    /// Whether usage of it can be recorded.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self {
            Self::NotDefined => Standing::NotDefined,
            Self::Defined(definition) => Standing::Defined(definition.aggregation.clone()),
            Self::Archived(_) => Standing::Archived,
        }
    }

    /// What it counts and how; none before it is defined.
    #[must_use]
    pub fn definition(&self) -> Option<&Definition> {
        match self {
            Self::NotDefined => None,
            Self::Defined(definition) | Self::Archived(definition) => Some(definition),
        }
    }
}

impl Aggregate for Meter {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _now: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
        use Meter::{Archived, Defined, NotDefined};

        match (self, command) {
            (NotDefined, Command::Define(definition)) => {
                let violations = definition.violations();
                if !violations.is_empty() {
                    return Err(Rejection::Invalid(violations));
                }
                let Definition { key, name, unit, aggregation } = definition.clone();
                Ok(vec![Event::Defined { key, name, unit, aggregation }])
            }
            (NotDefined, Command::Archive) => Err(Rejection::NotDefined),

            (Defined(known), Command::Define(asked)) if known == asked => Ok(Vec::new()),
            (Defined(known), Command::Define(_)) => {
                Err(Rejection::AlreadyDefined(known.key.clone()))
            }
            (Defined(_), Command::Archive) => Ok(vec![Event::Archived {}]),

            (Archived(known), Command::Define(_)) => Err(Rejection::Archived(known.key.clone())),
            (Archived(_), Command::Archive) => Ok(Vec::new()),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Defined { key, name, unit, aggregation } => {
                *self = Self::Defined(Definition {
                    key: key.clone(),
                    name: name.clone(),
                    unit: unit.clone(),
                    aggregation: aggregation.clone(),
                });
            }
            Event::Archived {} => {
                if let Self::Defined(definition) = self {
                    *self = Self::Archived(definition.clone());
                }
            }
        }
    }
}

/// A meter's name, say `api.calls`: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = crate::text::KEY_PATTERN))]
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
        if crate::text::is_key(text) {
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

#[cfg(test)]
mod tests;
