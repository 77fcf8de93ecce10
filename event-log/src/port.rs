//! The contract between Callboard and a log, designed after Kafka: partitions, one fenced
//! writer each, positions that may have gaps, readers that follow the durable end.
//!
//! No adapter may offer more than this, so nothing above can come to depend on it.

use std::fmt;
use std::io::ErrorKind;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::membership::{Membership, Owners};
use crate::record::Record;

/// A partition: the unit of order, ownership and fencing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u32);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a record stands in its partition. Increases from record to record, with gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Before every record.
    pub const START: Self = Self(0);

    /// The least position a record after this one can have.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The most records one batch may hold: 16,384, so that a transaction stays well below every
/// adapter's limits.
pub const BATCH_RECORDS_MAX: usize = 16_384;

/// The most canonical bytes one batch may hold. In bytes: 16 MiB.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The largest piece of a snapshot. In bytes: 512 KiB, under Kafka's default message limit.
pub const SNAPSHOT_CHUNK_BYTES_MAX: usize = 512 * 1024;

/// The most one slice of a snapshot may hold, keys included. In bytes: 1 MiB, so that an append
/// that has to wait for one does not wait long.
pub const SNAPSHOT_SLICE_BYTES_MAX: usize = 1024 * 1024;

/// How many of the last bits of a snapshot's fold tell one series of snapshots from another; those
/// before them are the version of the fold.
pub const SERIES_BITS: u32 = 24;

/// How many versions of the fold a partition has snapshots of: 2, so that the version before finds
/// its own where it is put back.
pub const FOLD_VERSIONS_MAX: usize = 2;

/// The version of the fold that made a snapshot.
#[must_use]
pub const fn version_of(fold: u32) -> u32 {
    fold >> SERIES_BITS
}

/// What one append writes: all of it or nothing.
pub type Batch = Vec<Record>;

/// A record with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Where it stands.
    pub position: Position,
    /// What it says.
    pub record: Record,
}

/// Why an append did not end well. The variants differ in what the caller knows afterwards.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Nothing was written and the writer is still good: drop the batch, go on.
    #[error("the log refused the batch: {0}")]
    Refused(#[source] LogError),
    /// Another writer has claimed the partition; nothing was written.
    #[error("another writer has claimed the partition")]
    Fenced,
    /// The records may or may not be there: drop this writer, claim again, and read the tail
    /// before deciding or answering anything.
    #[error("the outcome of the append is unknown: {0}")]
    Unknown(#[source] LogError),
}

/// Why a partition could not be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// There is no such partition.
    #[error("partition {0} does not exist")]
    NoSuchPartition(Partition),
    /// The log cannot be written to at present.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A fault of the log itself. Somebody must look.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The storage below failed.
    #[error("the storage failed while {doing}: {source}")]
    Storage {
        /// What was being done, in words.
        doing: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Too few replicas have what was written last, so nothing more is taken until enough have.
    #[error(
        "{of} has {in_sync} of the {needed} replicas in sync that writes need (`{setting}`); start \
         the brokers that are down, or wait for those that are behind"
    )]
    TooFewReplicas {
        /// The part of the log that is short of them.
        of: String,
        /// How many are in sync.
        in_sync: usize,
        /// How many must be.
        needed: usize,
        /// The setting that says so.
        setting: &'static str,
    },
    /// A part of the log was removed while it was open, and what was recorded there with it.
    #[error(
        "{of} is gone, and what was in it with it: nothing is recorded or told any more until the \
         next start"
    )]
    Gone {
        /// The part of the log.
        of: String,
    },
    /// As many read the partition for callers as may at a time.
    #[error(
        "too many requests read old records of partition {partition} at a time; ask again in a \
         moment, and follow fewer streams that are behind"
    )]
    Busy {
        /// The partition.
        partition: Partition,
    },
    /// There is no room left. New batches are refused until there is.
    #[error("no space left on the device that holds the log")]
    Full,
    /// What is stored is not what was written, and not a torn tail either.
    #[error("the log is damaged at {place}: {reason}")]
    Damaged {
        /// File and offset, or topic, partition and offset.
        place: String,
        /// What is wrong there.
        reason: String,
    },
    /// Another process holds the log.
    #[error("the log in {0} is in use by another process")]
    InUse(String),
    /// The position lies outside what the log holds.
    #[error("position {asked} is beyond the end of partition {partition} at {end}")]
    BeyondEnd {
        /// The partition that was read.
        partition: Partition,
        /// What was asked for.
        asked: Position,
        /// Where the partition ends.
        end: Position,
    },
    /// There is no such partition.
    #[error("partition {0} does not exist")]
    NoSuchPartition(Partition),
    /// The batch breaks a limit of this module.
    #[error("the batch is too large: {0}")]
    TooLarge(String),
    /// The log is shutting down.
    #[error("the log is closed")]
    Closed,
}

