//! The decisions of one batch, over committed state: what becomes of each request in it.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::{DateTime, Utc};
use domain::id::{CommandId, EventId};
use domain::{Event, Level};

use super::decisions::{Accepted, Decided, Decisions, NoRoom, Open};
use super::envelope::Envelope;
use super::room::{Excess, Room};
use crate::away::Away;
use crate::handlers::{self, Decision, Refusal, Surroundings};
use crate::idempotency::{Claims, is_note};
use crate::identities::{Fingerprint, Identities, Pending};
use crate::prepare::{Ask, Prepared};
use crate::reactions::is_trigger;
use crate::record::{Fact, Origin, RecordWriter, WriteError};
use crate::request::{CommandError, EventSummary, Mode};
use crate::state::{Changes, Overlay, State};
use crate::timers::Timer;

/// A batch being decided over committed state.
#[derive(Debug)]
pub(crate) struct Batch<'s> {
    overlay: Overlay<'s>,
    identities: &'s Identities,
    writer: &'s mut RecordWriter,
    pending: Pending,
    now: DateTime<Utc>,
    partitions: u32,
    decisions: Decisions,
    room: Room,
    /// Which request of the batch a keyed command is.
    keyed: HashMap<CommandId, usize>,
    /// What they will hold of what is remembered.
    claims: Claims,
    remembered_in_common_max: usize,
    #[cfg(test)]
    sabotage: Option<crate::settings::Sabotage>,
}

/// Everything a request did to the batch.
#[derive(Debug)]
struct Effects {
    accepted: Accepted,
    identities: Vec<Fingerprint>,
}

/// What a batch needs beside committed state.
#[derive(Debug)]
pub(crate) struct Tools<'s> {
    pub(crate) identities: &'s Identities,
    pub(crate) writer: &'s mut RecordWriter,
    pub(crate) partitions: u32,
    /// The level that events are written as of.
    pub(crate) level: Level,
    pub(crate) remembered_in_common_max: usize,
    #[cfg(test)]
    pub(crate) sabotage: Option<crate::settings::Sabotage>,
}

impl<'s> Batch<'s> {
    /// An empty batch, recorded at `now`.
    pub(crate) fn new(state: &'s State, tools: Tools<'s>, now: DateTime<Utc>) -> Self {
        #[cfg(test)]
        let sabotage = tools.sabotage;
        let Tools { identities, writer, partitions, level, remembered_in_common_max, .. } = tools;
        writer.at(now, level);
        Self {
            overlay: Overlay::new(state),
            identities,
            writer,
            pending: Pending::default(),
            now,
            partitions,
            decisions: Decisions::default(),
            room: Room::default(),
            keyed: HashMap::new(),
            claims: Claims::default(),
            remembered_in_common_max,
            #[cfg(test)]
            sabotage,
        }
    }

    /// Decides one request; it leaves its trace in the batch only if it is accepted whole.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] with the request, as it came, if the batch is full.
    pub(crate) fn decide(&mut self, mut envelope: Envelope) -> Result<(), NoRoom> {
        let is_unread = self.overlay.base().unread.contains_key(&envelope.prepared.tenant);
        let known = match self.authorize(&envelope.prepared) {
            _ if is_unread => Some(Decided::Refused(CommandError::Unavailable(Away::Key))),
            Ok(()) => self.known(&envelope.prepared),
            Err(denied) => Some(Decided::Refused(denied)),
        };
        let decided = match known {
            Some(known) => Some(known),
            None if !self.can_be_remembered(&envelope.prepared) => {
                let retry_after = self.overlay.base().outcomes.retry_after(self.now);
                Some(Decided::Refused(CommandError::TooManyKeys { retry_after }))
            }
            None => self.decide_new(&mut envelope.prepared),
        };
        let Some(decided) = decided else { return Err(NoRoom(envelope)) };
        let index = self.decisions.open.len();
        if let Decided::Accepted(Accepted { records, .. }) = &decided
            && !records.is_empty()
            && envelope.prepared.request.is_some()
        {
            self.keyed.insert(envelope.prepared.command, index);
            self.overlay.base().outcomes.claim(envelope.prepared.tenant, &mut self.claims);
        }
        self.decisions.open.push(Open { envelope, decided });
        Ok(())
    }

