//! When snapshots are taken, and how the loop goes on meanwhile.
//!
//! The loop freezes what changed and looks, between two batches, whether the snapshot is there:
//! all encoding and writing happens beside it, slice by slice.

use event_log::{AppendError, Partition, Position, SnapshotWriter};
use tokio::task::{JoinError, JoinSet, spawn_blocking};
use vault::{Keyring, KeyringError};

use super::Owner;
use super::envelope::Read;
use super::recovery::Fate;
use crate::settings::Values;
use crate::snapshot::cover::Cover;
use crate::snapshot::{Frozen, Step, Written};

/// What an owner knows about its snapshots.
#[derive(Debug, Default)]
pub(crate) struct Snapshotting {
    saving: Option<Saving>,
    /// How often the partition was claimed.
    pub(super) claims: u64,
}

/// A snapshot that is being written.
#[derive(Debug)]
struct Saving {
    upto: Position,
    /// Under which claim it was begun.
    claim: u64,
    /// One task, which ends with the owner.
    task: JoinSet<Result<Written, SaveError>>,
}

/// Why a snapshot was not saved.
#[derive(Debug, thiserror::Error)]
enum SaveError {
    #[error("it could not be encoded")]
    Encode(#[from] JoinError),
    #[error("a tenant's key cannot be had")]
    Keyring(#[from] KeyringError),
    #[error(transparent)]
    Write(#[from] AppendError),
}

/// What a snapshot that is being written needs of its owner.
#[derive(Debug)]
struct Means {
    partition: Partition,
    values: Values,
    keyring: Keyring,
    writer: Box<dyn SnapshotWriter>,
}

impl Owner {
    /// Counts what was recorded, and begins or ends a snapshot if it is time to.
    pub(super) async fn snapshot(&mut self, events: usize) {
        let count = self.replica.snapshots.count(events);
        let ended = self.snapshotting.saving.as_mut().and_then(|it| it.task.try_join_next());
        if let Some(ended) = ended {
            self.saved(ended).await;
        }
        let due = count >= self.replica.parts.settings.snapshot_every.get();
        if due && self.snapshotting.saving.is_none() {
            self.begin_snapshot();
            #[cfg(test)]
            if self.replica.parts.settings.sabotage == Some(crate::settings::Sabotage::SaveInLoop) {
                self.await_snapshot().await;
            }
        }
        self.replica.seal_identities_if_due(self.replica.state.next);
    }

    /// Saves everything, to make the next start quick.
    pub(super) async fn last_snapshot(&mut self) {
        self.await_snapshot().await;
        if self.replica.snapshots.count(0) > 0 {
            self.begin_snapshot();
            self.await_snapshot().await;
        }
    }

    fn begin_snapshot(&mut self) {
        let next = self.replica.state.next;
        let followed = self.reactors.as_ref().map_or(next, |it| it.upto(next));
        let frozen = self.replica.snapshots.freeze(&mut self.replica.state, followed);
        let upto = frozen.upto;
        let means = Means {
            partition: self.replica.partition,
            values: self.replica.parts.settings.values,
            keyring: self.replica.parts.keyring.clone(),
            writer: self.writer().begin_snapshot(upto, frozen.fold),
        };
        let inbox = self.replica.inbox.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let saved = save(frozen, means).await;
            // Wakes the loop. A closed inbox wakes it too.
            drop(inbox.push_read(Read(Box::new(|_| ()))));
            saved
        });
        let claim = self.snapshotting.claims;
        self.snapshotting.saving = Some(Saving { upto, claim, task });
    }

    /// Waits for the snapshot that is being written, if there is one.
    async fn await_snapshot(&mut self) {
        let Some(saving) = &mut self.snapshotting.saving else { return };
        if let Some(ended) = saving.task.join_next().await {
            self.saved(ended).await;
        }
    }

    /// Notes what became of the snapshot that was being written.
    async fn saved(&mut self, ended: Result<Result<Written, SaveError>, JoinError>) {
        let Some(Saving { upto, claim, .. }) = self.snapshotting.saving.take() else {
            return;
        };
        let (partition, upto) = (self.replica.partition.0, upto.0);
        let error = match ended.map_err(SaveError::from).flatten() {
            Ok(written) => {
                self.replica.snapshots.saved(written);
                return tracing::debug!(partition, upto, "snapshot");
            }
            Err(error) => error,
        };
        // Some of it may be there all the same.
        self.replica.snapshots.begin_anew();
        tracing::warn!(partition, error = &error as &dyn std::error::Error, "no snapshot");
        let fate = match &error {
            SaveError::Write(error) => Fate::of(error),
            SaveError::Encode(_) | SaveError::Keyring(_) => None,
        };
        // Who stops leaves the partition to whoever has claimed it; who claimed it again since has
        // a writer that is not concerned.
        if let Some(fate) = fate
            && claim == self.snapshotting.claims
            && !self.replica.inbox.is_closed()
        {
            self.recover(Vec::new(), fate).await;
        }
    }
}

/// Encodes and writes a snapshot, one slice after the other.
async fn save(frozen: Frozen, means: Means) -> Result<Written, SaveError> {
    let Means { partition, values, keyring, mut writer } = means;
    let mut slices = frozen.slices(partition, values);
    loop {
        let (rest, step) = spawn_blocking(move || {
            let step = slices.next();
            (slices, step)
        })
        .await?;
        slices = rest;
        match step {
            Step::Slice(slice) => writer.stage(slice).await?,
            Step::Cover(tenant) => {
                let cover = Cover::of(tenant, &keyring).await?;
                if cover.is_none() {
                    let partition = partition.0;
                    tracing::error!(
                        partition,
                        %tenant,
                        "the key of a tenant is missing in the vault or damaged, so a snapshot is \
                         without it; put the key back before this process ends"
                    );
                }
                slices.cover(tenant, cover);
            }
            Step::Done => break,
        }
    }
    writer.finish().await?;
    Ok(slices.into_written())
}