impl LogError {
    /// Whether the storage is away, so that the same may succeed once it is back: not so where it
    /// has said that we may not, or what it holds is wrong.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::Storage { source, .. } => source.kind() != ErrorKind::PermissionDenied,
            Self::TooFewReplicas { .. } => true,
            // Not here: but whoever asks is told the same, and may ask after the next start.
            Self::Gone { .. } => true,
            _ => false,
        }
    }
}

/// A log: a fixed number of partitions.
///
/// Cheap to share behind an `Arc`; every method may be called from any task.
#[async_trait]
pub trait EventLog: fmt::Debug + Send + Sync {
    /// Tells this log's history from every other one, also after a restore: 16 random bytes
    /// made when the log was created, in hex. Positions of different incarnations never compare.
    fn incarnation(&self) -> &str;

    /// How many partitions there are, numbered from 0.
    fn partitions(&self) -> u32;

    /// Becomes the only writer of `partition`.
    ///
    /// On `Ok` every earlier writer of the partition is fenced, whatever it was doing, and
    /// everything it wrote is either durable and within [`EventLog::end`] or will never appear.
    ///
    /// # Errors
    ///
    /// [`ClaimError`] if there is no such partition or the log cannot be written to.
    async fn claim(&self, partition: Partition) -> Result<Box<dyn Writer>, ClaimError>;

    /// Reads `partition` from `from` (inclusive) to the durable end and then follows it.
    ///
    /// # Errors
    ///
    /// [`LogError::BeyondEnd`] if `from` lies beyond the end: the checkpoint belongs to another
    /// log, or this one was cut.
    async fn read(&self, partition: Partition, from: Position)
    -> Result<Box<dyn Reader>, LogError>;

    /// The position after the last durable record, the place where a reader would wait: whoever
    /// reads on until [`Position::next`] of a record reaches it has read everything.
    ///
    /// # Errors
    ///
    /// [`LogError`] if the log cannot tell.
    async fn end(&self, partition: Partition) -> Result<Position, LogError>;

    /// The newest complete snapshot of `partition` that this version of the fold has made, if there
    /// is one; see [`version_of`]. Its pieces may share memory. Of the versions that saved one, the
    /// [`FOLD_VERSIONS_MAX`] that did so last are kept.
    ///
    /// # Errors
    ///
    /// [`LogError`] if it cannot be read. A damaged snapshot is not an error but none at all.
    async fn snapshot(
        &self,
        partition: Partition,
        version: u32,
    ) -> Result<Option<Snapshot>, LogError>;

    /// Takes part in owning the partitions. A log that one process has to itself gives it all. The
    /// others hear what this one `says` of itself.
    ///
    /// # Errors
    ///
    /// [`LogError`] if the log cannot be reached.
    async fn join(&self, says: &str) -> Result<Box<dyn Membership>, LogError>;

    /// What each of those says of itself that take part in owning the partitions, in any order; one
    /// that died a moment ago may be among them. None where one process has the log to itself.
    ///
    /// # Errors
    ///
    /// [`LogError`] if the log cannot tell.
    async fn members(&self) -> Result<Vec<String>, LogError> {
        Ok(Vec::new())
    }

    /// What time it is where the log is kept; none if that is nowhere else, or does not tell.
    ///
    /// # Errors
    ///
    /// [`LogError`] if the log cannot be reached.
    async fn time(&self) -> Result<Option<SystemTime>, LogError> {
        Ok(None)
    }

    /// Where each partition is served, as far as this process has heard.
    fn owners(&self) -> watch::Receiver<Owners>;

    /// Whether it is known here that nothing can be appended to a part of the log at present, although
    /// it can be read, since too few of its replicas have what was written last. Which part that is
    /// has been logged.
    async fn has_too_few_replicas(&self) -> bool {
        false
    }

    /// Whether it is known here that a part of the log was removed while it was open. What comes to be
    /// in its place is another log, so this one takes and tells nothing any more. What is gone has
    /// been logged.
    fn is_gone(&self) -> bool {
        false
    }
}

/// The only writer of one partition, until another claims it.
#[async_trait]
pub trait Writer: fmt::Debug + Send {
    /// Appends `batch` after everything this writer appended before, all or none.
    ///
    /// Once this returns `Ok` the records are durable and never lost; readers see them soon
    /// after, never before, and never a part of them without the rest of their command. The
    /// positions returned are those of the batch, in order.
    ///
    /// # Errors
    ///
    /// [`AppendError`]: each variant says what is known. An empty batch is `Ok` and proves
    /// nothing about ownership. Dropping the future before it answers is `Unknown` too.
    async fn append(&mut self, batch: Batch) -> Result<Vec<Position>, AppendError>;

