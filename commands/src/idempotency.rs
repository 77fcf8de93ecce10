//! What became of requests that carried an idempotency key.
//!
//! Only where in the log the outcome is, is remembered: the events say the rest. So a
//! remembered request costs some 100 bytes whatever it did, and replaying the log remembers it
//! again. Requests without events are not kept: deciding them again changes nothing.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use domain::Event;
use domain::id::CommandId;
use domain::usage::{self, Verdict};
use event_log::{EventLog, Partition, Position, Recorded};
use vault::TenantKeys;

use crate::record::{Header, ReadError, decode};
use crate::request::{CommandError, EventSummary, Outcome, Repetition};
use crate::snapshot::rows::OutcomeV1;

/// How long an outcome is remembered: 7 days, as the API promises.
pub(crate) const RETENTION: TimeDelta = TimeDelta::days(7);

/// The most outcomes a partition remembers: 2^20, some 100 MiB. Beyond it the oldest are
/// forgotten early.
const OUTCOMES_MAX: usize = 1 << 20;

/// How many outcomes are forgotten, and snapshotted, together.
const PAGE_LENGTH: usize = 4_096;

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

/// Outcomes in the order they were recorded, in pages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcomes {
    by_command: HashMap<CommandId, Remembered>,
    /// The last one is being filled.
    pages: VecDeque<Page>,
}

/// Outcomes recorded one after the other.
#[derive(Clone, Debug)]
struct Page {
    /// Counts up from the first page of the partition.
    number: u64,
    commands: Vec<CommandId>,
}

/// Pages of outcomes as a snapshot stores them.
#[derive(Debug)]
pub(crate) struct OutcomesFrozen {
    pub(crate) pages: Vec<(u64, Vec<OutcomeV1>)>,
}

/// Reads a remembered outcome back from the log.
///
/// # Errors
///
/// [`CommandError::Unavailable`] if the log cannot be read.
pub(crate) async fn recall(
    log: &dyn EventLog,
    partition: Partition,
    remembered: Remembered,
    keys: &TenantKeys,
) -> Result<Outcome, CommandError> {
    let records = async {
        let mut reader = log.read(partition, remembered.position).await?;
        reader.next(1).await
    };
    let records = records.await.map_err(|it| CommandError::Unavailable(it.to_string()))?;
    outcome(partition, &records, keys).map_err(|error| {
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, position = remembered.position.0, "an outcome cannot be read");
        CommandError::Unavailable("the remembered outcome cannot be read".to_owned())
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
        outcome.events.push(EventSummary { id, stream, revision, name: event.name() });
        if let Event::Usage(usage::Event::Recorded { entries, others, .. }) = &event {
            outcome.verdicts = verdicts(entries.len(), others);
        }
    }
    Ok(found.expect("a reader returns at least one record"))
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

impl Outcomes {
    /// What is remembered of a command at `now`.
    pub(crate) fn get(&self, command: CommandId, now: DateTime<Utc>) -> Option<Remembered> {
        self.by_command.get(&command).filter(|it| now < it.at + RETENTION).copied()
    }

    /// Remembers an outcome, and forgets those whose time is over.
    pub(crate) fn insert(&mut self, command: CommandId, remembered: Remembered) {
        if self.by_command.insert(command, remembered) == Some(remembered) {
            return;
        }
        match self.pages.back_mut() {
            Some(page) if page.commands.len() < PAGE_LENGTH => {
                page.commands.push(command);
            }
            last => {
                let number = last.map_or(0, |it| it.number + 1);
                self.pages.push_back(Page { number, commands: vec![command] });
            }
        }
        self.forget(remembered.at);
    }

    /// The numbers of the first and the last page.
    pub(crate) fn numbers(&self) -> Option<(u64, u64)> {
        Some((self.pages.front()?.number, self.pages.back()?.number))
    }

    /// The pages from `number` on, as they are stored.
    pub(crate) fn freeze(&self, number: u64) -> OutcomesFrozen {
        let row = |command: &CommandId| {
            let it = self.by_command.get(command)?;
            Some(OutcomeV1 {
                command: command.0.as_u128(),
                request: it.request.0,
                position: it.position.0,
                at: it.at.timestamp_micros(),
            })
        };
        let pages = self.pages.iter().filter(|it| it.number >= number);
        let pages = pages.map(|it| (it.number, it.commands.iter().filter_map(row).collect()));
        OutcomesFrozen { pages: pages.collect() }
    }

    /// Takes pages back, in order.
    pub(crate) fn restore(&mut self, pages: Vec<(u64, Vec<OutcomeV1>)>) {
        for (number, rows) in pages {
            let mut commands = Vec::with_capacity(rows.len());
            for OutcomeV1 { command, request, position, at } in rows {
                let command = CommandId(uuid::Uuid::from_u128(command));
                let at = DateTime::from_timestamp_micros(at).unwrap_or_default();
                let (request, position) = (RequestHash(request), Position(position));
                self.by_command.insert(command, Remembered { request, position, at });
                commands.push(command);
            }
            self.pages.push_back(Page { number, commands });
        }
    }

    #[cfg(test)]
    pub(crate) fn all(&self) -> &HashMap<CommandId, Remembered> {
        &self.by_command
    }

    /// Drops the first page once all of it is too old, or there are too many.
    fn forget(&mut self, now: DateTime<Utc>) {
        let Some(page) = self.pages.front() else { return };
        let last = page.commands.last().and_then(|it| self.by_command.get(it));
        let over = last.is_none_or(|it| it.at + RETENTION <= now);
        if self.pages.len() > 1 && (over || self.by_command.len() > OUTCOMES_MAX) {
            let page = self.pages.pop_front().expect("it was just looked at");
            for command in &page.commands {
                let expired =
                    self.by_command.get(command).is_none_or(|it| it.at + RETENTION <= now);
                if expired || self.by_command.len() > OUTCOMES_MAX {
                    self.by_command.remove(command);
                }
            }
        }
    }
}
