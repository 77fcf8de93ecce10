//! What becomes of each entry of a request, quotas aside (`docs/billing-rules.md` R9, R10).

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Entry;
use crate::{customer, meter};

/// How far ahead of us a usage entry may be dated before it is refused.
///
/// Covers honest clock skew between machines; the past is never refused (R10). In seconds: 300.
pub const CLOCK_SKEW_MAX: TimeDelta = TimeDelta::seconds(300);

/// An entry that wants to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The entry.
    pub entry: Entry,
    /// Fact: whether its identity is known, from the owner's index of everything recorded.
    pub seen: Seen,
    /// Fact: whether its meter can be used.
    pub meter: meter::Standing,
    /// Fact: whether its customer can use anything.
    pub customer: customer::Standing,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = crate::event::open)]
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

/// Says what becomes of each entry of a request received at `received_at`, quotas aside.
///
/// Who sends an entry again is told that it counted, even if its meter or account has gone since.
#[must_use]
pub fn judge(candidates: &[Candidate], received_at: DateTime<Utc>) -> Vec<Verdict> {
    let mut accepted: HashMap<(&str, &str), &Entry> = HashMap::new();
    let verdict = |candidate| judge_one(candidate, received_at, &mut accepted);
    candidates.iter().map(verdict).collect()
}

fn judge_one<'a>(
    candidate: &'a Candidate,
    received_at: DateTime<Utc>,
    accepted: &mut HashMap<(&'a str, &'a str), &'a Entry>,
) -> Verdict {
    let entry = &candidate.entry;
    match candidate.seen {
        Seen::Same => return Verdict::Duplicate,
        Seen::Conflict => return Verdict::Conflict,
        Seen::New => {}
    }
    let slot = match accepted.entry((&entry.source, &entry.id)) {
        Slot::Occupied(first) if first.get().content() == entry.content() => {
            return Verdict::Duplicate;
        }
        Slot::Occupied(_) => return Verdict::Conflict,
        Slot::Vacant(slot) => slot,
    };
    match (&candidate.meter, candidate.customer) {
        (meter::Standing::NotDefined, _) => Verdict::UnknownMeter,
        (meter::Standing::Archived, _) => Verdict::ArchivedMeter,
        (meter::Standing::Defined(_), customer::Standing::NotOpened) => Verdict::UnknownCustomer,
        (meter::Standing::Defined(_), customer::Standing::Closed) => Verdict::ClosedCustomer,
        (meter::Standing::Defined(_), customer::Standing::Open) => {
            if entry.at > received_at + CLOCK_SKEW_MAX {
                return Verdict::TooFarAhead;
            }
            slot.insert(entry);
            Verdict::Accepted
        }
    }
}
