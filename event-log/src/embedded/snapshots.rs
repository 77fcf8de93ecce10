//! Snapshots of one partition: a chain of files, each what changed since the one before.
//!
//! Every save gets a number, its file is named after it and says which number it builds on.
//! Merging a run of neighbours makes a file with the number of the youngest, in its place; the
//! others are then garbage. So whatever set of files a power cut leaves, the newest snapshot of a
//! version of the fold is its highest number from which the way back to a whole file is unbroken;
//! what cannot be read is as good as absent. Of the versions, those that saved last are kept. A file
//! gets its lasting name when all of it is synced ([`writing`]). No answer of the log depends on a
//! snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use super::files::{Files, failed};
use crate::port::{AppendError, FOLD_VERSIONS_MAX, LogError, Partition, Snapshot, version_of};

mod delta;
mod writing;

use delta::{Delta, DeltaFile, Header, Summary};
use writing::Begun;
pub(super) use writing::{Claim, EmbeddedSnapshot};

/// Chains shorter than this are not merged. In files: 8.
const CHAIN_MAX: usize = 8;

/// The snapshots of one partition.
#[derive(Debug)]
pub(super) struct Snapshots {
    partition: Partition,
    folder: PathBuf,
    files: Arc<dyn Files>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The claim that may save; earlier ones are fenced.
    epoch: u64,
    door: Door,
    /// Every file, by number.
    links: BTreeMap<u64, Summary>,
    /// The number of the newest snapshot of each version of the fold.
    tips: BTreeMap<u32, u64>,
    next_number: u64,
}

/// Whether files may get their lasting names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Door {
    #[default]
    Open,
    /// Open, and somebody merges.
    Merging,
    Closed,
}

impl Snapshots {
    /// Finds the snapshots in `folder` that are not of a future beyond position `end`.
    pub(super) fn open(
        files: Arc<dyn Files>,
        folder: PathBuf,
        partition: Partition,
        end: u64,
    ) -> Result<Self, LogError> {
        let this = Self { partition, folder, files, state: Mutex::default() };
        let names = this.files.list(&this.folder).map_err(failed("reading", &this.folder))?;
        let mut state = this.state();
        for name in names {
            let Some(stem) = name.strip_suffix(".snapshot") else { continue };
            let Ok(number) = stem.parse() else { continue };
            state.next_number = state.next_number.max(number + 1);
            match delta::read_summary(&*this.files, &this.path(number)) {
                Ok(summary) if summary.upto > end => {
                    this.ignore(number, "it is of a position that the log has not reached");
                }
                Ok(summary) => drop(state.links.insert(number, summary)),
                Err(error) => this.ignore(number, &error.to_string()),
            }
        }
        state.find_tips();
        drop(state);
        Ok(this)
    }

    /// Whether `epoch` is the claim that may save.
    pub(super) fn is_claimed_by(&self, epoch: u64) -> bool {
        self.state().epoch == epoch
    }

    /// From now on only the claim `epoch` may save. Waits for a file that is being named.
    pub(super) fn fence(&self, epoch: u64) {
        self.state().epoch = epoch;
    }

    /// From now on no file gets its lasting name. Waits for one that is being named.
    pub(super) fn close(&self) {
        self.state().door = Door::Closed;
    }

