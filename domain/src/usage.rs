//! Usage: what was consumed, recorded once for ever.
//!
//! One accepted request is one event. Whether an entry was seen before is a fact the owner
//! looks up in its identity index; what follows from it is decided here, by
//! `reference/billing-rules.md` R9–R12 and R21.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::id::CustomerId;
use crate::meter::MeterKey;
use crate::quantity::Quantity;

/// How far ahead of us a usage entry may be dated before it is refused.
///
/// Covers honest clock skew between machines; the past is never refused (R10). In seconds: 300.
pub const CLOCK_SKEW_MAX: TimeDelta = TimeDelta::seconds(300);

/// The most entries one request may hold: 1,000, so that one event stays under the value limit
/// and a request can be answered entry by entry.
pub const ENTRIES_MAX: usize = 1_000;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Usage was accepted.
    #[serde(rename = "usage.recorded.v1")]
    Recorded {
        /// The accepted entries, in the order of the request.
        entries: Vec<Entry>,
        /// What became of the others, by their place in the request.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        others: Vec<(u32, Verdict)>,
    },
}

/// One record of usage. (`source`, `id`) identifies it within its tenant for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// How much.
    pub value: Quantity,
    /// What it can be grouped by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<Box<str>, Box<str>>,
}

/// Whether the identity of an entry is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// Not yet.
    New,
    /// With the same content.
    Same,
    /// With other content.
    Conflict,
}

/// What became of an entry of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It counts.
    Accepted,
    /// It counted already (R9): ignored, success.
    Duplicate,
    /// Its identity counted with other content (R9): ignored, reported.
    Conflict,
    /// There is no such meter.
    UnknownMeter,
    /// The meter is archived.
    ArchivedMeter,
    /// There is no such billing account.
    UnknownCustomer,
    /// The billing account is closed.
    ClosedCustomer,
    /// It is dated further ahead than [`CLOCK_SKEW_MAX`].
    TooFarAhead,
}
