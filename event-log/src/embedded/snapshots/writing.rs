//! Writing one snapshot, beside the appender: each slice is written and synced by itself, so that
//! the disk never has much of it to take at once.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::Snapshots;
use super::delta::DeltaFile;
use crate::embedded::partition::Shared;
use crate::limits;
use crate::port::{AppendError, LogError, Position, SnapshotChunk, SnapshotWriter};

/// A snapshot that is being written.
#[derive(Debug)]
pub(in crate::embedded) struct EmbeddedSnapshot(Arc<Writing>);

/// What is shared with the thread that writes.
#[derive(Debug)]
struct Writing {
    shared: Arc<Shared>,
    snapshots: Arc<Snapshots>,
    claim: Claim,
    upto: Position,
    fold: u32,
    /// Its file, once there is one.
    begun: Mutex<Option<Begun>>,
}

/// Who may write a snapshot.
#[derive(Debug)]
pub(in crate::embedded) struct Claim {
    pub(in crate::embedded) epoch: u64,
    /// Which of the snapshots of its writer it is.
    pub(in crate::embedded) number: u64,
    /// The number of the last one that the writer has begun.
    pub(in crate::embedded) last: Arc<AtomicU64>,
}

/// A file that has no lasting name yet.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) number: u64,
    /// The newest snapshot of its version when it was begun.
    pub(super) tip: Option<u64>,
    pub(super) file: DeltaFile,
}

impl EmbeddedSnapshot {
    pub(in crate::embedded) fn new(
        shared: Arc<Shared>,
        snapshots: Arc<Snapshots>,
        claim: Claim,
        (upto, fold): (Position, u32),
    ) -> Self {
        let begun = Mutex::default();
        let writing = Writing { shared, snapshots, claim, upto, fold, begun };
        Self(Arc::new(writing))
    }

    /// Does something that waits for the disk.
    async fn beside(
        &self,
        work: impl FnOnce(&Writing) -> Result<(), AppendError> + Send + 'static,
    ) -> Result<(), AppendError> {
        let writing = self.0.clone();
        let done =
            tokio::task::spawn_blocking(move || work(&writing).inspect_err(|_| writing.give_up()));
        done.await.unwrap_or_else(|error| {
            let doing = "writing a snapshot".to_owned();
            Err(AppendError::Unknown(LogError::Storage { doing, source: io::Error::other(error) }))
        })
    }
}

#[async_trait]
impl SnapshotWriter for EmbeddedSnapshot {
    async fn stage(&mut self, slice: Vec<SnapshotChunk>) -> Result<(), AppendError> {
        limits::check_slice(&slice).map_err(AppendError::Refused)?;
        self.beside(move |writing| writing.stage(&slice)).await
    }

    async fn finish(self: Box<Self>) -> Result<(), AppendError> {
        self.beside(|writing| {
            writing.finish()?;
            // Here, and not where appends have segments made ready: it may take as long.
            writing.snapshots.merge();
            Ok(())
        })
        .await
    }
}

impl Writing {
    fn stage(&self, slice: &[SnapshotChunk]) -> Result<(), AppendError> {
        let mut begun = self.begun()?;
        let file = &mut begun.as_mut().expect("it was just begun").file;
        file.push(slice.iter().map(|it| (it.key.as_str(), it.bytes.as_ref())))
            .map_err(AppendError::Refused)
    }

    fn finish(&self) -> Result<(), AppendError> {
        let mut begun = self.begun()?;
        let summary = begun.as_mut().expect("it was just begun").file.finish();
        let summary = summary.map_err(AppendError::Refused)?;
        let Begun { number, tip, .. } = begun.as_ref().expect("it was just begun");
        self.snapshots.adopt(&self.claim, (*number, *tip), summary)?;
        *begun = None;
        Ok(())
    }

    /// The file, begun if it was not, if this snapshot may still become the newest one.
    fn begun(&self) -> Result<MutexGuard<'_, Option<Begun>>, AppendError> {
        let end = Position(self.shared.end());
        limits::check_within(self.shared.location.partition, self.upto, end)
            .map_err(AppendError::Refused)?;
        let mut begun = self.lock();
        match &mut *begun {
            Some(_) => self.snapshots.check(&self.claim)?,
            none => {
                let (upto, fold) = (self.upto.0, self.fold);
                *none = Some(self.snapshots.begin(&self.claim, upto, fold)?);
            }
        }
        Ok(begun)
    }

    /// Makes the room free that it has taken.
    fn give_up(&self) {
        if let Some(begun) = self.lock().take() {
            self.snapshots.discard(begun.number);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Begun>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl Claim {
    /// Whether the writer has begun no other snapshot since.
    pub(super) fn is_last(&self) -> bool {
        self.last.load(Ordering::SeqCst) == self.number
    }
}
