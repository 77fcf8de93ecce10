//! The loop: take what is waiting, decide each against memory, append once, answer everybody.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use domain::id::{SubjectId, TenantId};
use event_log::{AppendError, Position};
use vault::{Keyring, KeyringError, SubjectKeys};

use super::Owner;
use super::batch::{Accepted, Batch, Decided, Decisions, NoRoom, Open, Tools};
use super::envelope::{Answer, Envelope, Read};
use super::inbox::Taken;
use crate::idempotency::Remembered;
use crate::prepare::{self, Ask, keyring_error};
use crate::request::{CommandError, Mode, Outcome, Repetition};
use crate::state::Changes;
use crate::timers::Timer;

/// How far a wall clock may be behind recorded time before its owner refuses to record: 5 s.
const CLOCK_BEHIND_MAX: TimeDelta = TimeDelta::seconds(5);

/// The most timers fired in one batch. While more are due, requests wait: a decision must not
/// see a state whose time is over.
const TIMERS_MAX: usize = 1_024;

/// How long timers rest that could not be fired, because the log or the vault takes nothing or
/// the clock is wrong. In seconds: 1.
const TIMERS_REST: Duration = Duration::from_secs(1);

impl Owner {
    /// Runs until it is told to stop, finishes what waits, and drops the writer.
    pub(crate) async fn run(mut self) {
        while let Some(Taken { requests, reads }) = self.next().await {
            for Read(read) in reads {
                read(&self.state);
            }
            let events = self.batch(requests).await;
            self.snapshot(events).await;
        }
        self.last_snapshot().await;
        tracing::info!(partition = self.partition.0, "the owner has stopped");
    }

    /// Waits for requests, reads or a timer.
    async fn next(&mut self) -> Option<Taken<Envelope, Read>> {
        let inbox = self.inbox.clone();
        let present = tokio::time::Instant::now();
        self.tenants_rest.retain(|_, until| *until > present);
        let woken = self.tenants_rest.values().min().copied();
        let Some(due) = self.state.timers.next(&self.tenants_rest) else {
            return tokio::select! {
                taken = inbox.next() => taken,
                () = reach(woken) => Some(inbox.try_next()),
            };
        };
        if let Some(until) = self.timers_rest.filter(|it| *it > tokio::time::Instant::now()) {
            return tokio::select! {
                taken = inbox.next() => taken,
                () = tokio::time::sleep_until(until) => Some(inbox.try_next()),
            };
        }
        self.timers_rest = None;
        if due <= self.parts.clock.now() {
            let now = self.parts.clock.now();
            let overdue = self.state.timers.due(now, TIMERS_MAX + 1, &self.tenants_rest).len();
            let nothing = Taken { requests: Vec::new(), reads: Vec::new() };
            return Some(if overdue > TIMERS_MAX { nothing } else { inbox.try_next() });
        }
        tokio::select! {
            taken = inbox.next() => taken,
            () = self.parts.clock.wait_until(due) => Some(inbox.try_next()),
            () = reach(woken) => Some(inbox.try_next()),
        }
    }

    /// The timers to fire at `now`; none while they rest.
    fn due(&self, now: DateTime<Utc>) -> BTreeSet<Timer> {
        match self.timers_rest {
            Some(_) => BTreeSet::new(),
            None => self.state.timers.due(now, TIMERS_MAX, &self.tenants_rest),
        }
    }

    /// Leaves timers alone for a while, since they cannot be fired at present.
    fn rest_timers(&mut self) {
        self.timers_rest = Some(tokio::time::Instant::now() + TIMERS_REST);
    }

    /// Decides everything, appends it at once, and answers. Returns how many events there were.
    async fn batch(&mut self, requests: Vec<Envelope>) -> usize {
        let began = Instant::now();
        let now = match self.time() {
            Ok(now) => now,
            Err(behind) => {
                self.rest_timers();
                refuse_all(requests, &behind);
                return 0;
            }
        };
        let timers = self.due(now);
        if requests.is_empty() && timers.is_empty() {
            return 0;
        }
        let (requests, subject_keys) = self.take_keys(requests).await;
        let tools = Tools {
            identities: &self.identities,
            writer: &mut self.records,
            partitions: self.parts.log.partitions(),
            #[cfg(test)]
            sabotage: self.parts.settings.sabotage,
        };
        let mut batch = Batch::new(&self.state, tools, now);
        let (fired, keyless) = fire(&self.parts.keyring, timers, &mut batch).await;
        let left = match fired {
            Fired::NotAll => requests,
            Fired::All => decide(requests, &subject_keys, &mut batch),
        };
        self.inbox.give_back(left.into_iter());
        let (Decisions { records, open, spent, triggers }, changes, pending) = batch.finish();
        spent.iter().for_each(|it| self.state.timers.remove(it));
        let until = tokio::time::Instant::now() + TIMERS_REST;
        #[cfg(test)]
        self.rest_all(&keyless);
        self.tenants_rest.extend(keyless.into_iter().map(|it| (it, until)));
        if records.is_empty() {
            self.acknowledge(open, &[], now);
            return 0;
        }
        #[cfg(test)]
        let open = self.answer_early(open, now);
        match self.writer.append(records).await {
            Ok(positions) => {
                let next = positions.last().map_or(self.state.next, |it| it.next());
                self.commit(changes, now, next);
                self.identities.merge(pending);
                triggers
                    .iter()
                    .filter_map(|it| positions.get(*it))
                    .for_each(|it| self.trigger(*it));
                self.acknowledge(open, &positions, now);
                self.inbox.set_pace(began.elapsed());
                positions.len()
            }
            Err(AppendError::Refused(cause)) => {
                #[cfg(test)]
                self.merge_refused(changes, now);
                self.rest_timers();
                let envelopes = open.into_iter().map(|it| it.envelope);
                refuse_all(envelopes, &cause.to_string());
                0
            }
            Err(AppendError::Fenced | AppendError::Unknown(_)) => {
                drop(pending);
                self.recover(open).await;
                0
            }
        }
    }

