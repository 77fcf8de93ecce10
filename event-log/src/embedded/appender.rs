//! The thread that writes one partition: one write and one sync per batch.
//!
//! It takes requests one after the other, so a claim is answered after whatever the writer
//! before it had under way. What it does not know to be durable it never shows to anybody.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use async_trait::async_trait;
use bytes::BytesMut;
use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::files::failed;
use super::frame::{self, HEADER_BYTES};
use super::keeper::Job;
use super::partition::{Open, Part, Shared, Stored};
use super::segment::{Segment, SparseIndex};
use super::snapshots::{Claim, EmbeddedSnapshot, Snapshots};
use crate::limits;
use crate::membership::Announced;
use crate::port::{AppendError, Batch, LogError, Position, Recorded, SnapshotWriter, Writer};
use crate::record::Record;

/// What the thread is asked.
#[derive(Debug)]
pub(super) enum Request {
    Append { epoch: u64, batch: Batch, reply: oneshot::Sender<Result<Vec<Position>, AppendError>> },
    Claim { reply: oneshot::Sender<Result<u64, LogError>> },
    Stop,
}

/// The state of the thread.
#[derive(Debug)]
pub(super) struct Appender {
    pub(super) shared: Arc<Shared>,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) jobs: Sender<Job>,
    pub(super) prepared: Receiver<Result<Segment, LogError>>,
    /// The open segment, its length and where the next frame goes.
    pub(super) segment: Arc<Segment>,
    pub(super) segment_bytes: u64,
    pub(super) offset: u64,
    /// The position of the next record.
    pub(super) end: u64,
    /// The largest segment to prepare.
    pub(super) segment_bytes_max: u64,
    /// The sequence of the segment that is being prepared, or will be.
    pub(super) next_sequence: u64,
    pub(super) preparing: bool,
    /// The claim that may write; earlier ones are fenced.
    pub(super) epoch: u64,
    /// A batch of which it is not known whether it is durable. While there is one nothing is
    /// appended; the next claim writes it again, elsewhere.
    pub(super) unsettled: Option<Batch>,
    pub(super) buffer: BytesMut,
    /// Records that memory need not keep any more, to be freed once the caller has its answer.
    pub(super) forgotten: Vec<Arc<[Recorded]>>,
}