    /// Fires a timer, and says which timer of its stream is due next.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if the batch is full.
    pub(crate) fn fire(
        &mut self,
        timer: Timer,
        prepared: Box<Prepared>,
    ) -> Result<Option<Timer>, NoRoom> {
        self.decide(Envelope::silent(prepared))?;
        let Timer { tenant, stream, .. } = timer;
        let due = self.overlay.slot(tenant, &stream).and_then(|it| it.held.due());
        let next = due.map(|it| Timer { at: it.at, kind: it.kind, ..timer });
        if next == Some(timer) {
            let open = self.decisions.open.last();
            tracing::error!(%tenant, %stream, ?open, "a timer fired and nothing came of it");
            self.decisions.spent.push(timer);
            return Ok(None);
        }
        Ok(next.filter(|it| it.at <= self.now))
    }

    #[cfg(test)]
    pub(crate) fn rest_all(&self, due: &mut std::collections::BTreeSet<Timer>) {
        if self.sabotage == Some(crate::settings::Sabotage::RestAll) {
            due.clear();
        }
    }

    /// What is to be appended and answered, and what to merge once it is durable.
    pub(crate) fn finish(self) -> (Decisions, Changes, Pending) {
        (self.decisions, self.overlay.into_changes(), self.pending)
    }

    /// Fails unless who asks may, be it for the first time or again.
    fn authorize(&self, prepared: &Prepared) -> Result<(), CommandError> {
        #[cfg(test)]
        if self.sabotage == Some(crate::settings::Sabotage::AuthorizeNobody)
            || self.sabotage == Some(crate::settings::Sabotage::RepeatForAnybody)
                && self.known(prepared).is_some()
        {
            return Ok(());
        }
        handlers::authorize(&self.overlay, prepared, self.now)
    }

    /// The answer to a request that was decided before, or whose key was used for another one.
    fn known(&self, prepared: &Prepared) -> Option<Decided> {
        let request = prepared.request?;
        let reused = || {
            let command = prepared.command;
            Decided::Refused(CommandError::KeyReused(command.to_string()))
        };
        if let Some(index) = self.keyed.get(&prepared.command) {
            let same = self.decisions.open[*index].envelope.prepared.request == Some(request);
            return Some(if same { Decided::SameAs(*index) } else { reused() });
        }
        let remembered = self.overlay.base().outcomes.get(prepared.command, self.now)?;
        let same = remembered.request == request;
        Some(if same { Decided::Remembered(remembered) } else { reused() })
    }

    /// Whether there is room to remember what becomes of a request, if it has to be.
    fn can_be_remembered(&self, prepared: &Prepared) -> bool {
        if prepared.request.is_none() || prepared.mode == Mode::Preview {
            return true;
        }
        let outcomes = &self.overlay.base().outcomes;
        #[cfg(test)]
        if self.sabotage == Some(crate::settings::Sabotage::OnePool) {
            let room_for = self.remembered_in_common_max + crate::idempotency::RESERVED;
            return outcomes.len() + self.keyed.len() < room_for;
        }
        outcomes.has_room(prepared.tenant, &self.claims, self.remembered_in_common_max)
    }

    /// None if there is no room for what it would record.
    fn decide_new(&mut self, prepared: &mut Prepared) -> Option<Decided> {
        self.overlay.savepoint();
        let records_before = self.decisions.records.len();
        // Whatever the closure leaves half-done is taken back below.
        let decided = catch_unwind(AssertUnwindSafe(|| self.try_decide(prepared)));
        let decided = match decided {
            Ok(Ok(effects)) if prepared.mode == Mode::Commit => {
                match self.take_room(records_before) {
                    Ok(()) => {
                        effects.identities.into_iter().for_each(|it| self.pending.insert(it));
                        return Some(Decided::Accepted(effects.accepted));
                    }
                    Err(Excess::Batch) => None,
                    Err(Excess::Request(error)) => Some(Decided::Refused(error)),
                }
            }
            Ok(Ok(effects)) => Some(Decided::Accepted(effects.accepted)),
            Ok(Err(Refusal::Caller(error))) => Some(Decided::Refused(error)),
            Ok(Err(Refusal::Stale)) => Some(Decided::Stale),
            Err(_) => {
                let command = prepared.command;
                tracing::error!(%command, "a decision panicked");
                Some(Decided::Refused(CommandError::Fault(command)))
            }
        };
        #[cfg(test)]
        if self.sabotage == Some(crate::settings::Sabotage::KeepTraces) {
            return decided;
        }
        self.decisions.records.truncate(records_before);
        self.decisions.triggers.retain(|it| *it < records_before);
        self.overlay.roll_back();
        decided
    }