    /// Proves that this is still the only writer: on `Ok`, no other had claimed the partition at
    /// some moment after the call. It writes nothing that readers see.
    ///
    /// An answer that rests on memory alone, where nothing is appended, is only as good as this:
    /// an owner that was paused may have lost the partition without having heard of it.
    ///
    /// # Errors
    ///
    /// As for [`Writer::append`], with nothing to be known about what was written.
    async fn barrier(&mut self) -> Result<(), AppendError>;

    /// Tells every process that shares the log that this partition is served at `address`. A
    /// writer that was fenced cannot.
    ///
    /// # Errors
    ///
    /// As for [`Writer::barrier`].
    async fn announce(&mut self, address: &str) -> Result<(), AppendError>;

    /// Tells whoever is to claim the partition next that nothing is under way here any more: the last
    /// thing that a writer does. For order alone: whoever is not told in time claims all the same.
    async fn let_go(self: Box<Self>) {}

    /// Begins a snapshot of the state at `upto`, to be written beside this writer's appends, and
    /// returns at once. Voids one that was begun before and not finished.
    fn begin_snapshot(&mut self, upto: Position, fold: u32) -> Box<dyn SnapshotWriter>;
}

/// Writes one snapshot of a partition, slice by slice, while its [`Writer`] goes on appending.
///
/// What is staged is what changed since the newest snapshot of the same version: newer chunks
/// replace older ones of the same key, also earlier ones of the same snapshot; a chunk without bytes
/// removes the key. A series other than that of the snapshot before starts from nothing: give it
/// every chunk.
///
/// Nothing staged has any effect before [`SnapshotWriter::finish`]: not on readers, not on the
/// snapshots that come after one that was dropped half-way, and not after a restart. An adapter
/// whose writer appends and stages over one connection puts one slice between two batches at most.
/// Where pieces have names of their own, as in a compacted topic, they are therefore stored under
/// the snapshot's number, and finishing writes which number each key stands for.
#[async_trait]
pub trait SnapshotWriter: fmt::Debug + Send {
    /// Takes over a slice of at most [`SNAPSHOT_SLICE_BYTES_MAX`]. It need not be durable yet.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; after each of them the snapshot is lost and the older one stands.
    /// [`AppendError::Fenced`] also if another snapshot was begun. `upto` beyond the end is
    /// refused.
    async fn stage(&mut self, slice: Vec<SnapshotChunk>) -> Result<(), AppendError>;

    /// Makes everything that was staged the newest snapshot of its version, together and durably.
    ///
    /// # Errors
    ///
    /// As for [`SnapshotWriter::stage`]; after `Unknown` it may be the newest one all the same.
    async fn finish(self: Box<Self>) -> Result<(), AppendError>;
}

impl dyn Writer {
    /// Saves a snapshot that is in memory as a whole and waits for it.
    ///
    /// # Errors
    ///
    /// As for [`SnapshotWriter::stage`].
    pub async fn save_snapshot(&mut self, changed: Snapshot) -> Result<(), AppendError> {
        let Snapshot { upto, fold, chunks } = changed;
        let mut snapshot = self.begin_snapshot(upto, fold);
        for chunk in chunks {
            snapshot.stage(vec![chunk]).await?;
        }
        snapshot.finish().await
    }
}

/// Follows one partition.
#[async_trait]
pub trait Reader: fmt::Debug + Send {
    /// The next records in order: at least one, at most about `records_max`, never a part of a
    /// command (`ce_batchpos`) without the rest. Waits at the durable end until more is there.
    ///
    /// Dropping the future loses nothing: the next call continues where the last `Ok` ended.
    /// Records read together may share memory: whoever keeps a small part for long copies it.
    ///
    /// # Errors
    ///
    /// [`LogError::Damaged`] where a record cannot be read back; [`LogError::Closed`] when the
    /// log shuts down.
    async fn next(&mut self, records_max: usize) -> Result<Vec<Recorded>, LogError>;
}

/// The state of an owner at a position, in pieces, or what changed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The position after the last record that is part of it: replay goes on here.
    pub upto: Position,
    /// The version of the fold that made it, which no other version can use, and its series; see
    /// [`version_of`].
    pub fold: u32,
    /// The pieces.
    pub chunks: Vec<SnapshotChunk>,
}

/// One piece of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotChunk {
    /// What it is a piece of.
    pub key: String,
    /// Its content, at most [`SNAPSHOT_CHUNK_BYTES_MAX`]; none removes the key.
    pub bytes: Option<Bytes>,
}

impl SnapshotChunk {
    /// What it counts in a slice, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.key.len() + self.bytes.as_ref().map_or(0, Bytes::len)
    }
}
