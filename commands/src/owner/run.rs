//! The loop: take what is waiting, decide each against memory, append once, answer everybody.

use std::collections::HashMap;
use std::time::Instant;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use domain::id::TenantId;
use event_log::{AppendError, Position};
use tracing::Instrument as _;
use vault::SubjectKeys;

use super::Owner;
use super::batch::{Batch, Tools};
use super::decisions::{Decisions, NoRoom};
use super::envelope::{Envelope, Read};
use super::firing::{Fired, TIMERS_REST, fire};
use super::inbox::Taken;
use crate::request::CommandError;
use crate::state::Changes;
use crate::trace;

/// How far a wall clock may be behind recorded time before its owner refuses to record: 5 s.
const CLOCK_BEHIND_MAX: TimeDelta = TimeDelta::seconds(5);

impl Owner {
    /// Runs until it is told to stop, finishes what waits, and drops the writer.
    pub(crate) async fn run(mut self) {
        while let Some(Taken { requests, reads }) = self.next().await {
            for Read(read) in reads {
                read(&self.state);
            }
            let span = trace::batch(self.partition, &requests);
            let events = self.batch(requests).instrument(span.clone()).await;
            span.record("batch.events", events);
            self.snapshot(events).await;
        }
        self.last_snapshot().await;
        tracing::info!(partition = self.partition.0, "the owner has stopped");
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
        self.state.outcomes.forget(now);
        let (requests, subject_keys) = self.take_keys(requests).await;
        let tools = Tools {
            identities: &self.identities,
            writer: &mut self.records,
            partitions: self.parts.log.partitions(),
            remembered_in_common_max: self.parts.settings.remembered_in_common_max,
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
                triggers.iter().for_each(|it| self.trigger(positions[*it]));
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
    fn merge_refused(&mut self, changes: Changes, now: DateTime<Utc>) {
        if self.parts.settings.sabotage == Some(crate::settings::Sabotage::MergeRefused) {
            self.commit(changes, now, self.state.next);
        }
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
}

/// Tells everybody that nothing was written.
pub(super) fn refuse_all(envelopes: impl IntoIterator<Item = Envelope>, reason: &str) {
    for envelope in envelopes {
        envelope.refuse(CommandError::Unavailable(reason.to_owned()));
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
