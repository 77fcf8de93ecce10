//! What became of requests that carried an idempotency key.
//!
//! Only where in the log the outcome is, is remembered: the events say the rest. So a
//! remembered request costs some 100 bytes whatever it did, and replaying the log remembers it
//! again. A request that changed nothing is noted in an event of its own, which no outcome lists:
//! else a repetition would be decided anew, and might have an effect by then. Refusals are not
//! kept. What is remembered is never forgotten early; [`outcomes`] says what bounds it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::Event;
use domain::event::TYPE_PREFIX;
use domain::usage::{self, Verdict};
use event_log::{Attribute, LogError, Partition, Position, Recorded};
use vault::TenantKeys;

use crate::away::Away;
use crate::lookups::{Lookup, Lookups};
use crate::record::{Header, ReadError, decode};
use crate::request::{CommandError, EventSummary, Outcome, Repetition};

mod outcomes;

#[cfg(test)]
pub(crate) use outcomes::RESERVED;
pub(crate) use outcomes::{Claims, Outcomes, OutcomesFrozen};

/// How long an outcome is remembered: 7 days, as the API promises.
pub(crate) const RETENTION: TimeDelta = TimeDelta::days(7);

/// When to ask again for what too much else is read beside. In seconds: 1.
pub(crate) const AFTER_BUSY: Duration = Duration::from_secs(1);

/// A digest of what was asked, to tell a repetition from another request with the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RequestHash(pub(crate) u64);

/// Where the outcome of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) request: RequestHash,
    /// The position of its first event.
    pub(crate) position: Position,
    /// When it was recorded.
    pub(crate) at: DateTime<Utc>,
}

/// Reads a remembered outcome back from the log.
///
/// # Errors
///
/// [`CommandError::Unavailable`] if the log cannot be read, and [`CommandError::Busy`] if too many
/// of the tenant's requests read it.
pub(crate) async fn recall(
    lookups: &Lookups,
    partition: Partition,
    remembered: Remembered,
    keys: &TenantKeys,
) -> Result<Outcome, CommandError> {
    let records = async {
        let (tenant, position) = (keys.tenant(), remembered.position);
        let mut reader = lookups.read(tenant, partition, position, Lookup::Brief).await?;
        reader.next(1).await
    };
    let records = records.await.map_err(|error| {
        if let LogError::Busy { .. } = error {
            return CommandError::Busy { retry_after: AFTER_BUSY };
        }
        let error = &error as &dyn std::error::Error;
        tracing::warn!(partition = partition.0, error, "the log does not give an outcome");
        CommandError::Unavailable(Away::Log)
    })?;
    outcome(partition, &records, keys).map_err(|error| {
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, position = remembered.position.0, "an outcome cannot be read");
        CommandError::Unavailable(Away::Outcome)
    })
}

/// The outcome that the records of one command tell.
fn outcome(
    partition: Partition,
    records: &[Recorded],
    keys: &TenantKeys,
) -> Result<Outcome, ReadError> {
    let mut found: Option<Outcome> = None;
    for Recorded { position, record } in records {
        let header = Header::of(record)?;
        let outcome = found.get_or_insert_with(|| Outcome {
            command: header.command,
            partition,
            position: *position,
            sequence: header.sequence,
            at: header.time,
            events: Vec::new(),
            verdicts: Vec::new(),
            repetition: Repetition::Remembered,
        });
        if outcome.command != header.command {
            break;
        }
        let event = decode(record, &header, Some(keys))?;
        (outcome.position, outcome.sequence) = (*position, header.sequence);
        let (id, stream, revision) = (header.id, header.stream, header.revision);
        match &event {
            Event::Usage(usage::Event::Recorded { entries, others, .. }) => {
                outcome.verdicts = verdicts(entries.len(), others);
            }
            Event::Request(noted) => outcome.verdicts = noted.verdicts(),
            _ => {}
        }
        if !is_note(&event) {
            // As it was written, which may be an older version than we know.
            let full = record.attribute(Attribute::Type);
            let name = full.strip_prefix(TYPE_PREFIX).unwrap_or(full).to_owned().into();
            outcome.events.push(EventSummary { id, stream, revision, name });
        }
    }
    Ok(found.expect("a reader returns at least one record"))
}

/// Whether an event only says that a request changed nothing: no outcome lists it.
pub(crate) fn is_note(event: &Event) -> bool {
    matches!(event, Event::Request(_))
}

/// The verdicts of a usage request, in its order.
fn verdicts(accepted: usize, others: &[(u32, Verdict)]) -> Vec<Verdict> {
    let mut verdicts = vec![Verdict::Accepted; accepted + others.len()];
    for (place, verdict) in others {
        let place = usize::try_from(*place).unwrap_or(usize::MAX);
        if let Some(slot) = verdicts.get_mut(place) {
            *slot = *verdict;
        }
    }
    verdicts
}
