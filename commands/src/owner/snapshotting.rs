//! When snapshots are taken, and how the loop goes on meanwhile.

use domain::id::TenantId;
use event_log::{AppendError, Position};
use tokio::task::JoinHandle;

use super::Owner;
use super::envelope::Read;
use crate::snapshot::{Encoded, Snapshots};

/// What an owner knows about its snapshots.
#[derive(Debug, Default)]
pub(crate) struct Snapshotting {
    pub(crate) snapshots: Snapshots,
    encoding: Option<Encoding>,
}

/// A snapshot that is being encoded.
#[derive(Debug)]
struct Encoding {
    /// The shards in it, to mark as changed again should it not be saved.
    shards: Vec<(TenantId, u64)>,
    task: JoinHandle<Encoded>,
}

impl Owner {
    /// Counts what was recorded, and begins or ends a snapshot if it is time to.
    ///
    /// Encoding goes on beside the loop; saving does not, because only the writer may save. It
    /// writes what changed and no more.
    pub(super) async fn snapshot(&mut self, events: usize) {
        let count = self.snapshotting.snapshots.count(events);
        if self.snapshotting.encoding.as_ref().is_some_and(|it| it.task.is_finished()) {
            self.save_encoded().await;
        }
        let due = count >= self.parts.settings.snapshot_every.get();
        if due && self.snapshotting.encoding.is_none() {
            self.begin_snapshot();
        }
        if self.identities.is_seal_due() {
            self.identities.seal(self.state.next);
        }
    }

    /// Saves everything, to make the next start quick.
    pub(super) async fn last_snapshot(&mut self) {
        if self.snapshotting.encoding.is_some() {
            self.save_encoded().await;
        }
        if self.snapshotting.snapshots.count(0) > 0 {
            self.begin_snapshot();
            self.save_encoded().await;
        }
        if let Err(error) = self.identities.seal_all(self.state.next) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the identity index is not on disk; the log brings it back");
        }
    }

    fn begin_snapshot(&mut self) {
        let followed = self.followed.upto(self.state.next);
        let frozen = self.snapshotting.snapshots.freeze(&mut self.state, followed);
        let (inbox, shards) = (self.inbox.clone(), frozen.shards());
        let task = tokio::task::spawn_blocking(move || {
            let encoded = frozen.encode();
            // Wakes the loop. A closed inbox wakes it too.
            drop(inbox.push_read(Read(Box::new(|_| ()))));
            encoded
        });
        self.snapshotting.encoding = Some(Encoding { shards, task });
    }

    async fn save_encoded(&mut self) {
        let Some(Encoding { shards, task }) = self.snapshotting.encoding.take() else { return };
        let Encoded { snapshot, parts } = match task.await {
            Ok(encoded) => encoded,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "a snapshot could not be encoded");
                return self.snapshotting.snapshots.lost(&mut self.state, &shards);
            }
        };
        let (upto, chunks) = (snapshot.upto, snapshot.chunks.len());
        match self.writer.save_snapshot(snapshot).await {
            Ok(()) => {
                self.snapshotting.snapshots.saved(parts);
                tracing::debug!(partition = self.partition.0, upto = upto.0, chunks, "snapshot");
            }
            Err(error) => {
                self.snapshotting.snapshots.lost(&mut self.state, &shards);
                let fatal = !matches!(error, AppendError::Refused(_));
                tracing::warn!(partition = self.partition.0, %error, "no snapshot");
                // Who stops leaves the partition to whoever has claimed it.
                if fatal && !self.inbox.is_closed() {
                    self.recover(Vec::new()).await;
                }
            }
        }
    }
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