    /// The newest snapshot of `version` that can be read.
    pub(super) fn load(&self, version: u32) -> Result<Option<Snapshot>, LogError> {
        let mut state = self.state();
        while let Some(tip) = state.tips.get(&version).copied() {
            let chain = state.chain(tip).expect("the tip always ends a chain");
            match self.read(&chain) {
                Ok(delta) => return Ok(Some(delta.into_snapshot())),
                Err((number, LogError::Damaged { reason, .. })) => {
                    self.ignore(number, &reason);
                    state.links.remove(&number);
                    state.find_tips();
                }
                Err((_, error)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Begins a file for the claim's snapshot, which builds on the newest one of its version.
    fn begin(&self, claim: &Claim, upto: u64, fold: u32) -> Result<Begun, AppendError> {
        let mut state = self.owned(claim)?;
        let tip = state.tips.get(&version_of(fold)).copied();
        let previous = tip.filter(|it| state.links[it].fold == fold);
        let number = state.next_number;
        state.next_number += 1;
        drop(state);
        let header = Header::new(previous, upto, fold);
        let file = DeltaFile::create(&*self.files, &self.temporary(number), header);
        // Only room is at stake: a file of this name is removed at the next start anyway.
        let file = file.inspect_err(|_| self.discard(number)).map_err(AppendError::Refused)?;
        Ok(Begun { number, tip, file })
    }

    /// Fails unless the claim's snapshot may become the newest one.
    fn check(&self, claim: &Claim) -> Result<(), AppendError> {
        self.owned(claim).map(drop)
    }

    /// Makes a file that was written whole the newest snapshot.
    fn adopt(
        &self,
        claim: &Claim,
        (number, tip): (u64, Option<u64>),
        summary: Summary,
    ) -> Result<(), AppendError> {
        let mut state = self.owned(claim)?;
        let version = version_of(summary.fold);
        if state.tips.get(&version).copied() != tip {
            // What it builds on could not be read.
            let reason = "the snapshot before was given up meanwhile".to_owned();
            let place = self.path(number).display().to_string();
            return Err(AppendError::Refused(LogError::Damaged { place, reason }));
        }
        // If its name is there although this failed, it is still a true snapshot.
        self.name(number).map_err(AppendError::Refused)?;
        state.links.insert(number, summary);
        state.tips.insert(version, number);
        state.forget_versions();
        let garbage = state.collect_garbage();
        drop(state);
        self.remove(&garbage);
        Ok(())
    }

    /// Removes a file that was not written whole.
    fn discard(&self, number: u64) {
        drop(self.files.remove(&self.temporary(number)));
    }

    fn owned(&self, claim: &Claim) -> Result<MutexGuard<'_, State>, AppendError> {
        let state = self.state();
        if state.epoch == claim.epoch && claim.is_last() && state.door != Door::Closed {
            Ok(state)
        } else {
            Err(AppendError::Fenced)
        }
    }

    /// Merges the youngest files of a long chain into one.
    pub(super) fn merge(&self) {
        let run = {
            let mut state = self.state();
            let Some(run) = state.run_to_merge().filter(|_| state.door == Door::Open) else {
                return;
            };
            state.door = Door::Merging;
            run
        };
        let merged = self.merge_run(&run);
        let mut state = self.state();
        if state.door == Door::Merging {
            state.door = Door::Open;
        }
        drop(state);
        if let Err(error) = merged {
            tracing::warn!(
                log.partition = %self.partition,
                error = &error as &dyn std::error::Error,
                "snapshots could not be merged"
            );
        }
    }

    fn merge_run(&self, run: &[u64]) -> Result<(), LogError> {
        let number = *run.last().expect("a run has at least one file");
        let delta = self.read(run).map_err(|(_, error)| error)?;
        let summary = self.write(&delta, number)?;
        let mut state = self.state();
        if state.door == Door::Closed {
            drop(state);
            self.discard(number);
            return Ok(());
        }
        if state.tips.values().any(|it| state.chain(*it).is_some_and(|it| it.contains(&number))) {
            self.name(number)?;
            state.links.insert(number, summary);
        }
        let garbage = state.collect_garbage();
        drop(state);
        self.remove(&garbage);
        Ok(())
    }

    /// Writes a file that has no lasting name yet.
    fn write(&self, delta: &Delta, number: u64) -> Result<Summary, LogError> {
        let path = self.temporary(number);
        delta.write(&*self.files, &path).inspect_err(|_| self.discard(number))
    }

    /// Gives a file that was written its lasting name.
    fn name(&self, number: u64) -> Result<(), LogError> {
        let path = self.path(number);
        self.files.rename(&self.temporary(number), &path).map_err(failed("naming", &path))?;
        self.files.sync_folder(&self.folder).map_err(failed("syncing", &self.folder))
    }

    /// Reads a run of files, oldest first, into one; or says which could not be read.
    fn read(&self, run: &[u64]) -> Result<Delta, (u64, LogError)> {
        let mut merged: Option<Delta> = None;
        for number in run {
            let delta = Delta::read(&*self.files, &self.path(*number));
            let delta = delta.map_err(|error| (*number, error))?;
            merged = Some(match merged {
                None => delta,
                Some(older) => older.then(delta),
            });
        }
        Ok(merged.expect("a run has at least one file"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock can panic")
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:016}.snapshot"))
    }

    fn temporary(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:016}.snapshot.temporary"))
    }

    fn ignore(&self, number: u64, reason: &str) {
        tracing::warn!(
            log.partition = %self.partition,
            file = %self.path(number).display(),
            reason,
            "a snapshot is ignored; an older one or a replay takes its place"
        );
    }

    fn remove(&self, numbers: &[u64]) {
        for number in numbers {
            // A file that stays is found and removed after the next save of another run.
            drop(self.files.remove(&self.path(*number)));
        }
    }
}

impl State {
    /// The files that make up the snapshot `tip`, oldest first, if all are there.
    fn chain(&self, tip: u64) -> Option<Vec<u64>> {
        let mut chain = vec![tip];
        let mut number = tip;
        while let Some(previous) = self.links.get(&number)?.previous {
            if previous >= number {
                return None;
            }
            chain.push(previous);
            number = previous;
        }
        chain.reverse();
        Some(chain)
    }

    /// Finds the newest snapshot of each version again.
    fn find_tips(&mut self) {
        let mut tips = BTreeMap::new();
        for (number, link) in self.links.iter().filter(|it| self.chain(*it.0).is_some()) {
            tips.insert(version_of(link.fold), *number);
        }
        self.tips = tips;
        self.forget_versions();
    }

    /// Forgets the versions that others saved after.
    fn forget_versions(&mut self) {
        while self.tips.len() > FOLD_VERSIONS_MAX {
            let oldest = self.tips.iter().min_by_key(|it| *it.1).map(|it| *it.0);
            oldest.map(|it| self.tips.remove(&it));
        }
    }

    /// The youngest files of the newest chain, as many as are not much larger than what is
    /// merged into them anyway.
    fn run_to_merge(&self) -> Option<Vec<u64>> {
        let chain = self.chain(*self.tips.values().max()?)?;
        if chain.len() < CHAIN_MAX {
            return None;
        }
        let mut start = chain.len() - 1;
        let mut bytes = self.links[&chain[start]].bytes;
        while start > 0 {
            let older = self.links[&chain[start - 1]].bytes;
            if older > 2 * bytes && chain.len() - start > 1 {
                break;
            }
            bytes += older;
            start -= 1;
        }
        Some(chain[start..].to_vec())
    }

    /// Forgets every file that no version's newest chain needs.
    fn collect_garbage(&mut self) -> Vec<u64> {
        let chains = self.tips.values().filter_map(|it| self.chain(*it));
        let needed: BTreeSet<u64> = chains.flatten().collect();
        let garbage: Vec<_> =
            self.links.keys().copied().filter(|it| !needed.contains(it)).collect();
        for number in &garbage {
            self.links.remove(number);
        }
        garbage
    }
}