    #[cfg(test)]
    fn answer_early(&mut self, open: Vec<Open>, now: DateTime<Utc>) -> Vec<Open> {
        if self.parts.settings.sabotage != Some(crate::settings::Sabotage::AnswerEarly) {
            return open;
        }
        self.acknowledge(open, &[], now);
        Vec::new()
    }

    #[cfg(test)]
    fn rest_all(&mut self, keyless: &HashSet<TenantId>) {
        let rests_all = self.parts.settings.sabotage == Some(crate::settings::Sabotage::RestAll);
        if rests_all && !keyless.is_empty() {
            self.rest_timers();
        }
    }

    #[cfg(test)]
    fn merge_refused(&mut self, changes: Changes, now: DateTime<Utc>) {
        if self.parts.settings.sabotage == Some(crate::settings::Sabotage::MergeRefused) {
            self.commit(changes, now, self.state.next);
        }
    }

    /// Answers requests whose decisions have become durable, or rest on nothing that is not.
    pub(super) fn acknowledge(
        &mut self,
        open: Vec<Open>,
        positions: &[Position],
        now: DateTime<Utc>,
    ) {
        let last = Position(self.state.next.0.saturating_sub(1));
        let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(open.len());
        for Open { envelope, decided } in open {
            let command = envelope.prepared.command;
            let (answer, outcome) = match decided {
                Decided::Accepted(accepted) => {
                    let position = self.remember(&envelope, &accepted, positions, now);
                    let Accepted { sequence, events, verdicts, resume, .. } = accepted;
                    let outcome = Outcome {
                        command,
                        partition: self.partition,
                        position: position.unwrap_or(last),
                        sequence,
                        at: now,
                        events,
                        verdicts,
                        repetition: Repetition::First,
                    };
                    let kept = envelope.prepared.request.map(|_| outcome.clone());
                    match resume {
                        Some(resume) => (Answer::Partly { resume }, kept),
                        None => (Answer::Done(outcome), kept),
                    }
                }
                Decided::SameAs(index) => {
                    let first = outcomes[index].clone().expect("a keyed request is kept");
                    let outcome = Outcome { repetition: Repetition::Remembered, ..first };
                    (Answer::Done(outcome), None)
                }
                Decided::Refused(error) => (Answer::Refused(error), None),
                Decided::Stale => (Answer::Stale, None),
                Decided::Remembered(remembered) => (Answer::Remembered(remembered), None),
            };
            outcomes.push(outcome);
            envelope.answer(answer);
        }
    }

    /// Notes where a keyed request's outcome is; returns the position of its last record.
    fn remember(
        &mut self,
        envelope: &Envelope,
        accepted: &Accepted,
        positions: &[Position],
        at: DateTime<Utc>,
    ) -> Option<Position> {
        let first = accepted.first_record?;
        let position = *positions.get(first)?;
        if let Some(request) = envelope.prepared.request {
            let remembered = Remembered { request, position, at };
            self.state.outcomes.insert(envelope.prepared.command, remembered);
        }
        positions.get(first + accepted.events.len() - 1).copied()
    }

    /// Takes what became durable into committed state and shows it.
    pub(super) fn commit(&mut self, changes: Changes, recorded: DateTime<Utc>, next: Position) {
        for ((tenant, stream), slot) in &changes.slots {
            self.parts.views.show(*tenant, stream, slot);
        }
        for tenant in changes.tallies.keys() {
            self.snapshotting.snapshots.changed(*tenant);
        }
        self.state.merge(changes, recorded, next);
        self.applied.send_replace(next);
    }