    /// Makes sure that the log takes the batch with the records from `first` on.
    fn take_room(&mut self, first: usize) -> Result<(), Excess> {
        #[cfg(test)]
        if self.sabotage == Some(crate::settings::Sabotage::Overfill) {
            return Ok(());
        }
        self.room.take(&self.decisions.records[first..])
    }

    fn try_decide(&mut self, prepared: &mut Prepared) -> Result<Effects, Refusal> {
        let must_leave_something = self.must_leave_something(prepared);
        let subject_keys = prepared.subject_keys.clone();
        let around = Surroundings {
            now: self.now,
            partitions: self.partitions,
            subject_keys: subject_keys.as_ref(),
            identities: self.identities,
            pending: &self.pending,
            #[cfg(test)]
            sabotage: self.sabotage,
        };
        let mut decision = Decision::new(&mut self.overlay, &around, prepared.tenant);
        match decision.request(prepared) {
            // What a reaction asks for and the rules forbid is done with, see `react`.
            Err(Refusal::Caller(CommandError::Rejected { code, reason }))
                if let Ask::React(react) = &prepared.ask =>
            {
                tracing::warn!(?react, %code, reason, "a reaction was rejected");
                decision.overlay.roll_back();
                decision = Decision::new(&mut self.overlay, &around, prepared.tenant);
                decision.advance(react)?;
            }
            decided => decided?,
        }
        if must_leave_something && decision.happened.is_empty() {
            decision.note()?;
        }
        let Decision { happened, verdicts, accepted: identities, resume, .. } = decision;
        let first_record = self.decisions.records.len();
        let count = happened.len();
        let mut events = Vec::with_capacity(count);
        for (index, it) in happened.into_iter().enumerate() {
            let id = match prepared.mode {
                Mode::Preview => EventId(uuid::Uuid::nil()),
                Mode::Commit => {
                    let (stream, revision, event) = (it.stream, it.revision, &it.event);
                    self.write(prepared, stream, revision, event, (index + 1, count))?
                }
            };
            let name = it.event.name_at(self.writer.level()).into();
            let (stream, revision) = (it.stream, it.revision);
            if !is_note(&it.event) {
                events.push(EventSummary { id, stream, revision, name });
            }
        }
        let accepted = Accepted {
            records: first_record..self.decisions.records.len(),
            sequence: self.overlay.tally(prepared.tenant).sequence,
            events,
            verdicts,
            resume,
        };
        Ok(Effects { accepted, identities })
    }

    /// Whether a request has to leave something by which it is remembered, if it changes nothing.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "tests need it"))]
    fn must_leave_something(&self, prepared: &Prepared) -> bool {
        #[cfg(test)]
        if self.sabotage == Some(crate::settings::Sabotage::NoteNothing) {
            return false;
        }
        prepared.request.is_some() && prepared.mode == Mode::Commit
    }

    fn write(
        &mut self,
        prepared: &Prepared,
        stream: domain::Stream,
        revision: u64,
        event: &Event,
        place: (usize, usize),
    ) -> Result<EventId, Refusal> {
        let tally = self.overlay.tally(prepared.tenant);
        let origin = Origin {
            tenant: prepared.tenant,
            command: prepared.command,
            request: prepared.request,
            correlation: prepared.correlation,
            causation: prepared.causation,
            actor: prepared.actor,
            traceparent: prepared.traceparent.as_deref(),
        };
        let (sequence, previous) = (tally.sequence + 1, tally.link);
        let fact = Fact { stream, revision, sequence, place, event, previous };
        let (id, record) = self
            .writer
            .write(&origin, &fact, &prepared.keys)
            .map_err(|it| unwritten(&it, prepared.command))?;
        self.overlay.advance(prepared.tenant, record.link());
        if is_trigger(event) {
            self.decisions.triggers.push(self.decisions.records.len());
        }
        self.decisions.records.push(record);
        Ok(id)
    }
}

/// What it means that an event cannot be written. Sizes are limited before, as exactly as they
/// can be before sealing, so what is left is rare and the caller's to mend.
fn unwritten(error: &WriteError, command: CommandId) -> Refusal {
    Refusal::Caller(match error {
        WriteError::Record(error) => {
            CommandError::Rejected { code: "TOO_LARGE".into(), reason: error.to_string() }
        }
        WriteError::Encode(error) => {
            let error = error as &dyn std::error::Error;
            tracing::error!(%command, error, "an event is not encodable");
            CommandError::Fault(command)
        }
    })
}
