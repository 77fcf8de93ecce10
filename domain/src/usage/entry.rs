//! One record of usage: its shape, and what makes two of them the same.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::personal_parts::refers_to_user;
use crate::id::{CustomerId, TenantId};
use crate::meter::MeterKey;
use crate::operation::UsageEntry;
use crate::quantity::Quantity;
use crate::violation::{Violation, Violations};

/// The longest source, in characters: 128, as for a URI of a service.
pub const SOURCE_MAX: usize = 128;

/// The longest id within a source, in characters: 128, more than any UUID or trace needs.
pub const ID_MAX: usize = 128;

/// The most dimensions of one entry: 16, so that groups stay few enough to chart.
pub const DIMENSIONS_MAX: usize = 16;

/// The longest name of a dimension, in characters.
pub const DIMENSION_KEY_MAX: usize = 64;

/// The longest value of a dimension, in characters.
pub const DIMENSION_VALUE_MAX: usize = 256;

/// One record of usage. (`source`, `id`) identifies it within its tenant for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// The system that observed it.
    pub source: Box<str>,
    /// Names it within the source.
    pub id: Box<str>,
    /// What was used.
    pub meter: MeterKey,
    /// Who used it.
    pub customer: CustomerId,
    /// When it was used.
    pub at: DateTime<Utc>,
    /// Who said so.
    #[serde(default, skip_serializing_if = "Timed::is_by_source")]
    pub timed: Timed,
    /// How much.
    pub value: Quantity,
    /// What it can be grouped by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<Box<str>, Box<str>>,
}

/// Who said when usage happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Timed {
    /// The source that observed it.
    #[default]
    BySource,
    /// Nobody; it counts as used when it was received.
    ByReceipt,
}

impl Timed {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_by_source(&self) -> bool {
        *self == Self::BySource
    }
}

impl Entry {
    /// What `reported` becomes if it is accepted: who used it and when, where that was left out.
    #[must_use]
    pub fn of(reported: &UsageEntry, tenant: TenantId, received_at: DateTime<Utc>) -> Self {
        let timed = if reported.at.is_some() { Timed::BySource } else { Timed::ByReceipt };
        Self {
            source: reported.source.as_str().into(),
            id: reported.id.as_str().into(),
            meter: reported.meter.clone(),
            customer: reported.customer.unwrap_or(CustomerId::of_tenant(tenant)),
            at: reported.at.unwrap_or(received_at),
            timed,
            value: reported.value,
            dimensions: reported.dimensions.clone(),
        }
    }

    /// The bytes that two entries of one identity share if and only if they say the same (R9).
    ///
    /// Owners keep a keyed hash of them for ever, so they never change: meter, customer, time,
    /// value, then each dimension's key and value in order of key. Each part is preceded by its
    /// length as a big-endian `u32`. The customer is its 16 bytes; the time is seconds (`i64`)
    /// and nanoseconds (`u32`) since 1970, big-endian, or empty if nobody said when: such an
    /// entry is the same when it is sent again later. The value is in its shortest decimal form.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        let mut content = Vec::with_capacity(96);
        let mut part = |bytes: &[u8]| {
            let length = u32::try_from(bytes.len()).expect("every part is far below 4 GiB");
            content.extend_from_slice(&length.to_be_bytes());
            content.extend_from_slice(bytes);
        };
        part(self.meter.as_str().as_bytes());
        part(self.customer.0.as_bytes());
        match self.timed {
            Timed::BySource => {
                let mut time = [0; 12];
                time[..8].copy_from_slice(&self.at.timestamp().to_be_bytes());
                time[8..].copy_from_slice(&self.at.timestamp_subsec_nanos().to_be_bytes());
                part(&time);
            }
            Timed::ByReceipt => part(&[]),
        }
        part(self.value.to_string().as_bytes());
        for (key, value) in &self.dimensions {
            part(key.as_bytes());
            part(value.as_bytes());
        }
        content
    }
}

/// What is wrong with the shape of a reported entry.
#[must_use]
pub fn validate(reported: &UsageEntry) -> Vec<Violation> {
    let mut violations = Violations::default();
    violations.text("source", &reported.source, SOURCE_MAX);
    violations.text("id", &reported.id, ID_MAX);
    violations.at_most("dimensions", reported.dimensions.len(), DIMENSIONS_MAX);
    for (key, value) in &reported.dimensions {
        violations.text("dimensions", key, DIMENSION_KEY_MAX);
        violations.text(format!("dimensions.{key}"), value, DIMENSION_VALUE_MAX);
        if refers_to_user(value) {
            // Usage is kept for ever, and not sealed.
            let message = "refers to a user; usage is not recorded of people";
            violations.note(format!("dimensions.{key}"), message);
        }
    }
    violations.into_vec()
}
