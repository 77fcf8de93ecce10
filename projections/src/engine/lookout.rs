//! Finds the partitions of our tables that nobody fills, and has this process fill them.
//!
//! Who owns a partition fills it, in the tables of its own version. While two versions serve together
//! of which one has changed a model's tables, those of each would lack what processes of the other
//! own. So a checkpoint that is behind the end of the log, and was not seen to move for a while, is
//! moved by whoever notices. Where owners fill what is theirs nothing is found, and what an idle
//! partition costs is one question where it ends, now and then.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Weak};
use std::time::Duration;

use event_log::{LogError, Partition, Position};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::engine::checkpoint::Stage;
use crate::engine::generations::Generations;
use crate::engine::table_set::TableSet;
use crate::engine::worker::Tools;
use crate::model::Model;

/// How often it looks at most. In seconds: 1.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many partitions the log is asked about in one look, and how many of a set are taken up: 8.
const PARTITIONS_MAX: usize = 8;

/// How much longer than at first is waited at most before what was taken up in vain is taken up
/// again: 16 times.
const LONGER_MAX: u32 = 16;

/// Looks after the tables of one process.
pub(crate) struct Lookout {
    generations: Weak<Generations>,
    tools: Tools,
    unmoved_min: Duration,
    watched: BTreeMap<Key, Watched>,
}

type Key = (Model, u64, Partition);

/// What was seen of one partition of one set.
#[derive(Clone, Copy, Debug)]
struct Watched {
    at: Position,
    /// Whoever completes the tables holds every partition, maybe for long.
    stage: Stage,
    since: Instant,
    /// For how long it has to be there before somebody looks why.
    patience: Duration,
}

impl Watched {
    fn new((at, stage): (Position, Stage), unmoved_min: Duration, now: Instant) -> Self {
        // Not all processes become impatient at the same time.
        let random = u32::from(RandomState::new().hash_one(at.0).to_le_bytes()[0]);
        Self { at, stage, since: now, patience: unmoved_min + unmoved_min * random / 256 }
    }

    fn is_due(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= self.patience
    }

    fn rest(&mut self, now: Instant) {
        self.since = now;
    }

    /// It was taken up. If that is in vain, as where its owner is in the midst of a long
    /// transaction, it is not taken up again so soon.
    fn taken_up(&mut self, unmoved_min: Duration, now: Instant) {
        self.since = now;
        self.patience = (self.patience * 2).min(unmoved_min * LONGER_MAX);
    }
}

/// A partition of a set that has not moved.
struct Unmoved {
    set: Arc<TableSet>,
    partition: Partition,
    watched: Watched,
}

impl Unmoved {
    fn key(&self) -> Key {
        (self.set.model, self.set.generation, self.partition)
    }
}

impl Lookout {
    /// Takes up what was not seen to move for `unmoved_min`, or up to twice as long.
    pub(crate) fn new(generations: &Arc<Generations>, tools: Tools, unmoved_min: Duration) -> Self {
        let generations = Arc::downgrade(generations);
        Self { generations, tools, unmoved_min, watched: BTreeMap::new() }
    }

    /// Looks until told to stop.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = self.look_on() => (),
            _ = stop.wait_for(|it| *it) => (),
        }
    }

    async fn look_on(&mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY.min(self.unmoved_min)).await;
            let Some(generations) = self.generations.upgrade() else { return };
            let sets = generations.sets();
            drop(generations);
            if let Err(error) = self.look(&sets).await {
                // Nothing can be filled either, and whoever tries says so.
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "it is not known which partitions nobody fills"
                );
            }
        }
    }

    /// Has this process fill what nobody fills of `sets`.
    pub(crate) async fn look(&mut self, sets: &[Arc<TableSet>]) -> Result<(), LogError> {
        let unmoved = self.unmoved(sets);
        self.take_up(unmoved).await
    }

    /// What others are to fill and nobody has moved, the longest first.
    fn unmoved(&mut self, sets: &[Arc<TableSet>]) -> Vec<Unmoved> {
        let (now, unmoved_min) = (Instant::now(), self.unmoved_min);
        let is_there =
            |it: &Key| sets.iter().any(|set| (set.model, set.generation) == (it.0, it.1));
        self.watched.retain(|it, _| is_there(it));
        let mut unmoved = Vec::new();
        for set in sets.iter().filter(|it| !it.is_foreign()) {
            for (partition, at) in (0..).map(Partition).zip(set.known()) {
                let key = (set.model, set.generation, partition);
                let found = (at, set.stage());
                let fresh = Watched::new(found, unmoved_min, now);
                let watched = self.watched.entry(key).or_insert(fresh);
                if (watched.at, watched.stage) != found || self.tools.share.has(partition) {
                    *watched = fresh;
                } else if watched.is_due(now) && !set.has_ended(partition) {
                    let (set, watched) = (set.clone(), *watched);
                    unmoved.push(Unmoved { set, partition, watched });
                }
            }
        }
        unmoved.sort_by_key(|it| it.watched.since);
        unmoved
    }

    /// Takes up those of `unmoved` that are not at the end of the log, within bounds.
    async fn take_up(&mut self, unmoved: Vec<Unmoved>) -> Result<(), LogError> {
        let now = Instant::now();
        let mut ends = BTreeMap::new();
        let mut taken_up = BTreeMap::<_, usize>::new();
        for it in unmoved {
            let end = match (it.set.lacks(it.partition), ends.get(&it.partition)) {
                (Some(end), _) | (None, Some(&end)) => end,
                (None, None) if ends.len() < PARTITIONS_MAX => {
                    let end = self.tools.log.end(it.partition).await?;
                    ends.insert(it.partition, end);
                    end
                }
                (None, None) => continue,
            };
            let Some(watched) = self.watched.get_mut(&it.key()) else { continue };
            if it.watched.at >= end {
                watched.rest(now);
                continue;
            }
            let count = taken_up.entry((it.set.model, it.set.generation)).or_default();
            if *count < PARTITIONS_MAX {
                *count += 1;
                watched.taken_up(self.unmoved_min, now);
                it.set.neglected(it.partition, it.watched.at);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
