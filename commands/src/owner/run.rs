//! The loop: take what is waiting, decide each against memory, append once, answer everybody.

use std::time::Instant;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use event_log::AppendError;
use tracing::Instrument as _;

use super::Owner;
use super::batch::{Batch, Tools};
use super::decisions::{Decisions, NoRoom, Open};
use super::envelope::{Envelope, Read};
use super::firing::{Fired, TIMERS_REST, fire};
use super::inbox::Taken;
use super::patience::patiently;
use super::recovery::{Fate, held_until, said_until};
use super::term::Ended;
use crate::away::Away;
use crate::clock::outside::{CLOCK_OFF_MAX, Verdict};
use crate::replica::Parts;
use crate::request::CommandError;
#[cfg(any(test, feature = "sabotage"))]
use crate::settings::Sabotage;
#[cfg(test)]
use crate::state::Changes;
use crate::trace;

impl Owner {
    /// Runs until the process stops, and finishes what waits, or until it is to let go.
    pub(super) async fn run(&mut self) -> Ended {
        while self.writer.is_some()
            && let Some(Taken { requests, reads }) = self.next().await
        {
            for Read(read) in reads {
                read(&self.replica.state);
            }
            let span = trace::batch(self.replica.partition, &requests);
            let (partition, inbox) = (self.replica.partition, self.replica.inbox.clone());
            let turn = async {
                let events = self.batch(requests).instrument(span.clone()).await;
                span.record("batch.events", events);
                // One that failed may have the partition claimed again.
                self.snapshot(events).await;
            };
            patiently(partition, &inbox, turn).await;
        }
        if !self.replica.inbox.is_closed() {
            return Ended::LetGo;
        }
        if !self.desk.is_shared() {
            // Where others follow, nobody has to read so much.
            self.last_snapshot().await;
        }
        tracing::info!(partition = self.replica.partition.0, "the owner has stopped");
        Ended::Stopped
    }

    /// Decides everything, appends it at once, and answers. Returns how many events there were.
    async fn batch(&mut self, requests: Vec<Envelope>) -> usize {
        let began = Instant::now();
        let now = match self.time() {
            Ok(now) => now,
            Err(away) => {
                self.rest_timers();
                refuse_all(requests, away);
                return 0;
            }
        };
        let timers = self.due(now);
        if requests.is_empty() && timers.is_empty() {
            return 0;
        }
        self.replica.state.outcomes.forget(now);
        let tools = Tools {
            identities: &self.replica.identities,
            writer: &mut self.records,
            partitions: self.replica.parts.log.partitions(),
            level: self.replica.parts.views.directory().level(),
            remembered_in_common_max: self.replica.parts.settings.remembered_in_common_max,
            #[cfg(test)]
            sabotage: self.replica.parts.settings.sabotage,
        };
        let mut batch = Batch::new(&self.replica.state, tools, now);
        let (fired, keyless) = fire(&self.replica.parts.keyring, timers, &mut batch).await;
        let left = match fired {
            Fired::NotAll => requests,
            Fired::All => decide(requests, &mut batch),
        };
        self.replica.inbox.give_back(left.into_iter());
        let (Decisions { records, open, spent, triggers }, changes, pending) = batch.finish();
        spent.iter().for_each(|it| self.replica.state.timers.remove(it));
        let until = tokio::time::Instant::now() + TIMERS_REST;
        #[cfg(test)]
        self.rest_all(&keyless);
        self.tenants_rest.extend(keyless.into_iter().map(|it| (it, until)));
        if records.is_empty() {
            self.answer_from_memory(open, now).await;
            return 0;
        }
        #[cfg(test)]
        let open = self.answer_early(open, now);
        let (mut open, log) = (open, self.writer());
        match said_until(held_until(&mut open), log.append(records)).await {
            Ok(positions) => {
                self.refused = None;
                let next = positions.last().map_or(self.replica.state.next, |it| it.next());
                self.replica.commit(changes, now, next);
                self.replica.identities.merge(pending);
                let reactors = self.reactors.as_mut().expect("they are told of from the start");
                triggers.iter().for_each(|it| reactors.announce(positions[*it]));
                self.acknowledge(open, &positions, now);
                self.replica.inbox.set_pace(began.elapsed());
                positions.len()
            }
            Err(error) => {
                #[cfg(test)]
                self.merge_refused(&error, changes, now);
                drop(pending);
                self.not_written(open, &error).await;
                0
            }
        }
    }

