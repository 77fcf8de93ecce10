//! An entry in plain JSON.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::id::CustomerId;
use domain::meter::MeterKey;
use domain::operation::UsageEntry;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::body::{Malformed, Written, quantity};

/// What it can be grouped by.
pub(super) type Dimensions = BTreeMap<Box<str>, Box<str>>;

/// One record of usage.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plain<'a> {
    source: String,
    id: String,
    meter: MeterKey,
    #[serde(default)]
    customer: Option<CustomerId>,
    #[serde(default)]
    at: Option<DateTime<Utc>>,
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(default)]
    dimensions: Dimensions,
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