    /// Tells who follows this partition that there is something to react to.
    pub(super) fn trigger(&mut self, position: Position) {
        self.followed.announced = position.next();
        // A follower that has stopped does not want to know.
        let _ = self.triggers.send(position);
    }

    /// The time to be recorded: the clock's, but never before what was recorded last.
    fn time(&self) -> Result<DateTime<Utc>, String> {
        let now = self.parts.clock.now();
        // Stored with microseconds, so decided with microseconds too.
        let now = now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now);
        let behind = self.state.recorded - now;
        if behind > CLOCK_BEHIND_MAX {
            return Err(format!(
                "the clock shows {now}, {} s before what was recorded last; set it right",
                behind.num_seconds()
            ));
        }
        Ok(now.max(self.state.recorded))
    }

    /// Makes sure that everybody whose personal texts will be recorded has a durable key.
    /// Requests for which that fails are answered here.
    async fn take_keys(
        &mut self,
        requests: Vec<Envelope>,
    ) -> (Vec<Envelope>, HashMap<TenantId, SubjectKeys>) {
        let mut wanted: HashMap<TenantId, Vec<SubjectId>> = HashMap::new();
        for request in requests.iter().map(|it| &it.prepared) {
            if request.mode == Mode::Commit && !request.subjects.is_empty() {
                wanted.entry(request.tenant).or_default().extend(&request.subjects);
            }
        }
        let mut taken = HashMap::with_capacity(wanted.len());
        if wanted.is_empty() {
            return (requests, taken);
        }
        let mut failed: HashMap<TenantId, String> = HashMap::new();
        for (tenant, subjects) in wanted {
            match self.parts.keyring.ensure_subjects(tenant, &subjects).await {
                Ok(keys) => drop(taken.insert(tenant, keys)),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "no subject keys");
                    failed.insert(tenant, error.to_string());
                }
            }
        }
        let is_doomed = |it: &Envelope| {
            !it.prepared.subjects.is_empty() && failed.contains_key(&it.prepared.tenant)
        };
        let (doomed, requests): (Vec<_>, _) = requests.into_iter().partition(is_doomed);
        for request in doomed {
            let reason = failed[&request.prepared.tenant].clone();
            request.refuse(CommandError::Unavailable(reason));
        }
        (requests, taken)
    }
}

/// Tells everybody that nothing was written.
pub(super) fn refuse_all(envelopes: impl IntoIterator<Item = Envelope>, reason: &str) {
    for envelope in envelopes {
        envelope.refuse(CommandError::Unavailable(reason.to_owned()));
    }
}

/// Waits until an instant; without one, for ever.
async fn reach(instant: Option<tokio::time::Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Decides one after the other until the batch is full, and returns those that are left.
fn decide(
    requests: Vec<Envelope>,
    subject_keys: &HashMap<TenantId, SubjectKeys>,
    batch: &mut Batch<'_>,
) -> Vec<Envelope> {
    let mut requests = requests.into_iter();
    while let Some(request) = requests.next() {
        if let Err(NoRoom(request)) = batch.decide(request, subject_keys) {
            return std::iter::once(request).chain(requests).collect();
        }
    }
    Vec::new()
}

/// How far the timers came.
#[derive(Debug)]
enum Fired {
    /// Every one that was due.
    All,
    /// Until the batch was full. Requests have to wait for the others.
    NotAll,
}

/// Fires timers in the order of their instants, also those that come about by it. Returns
/// whose could not be fired because their keys cannot be had.
async fn fire(
    keyring: &Keyring,
    mut due: BTreeSet<Timer>,
    batch: &mut Batch<'_>,
) -> (Fired, HashSet<TenantId>) {
    let mut keyless = HashSet::new();
    while let Some(timer) = due.pop_first() {
        if keyless.contains(&timer.tenant) {
            continue;
        }
        let prepared = match timer_request(keyring, timer).await {
            Ok(prepared) => prepared,
            Err(error) => {
                keyring_error(&error);
                keyless.insert(timer.tenant);
                #[cfg(test)]
                batch.rest_all(&mut due);
                continue;
            }
        };
        match batch.fire(timer, prepared) {
            Ok(next) => due.extend(next),
            Err(NoRoom(_)) => return (Fired::NotAll, keyless),
        }
    }
    (Fired::All, keyless)
}

/// The command a timer stands for; the same each time it is fired.
async fn timer_request(
    keyring: &Keyring,
    timer: Timer,
) -> Result<Box<prepare::Prepared>, KeyringError> {
    let keys = keyring.tenant(timer.tenant).await?;
    let name = format!("{}/{:?}/{}", timer.stream, timer.kind, timer.at);
    let command = keys.command_id(domain::id::ActorId::SYSTEM, "timer", &name);
    prepare::internal(keyring, timer.tenant, command, None, Ask::Timer(timer)).await
}