    /// Answers where nothing is recorded, once it is certain that no other owner has recorded
    /// anything since: one that was paused may have missed that.
    async fn answer_from_memory(&mut self, open: Vec<Open>, now: DateTime<Utc>) {
        #[cfg(any(test, feature = "sabotage"))]
        if self.replica.parts.settings.sabotage == Some(Sabotage::AnswerAtOnce) {
            return self.acknowledge(open, &[], now);
        }
        let mut open = open;
        match said_until(held_until(&mut open), self.writer().barrier()).await {
            Ok(()) => self.acknowledge(open, &[], now),
            Err(error) => self.not_written(open, &error).await,
        }
    }

    /// Answers a batch that the log did not take, or sees what became of it.
    async fn not_written(&mut self, open: Vec<Open>, error: &AppendError) {
        if let Some(fate) = Fate::of(error) {
            return self.recover(open, fate).await;
        }
        let (partition, requests) = (self.replica.partition.0, open.len());
        let cause = error as &dyn std::error::Error;
        let away = Away::from(error);
        if self.refused.replace(away) == Some(away) && away == Away::Replicas {
            // The log has said so, and refuses as many batches a second as there are.
            tracing::debug!(partition, requests, error = cause, "nothing of a batch was recorded");
        } else {
            tracing::error!(partition, requests, error = cause, "nothing of a batch was recorded");
        }
        self.rest_timers();
        refuse_all(open.into_iter().map(|it| it.envelope), away);
    }

    #[cfg(test)]
    fn merge_refused(&mut self, error: &AppendError, changes: Changes, now: DateTime<Utc>) {
        if matches!(error, AppendError::Refused(_))
            && self.replica.parts.settings.sabotage == Some(Sabotage::MergeRefused)
        {
            self.replica.commit(changes, now, self.replica.state.next);
        }
    }

    /// The time to be recorded: the clock's, but never before what was recorded last.
    fn time(&self) -> Result<DateTime<Utc>, Away> {
        let Parts { clock, comparison, .. } = &self.replica.parts;
        let now = clock.now();
        let verdict = comparison.judge(clock.as_ref(), now);
        if verdict == Verdict::Wrong {
            // The operator is told.
            return Err(Away::Clock);
        }
        // Stored with microseconds, so decided with microseconds too.
        let now = now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now);
        let behind = self.replica.state.recorded - now;
        // Where this clock is right, it was another one that was ahead.
        if behind > CLOCK_OFF_MAX && verdict == Verdict::Alone {
            tracing::error!(
                partition = self.replica.partition.0,
                clock.behind_s = behind.num_seconds(),
                "the clock is before what was recorded last; set it right"
            );
            return Err(Away::Clock);
        }
        Ok(now.max(self.replica.state.recorded))
    }
}

/// Tells everybody that nothing was written.
pub(super) fn refuse_all(envelopes: impl IntoIterator<Item = Envelope>, away: Away) {
    for envelope in envelopes {
        envelope.refuse(CommandError::Unavailable(away));
    }
}

/// Decides one after the other until the batch is full, and returns those that are left.
fn decide(requests: Vec<Envelope>, batch: &mut Batch<'_>) -> Vec<Envelope> {
    let mut requests = requests.into_iter();
    while let Some(request) = requests.next() {
        if let Err(NoRoom(request)) = batch.decide(request) {
            return std::iter::once(request).chain(requests).collect();
        }
    }
    Vec::new()
}
