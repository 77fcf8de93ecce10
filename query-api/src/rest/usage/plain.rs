//! An entry in plain JSON.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use domain::id::CustomerId;
use domain::meter::MeterKey;
use domain::operation::UsageEntry;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::{Malformed, Written, quantity};

/// What it can be grouped by.
pub(super) type Dimensions = BTreeMap<Box<str>, Box<str>>;

/// Reads dimensions, each of which is there once: of two with one name nobody knows which is meant.
pub(super) fn dimensions<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Dimensions, D::Error> {
    struct Once;

    impl<'de> Visitor<'de> for Once {
        type Value = Dimensions;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of texts")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Dimensions, A::Error> {
            let mut dimensions = Dimensions::new();
            while let Some((name, value)) = entries.next_entry::<Box<str>, _>()? {
                if dimensions.contains_key(&name) {
                    let message = "expected each of the `dimensions` once, got one of them twice";
                    return Err(A::Error::custom(message));
                }
                dimensions.insert(name, value);
            }
            Ok(dimensions)
        }
    }

    deserializer.deserialize_map(Once)
}

/// One record of usage.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Plain<'a> {
    /// The system that observed it.
    source: String,
    /// Names it within the source, for ever.
    id: String,
    /// What was used, by key.
    #[schema(value_type = String)]
    meter: MeterKey,
    /// Who used it, `cus_…`; the tenant itself if none.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    customer: Option<CustomerId>,
    /// When it was used; when it was received if none.
    #[serde(default)]
    at: Option<DateTime<Utc>>,
    /// How much: a decimal number as a text, or a JSON number of which every digit counts.
    #[serde(borrow)]
    #[schema(value_type = Decimal)]
    value: &'a RawValue,
    /// What it can be grouped by. `entity` says on behalf of which entity of the catalog it was
    /// used, `kind:namespace/name`.
    #[serde(default, deserialize_with = "dimensions")]
    #[schema(value_type = BTreeMap<String, String>)]
    dimensions: Dimensions,
}

/// A decimal number.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what a quantity is read from")]
pub(super) enum Decimal {
    Text(String),
    Number(f64),
}

impl<'a> Written<'a> for Plain<'a> {
    fn read(self) -> Result<UsageEntry, Malformed> {
        Ok(UsageEntry {
            value: quantity(self.value).map_err(|it| ("value", it))?,
            source: self.source,
            id: self.id,
            meter: self.meter,
            customer: self.customer,
            at: self.at,
            dimensions: self.dimensions,
        })
    }
}