impl Appender {
    /// Works until told to stop.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        self.prepare_next();
        while let Ok(request) = requests.recv() {
            match request {
                Request::Append { epoch, batch, reply } => {
                    // A caller that no longer waits does not learn the outcome; that is all.
                    drop(reply.send(self.append(epoch, batch)));
                    self.forgotten.clear();
                }
                Request::Claim { reply } => drop(reply.send(self.claim())),
                Request::Stop => break,
            }
        }
        // Without a receiver the keeper is gone already.
        drop(self.jobs.send(Job::Stop));
    }

    fn append(&mut self, epoch: u64, batch: Batch) -> Result<Vec<Position>, AppendError> {
        if epoch != self.epoch {
            return Err(AppendError::Fenced);
        }
        if let Err(refused) = self.place(&batch) {
            return Err(AppendError::Refused(refused));
        }
        match self.write() {
            Ok(()) => Ok(self.publish(batch)),
            Err(Failure::NothingWritten(cause)) => Err(AppendError::Refused(cause)),
            Err(Failure::Unknown(cause)) => {
                tracing::error!(
                    log.partition = %self.shared.location.partition,
                    error = &cause as &dyn std::error::Error,
                    "a batch may or may not be durable; nothing is appended until the next claim"
                );
                self.unsettled = Some(batch);
                self.fence();
                Err(AppendError::Unknown(cause))
            }
        }
    }

    /// Settles what is unknown, then lets nobody write but the caller.
    fn claim(&mut self) -> Result<u64, LogError> {
        if let Some(batch) = self.unsettled.take()
            && let Err(cause) = self.settle(&batch)
        {
            self.unsettled = Some(batch);
            return Err(cause);
        }
        Ok(self.fence())
    }

    fn fence(&mut self) -> u64 {
        self.epoch += 1;
        self.snapshots.fence(self.epoch);
        self.epoch
    }

    /// Writes a batch whose sync failed to a fresh segment. The pages it was written to first
    /// may look well and never reach the disk: their sync is not tried again.
    fn settle(&mut self, batch: &[Record]) -> Result<(), LogError> {
        self.roll()?;
        frame::encode(&mut self.buffer, self.segment.seed, self.end, batch);
        self.write().map_err(|failure| match failure {
            Failure::NothingWritten(cause) | Failure::Unknown(cause) => cause,
        })?;
        self.publish(batch.to_vec());
        Ok(())
    }

    /// Encodes `batch` for the open segment, or for a new one if it does not fit.
    fn place(&mut self, batch: &[Record]) -> Result<(), LogError> {
        frame::encode(&mut self.buffer, self.segment.seed, self.end, batch);
        // A frame longer than any segment gets one of its own, and makes it longer.
        if self.offset > 0 && self.offset + self.buffer.len() as u64 > self.segment_bytes {
            self.roll()?;
            frame::encode(&mut self.buffer, self.segment.seed, self.end, batch);
        }
        Ok(())
    }

    /// The one write and the one sync.
    fn write(&mut self) -> Result<(), Failure> {
        let path = &self.segment.path;
        if let Err(error) = self.segment.file.write_at(self.offset, &self.buffer) {
            return Err(match failed("writing", path)(error) {
                LogError::Full if self.retract().is_ok() => Failure::NothingWritten(LogError::Full),
                cause => Failure::Unknown(cause),
            });
        }
        self.segment.file.sync().map_err(|source| {
            let doing = format!("syncing {}", path.display());
            Failure::Unknown(LogError::Storage { doing, source })
        })
    }

    /// Makes sure that a frame of which only a part was written is none.
    fn retract(&self) -> io::Result<()> {
        self.segment.file.write_at(self.offset, &[0; HEADER_BYTES])?;
        self.segment.file.sync()
    }

    fn publish(&mut self, batch: Batch) -> Vec<Position> {
        let offset = self.offset;
        self.offset += (self.buffer.len() - HEADER_BYTES) as u64;
        let recorded = (self.end..).zip(batch);
        let recorded: Arc<[Recorded]> =
            recorded.map(|(at, record)| Recorded { position: Position(at), record }).collect();
        self.end += recorded.len() as u64;
        let positions = recorded.iter().map(|it| it.position).collect();
        self.forgotten = self.shared.publish(recorded, self.end, (offset, self.offset));
        positions
    }

    /// Seals the open segment and goes on in the next.
    fn roll(&mut self) -> Result<(), LogError> {
        let segment = Arc::new(self.take_prepared()?);
        let length = segment.file.length().map_err(failed("reading", &segment.path))?;
        let open = Open {
            segment: segment.clone(),
            first: self.end,
            index: SparseIndex::default(),
            end_offset: 0,
        };
        let mut state = self.shared.state();
        let before = std::mem::replace(&mut state.open, open);
        if before.first < self.end {
            state.sealed.push(Part {
                sequence: before.segment.sequence,
                first: before.first,
                end: self.end,
                stored: Stored::Segment {
                    segment: before.segment,
                    index: Arc::new(before.index),
                    end_offset: before.end_offset,
                },
            });
        }
        drop(state);
        (self.segment, self.segment_bytes, self.offset) = (segment, length, 0);
        self.prepare_next();
        // Without a receiver the log is closing; the next start archives the segment.
        drop(self.jobs.send(Job::Archive));
        Ok(())
    }

    fn prepare_next(&mut self) {
        let bytes = self.segment_bytes.saturating_mul(2).min(self.segment_bytes_max);
        let job = Job::Prepare { sequence: self.next_sequence, bytes };
        self.preparing = self.jobs.send(job).is_ok();
    }

    /// The next segment. If making it ready failed while nobody waited for it, it is tried
    /// again now: there may be room again.
    fn take_prepared(&mut self) -> Result<Segment, LogError> {
        if self.preparing
            && let Some(segment) = self.await_prepared().ok()
        {
            return Ok(segment);
        }
        self.prepare_next();
        self.await_prepared()
    }

    fn await_prepared(&mut self) -> Result<Segment, LogError> {
        self.preparing = false;
        let segment = self.prepared.recv().map_err(|_| LogError::Closed)??;
        self.next_sequence += 1;
        Ok(segment)
    }
}

/// Why a frame is not known to be durable.
#[derive(Debug)]
enum Failure {
    NothingWritten(LogError),
    Unknown(LogError),
}

/// Hands batches to the thread.
#[derive(Debug)]
pub(super) struct EmbeddedWriter {
    pub(super) shared: Arc<Shared>,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) requests: Sender<Request>,
    pub(super) announced: Announced,
    pub(super) epoch: u64,
    /// How many snapshots it has begun.
    pub(super) begun: Arc<AtomicU64>,
}

#[async_trait]
impl Writer for EmbeddedWriter {
    async fn append(&mut self, batch: Batch) -> Result<Vec<Position>, AppendError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        limits::check_batch(&batch).map_err(AppendError::Refused)?;
        let span = tracing::debug_span!(
            "append",
            log.partition = self.shared.location.partition.0,
            log.records = batch.len(),
            log.size_bytes = batch.iter().map(|it| it.canonical().len()).sum::<usize>(),
        );
        let (reply, answer) = oneshot::channel();
        let request = Request::Append { epoch: self.epoch, batch, reply };
        self.requests.send(request).map_err(|_| AppendError::Refused(LogError::Closed))?;
        let answer = answer.instrument(span).await;
        answer.unwrap_or(Err(AppendError::Unknown(LogError::Closed)))
    }

    async fn barrier(&mut self) -> Result<(), AppendError> {
        if self.snapshots.is_claimed_by(self.epoch) { Ok(()) } else { Err(AppendError::Fenced) }
    }

    async fn announce(&mut self, address: &str) -> Result<(), AppendError> {
        self.barrier().await?;
        self.announced.put(self.shared.location.partition, address);
        Ok(())
    }

    fn begin_snapshot(&mut self, upto: Position, fold: u32) -> Box<dyn SnapshotWriter> {
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let claim = Claim { epoch: self.epoch, number, last: self.begun.clone() };
        let (shared, snapshots) = (self.shared.clone(), self.snapshots.clone());
        let of = (upto, fold);
        Box::new(EmbeddedSnapshot::new(shared, snapshots, claim, of))
    }
}
