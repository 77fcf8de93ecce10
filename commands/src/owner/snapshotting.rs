//! When snapshots are taken, and how the loop goes on meanwhile.
//!
//! The loop freezes what changed and looks, between two batches, whether the snapshot is there:
//! all encoding and writing happens beside it, slice by slice.

use std::collections::HashMap;

use domain::id::TenantId;
use event_log::{AppendError, Position, SnapshotWriter};
use tokio::task::{JoinError, JoinSet, spawn_blocking};

use super::Owner;
use super::envelope::Read;
use crate::snapshot::{FOLD_VERSION, Frozen, Snapshots};

/// What an owner knows about its snapshots.
#[derive(Debug, Default)]
pub(crate) struct Snapshotting {
    pub(crate) snapshots: Snapshots,
    saving: Option<Saving>,
    /// How often the partition was claimed again.
    pub(super) claims: u64,
}

/// A snapshot that is being written.
#[derive(Debug)]
struct Saving {
    /// The shards in it, to mark as changed again should it not be saved.
    shards: Vec<(TenantId, u64)>,
    upto: Position,
    /// Under which claim it was begun.
    claim: u64,
    /// One task, which ends with the owner.
    task: JoinSet<Result<Parts, SaveError>>,
}

/// How many chunks each piece takes, if more than one.
type Parts = HashMap<String, usize>;

/// Why a snapshot was not saved.
#[derive(Debug, thiserror::Error)]
enum SaveError {
    #[error("it could not be encoded")]
    Encode(#[from] JoinError),
    #[error(transparent)]
    Write(#[from] AppendError),
}

impl Owner {
    /// Counts what was recorded, and begins or ends a snapshot if it is time to.
    pub(super) async fn snapshot(&mut self, events: usize) {
        let count = self.snapshotting.snapshots.count(events);
        let ended = self.snapshotting.saving.as_mut().and_then(|it| it.task.try_join_next());
        if let Some(ended) = ended {
            self.saved(ended).await;
        }
        let due = count >= self.parts.settings.snapshot_every.get();
        if due && self.snapshotting.saving.is_none() {
            self.begin_snapshot();
            #[cfg(test)]
            if self.parts.settings.sabotage == Some(crate::settings::Sabotage::SaveInLoop) {
                self.await_snapshot().await;
            }
        }
        if self.identities.is_seal_due() {
            self.identities.seal(self.state.next);
        }
    }

    /// Saves everything, to make the next start quick.
    pub(super) async fn last_snapshot(&mut self) {
        self.await_snapshot().await;
        if self.snapshotting.snapshots.count(0) > 0 {
            self.begin_snapshot();
            self.await_snapshot().await;
        }
        if let Err(error) = self.identities.seal_all(self.state.next) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the identity index is not on disk; the log brings it back");
        }
    }

    fn begin_snapshot(&mut self) {
        let followed = self.followed.upto(self.state.next);
        let frozen = self.snapshotting.snapshots.freeze(&mut self.state, followed);
        let (shards, upto) = (frozen.shards(), frozen.upto);
        let writer = self.writer.begin_snapshot(upto, FOLD_VERSION);
        let inbox = self.inbox.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let saved = save(frozen, writer).await;
            // Wakes the loop. A closed inbox wakes it too.
            drop(inbox.push_read(Read(Box::new(|_| ()))));
            saved
        });
        let claim = self.snapshotting.claims;
        self.snapshotting.saving = Some(Saving { shards, upto, claim, task });
    }

    /// Waits for the snapshot that is being written, if there is one.
    async fn await_snapshot(&mut self) {
        let Some(saving) = &mut self.snapshotting.saving else { return };
        if let Some(ended) = saving.task.join_next().await {
            self.saved(ended).await;
        }
    }

    /// Notes what became of the snapshot that was being written.
    async fn saved(&mut self, ended: Result<Result<Parts, SaveError>, JoinError>) {
        let Some(Saving { shards, upto, claim, .. }) = self.snapshotting.saving.take() else {
            return;
        };
        let (partition, upto) = (self.partition.0, upto.0);
        let error = match ended.map_err(SaveError::from).flatten() {
            Ok(parts) => {
                self.snapshotting.snapshots.saved(parts);
                return tracing::debug!(partition, upto, "snapshot");
            }
            Err(error) => error,
        };
        self.snapshotting.snapshots.lost(&mut self.state, &shards);
        tracing::warn!(partition, error = &error as &dyn std::error::Error, "no snapshot");
        let fatal =
            matches!(error, SaveError::Write(AppendError::Fenced | AppendError::Unknown(_)));
        // Who stops leaves the partition to whoever has claimed it; who claimed it again since has
        // a writer that is not concerned.
        if fatal && claim == self.snapshotting.claims && !self.inbox.is_closed() {
            self.recover(Vec::new()).await;
        }
    }
}

/// Encodes and writes a snapshot, one slice after the other.
async fn save(frozen: Frozen, mut writer: Box<dyn SnapshotWriter>) -> Result<Parts, SaveError> {
    let mut slices = frozen.slices();
    loop {
        let (rest, slice) = spawn_blocking(move || {
            let slice = slices.next();
            (slices, slice)
        })
        .await?;
        slices = rest;
        let Some(slice) = slice else { break };
        writer.stage(slice).await?;
    }
    writer.finish().await?;
    Ok(slices.into_parts())
}

/// How far a partition was reacted to.
#[derive(Debug)]
pub(crate) struct Followed {
    /// The position after the last trigger that was announced.
    pub(crate) announced: Position,
    /// The position before which the follower has reacted to everything.
    pub(crate) done: tokio::sync::watch::Receiver<Position>,
}

impl Followed {
    /// The position before which nothing is left to react to, if committed state ends at `next`.
    fn upto(&self, next: Position) -> Position {
        let done = *self.done.borrow();
        if done >= self.announced { next } else { done }
    }
}
