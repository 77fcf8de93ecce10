//! A log on the files of one machine, for one process.
//!
//! ```text
//! <folder>/lock                       held while the log is open
//! <folder>/identity                   who the log is; made once
//! <folder>/<partition>/<n>.segment    batches as they were appended; the last one is written to
//! <folder>/<partition>/<n>.archive    what was segment <n>, compressed, never changed again
//! <folder>/<partition>/<n>.spare      the blocks of an archived segment, for a later one
//! <folder>/<partition>/<n>.snapshot   see `snapshots`
//! ```
//!
//! An append is one write into blocks that were written before and one `fdatasync`; two threads
//! per partition do it all: `appender` and, for what can wait, `keeper`. `frame` says how a
//! batch lies in a file, `recovery` what is made of a folder after a crash, `reader` and
//! `archive` how records come back, and `files` is all of the file system that is used.
//! It does *not* replicate: what the machine's disk loses is lost.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::BytesMut;
use tokio::sync::{oneshot, watch};

use crate::limits;
use crate::membership::{Alone, Announced, Membership, Owners};
use crate::port::{ClaimError, EventLog, LogError, Partition, Position, Reader, Snapshot, Writer};

mod appender;
mod archive;
mod blocks;
mod files;
mod frame;
mod identity;
mod keeper;
mod location;
mod partition;
mod reader;
mod recovery;
mod segment;
mod snapshots;
#[cfg(test)]
mod tests;
mod verify;

pub use recovery::TornTail;
pub use verify::{Depth, Verified};

use appender::{Appender, EmbeddedWriter, Request};
use blocks::Blocks;
use files::{Disk, Files, Lock, failed};
use identity::Identity;
use keeper::{Job, Keeper};
use location::Location;
use partition::{Open, Shared};
use reader::EmbeddedReader;
use segment::SparseIndex;
use snapshots::Snapshots;

/// Length of the first segment of a log; each next one is twice as long, up to the largest. In
/// bytes: 1 MiB, so that a small log stays small and starts at once.
const SEGMENT_BYTES_FIRST: u64 = 1024 * 1024;

/// What can be chosen about an embedded log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many partitions a new log gets; one that exists keeps its own.
    pub partitions: u32,
    /// Length of the largest segments. In bytes. Disk space is taken for about three of them
    /// ahead of use, and a start reads about two of them again.
    pub segment_bytes_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { partitions: 1, segment_bytes_max: 64 * 1024 * 1024 }
    }
}

/// A log in a folder.
///
/// Dropping it stops its threads, sends its readers home with [`LogError::Closed`] and leaves
/// the folder to whoever opens it next.
#[derive(Debug)]
pub struct EmbeddedLog {
    identity: Identity,
    partitions: Vec<Handle>,
    announced: Announced,
    torn_tails: Vec<TornTail>,
    // Last, so that it is let go of after the threads have stopped.
    _lock: Box<dyn Lock>,
}

/// One partition and its threads.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    snapshots: Arc<Snapshots>,
    requests: Sender<Request>,
    threads: Vec<JoinHandle<()>>,
}

impl EmbeddedLog {
    /// Opens the log in `folder`, or makes one. Reads what was not archived yet, so it blocks
    /// for up to some tenths of a second.
    ///
    /// # Errors
    ///
    /// [`LogError::InUse`] if another process, or another handle in this one, has it open;
    /// [`LogError::Damaged`] if what was acknowledged cannot be read back; [`LogError::Storage`]
    /// and [`LogError::Full`] if the file system fails.
    pub fn open(folder: impl AsRef<Path>, settings: Settings) -> Result<Self, LogError> {
        let files: Arc<dyn Files> = Arc::new(Disk);
        Self::open_on(&files, folder.as_ref(), settings)
    }

    fn open_on(
        files: &Arc<dyn Files>,
        folder: &Path,
        settings: Settings,
    ) -> Result<Self, LogError> {
        files.create_folder(folder).map_err(failed("creating", folder))?;
        let lock = files.lock(&folder.join("lock")).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => LogError::InUse(folder.display().to_string()),
            _ => failed("locking", folder)(error),
        })?;
        let identity = Identity::open_or_create(&**files, folder, settings.partitions)?;
        let announced = Announced::nothing(identity.partitions);
        let (partitions, torn_tails) = (Vec::new(), Vec::new());
        let mut log = Self { identity, partitions, announced, torn_tails, _lock: lock };
        for partition in (0..log.identity.partitions).map(Partition) {
            let place = folder.join(partition.to_string());
            files.create_folder(&place).map_err(failed("creating", &place))?;
            let salt = log.identity.salt.clone().into();
            let location = Location { files: files.clone(), folder: place, partition, salt };
            let (handle, torn) = Handle::open(location, settings)?;
            log.partitions.push(handle);
            log.torn_tails.extend(torn);
        }
        Ok(log)
    }

    /// What was cut off when the log was opened: batches of which nobody was told.
    #[must_use]
    pub fn torn_tails(&self) -> &[TornTail] {
        &self.torn_tails
    }

    fn handle(&self, partition: Partition) -> Result<&Handle, LogError> {
        let found = self.partitions.get(partition.0 as usize);
        found.ok_or(LogError::NoSuchPartition(partition))
    }
}

#[async_trait]
impl EventLog for EmbeddedLog {
    fn incarnation(&self) -> &str {
        &self.identity.incarnation
    }

    fn partitions(&self) -> u32 {
        self.identity.partitions
    }

    async fn claim(&self, partition: Partition) -> Result<Box<dyn Writer>, ClaimError> {
        let handle = self.handle(partition).map_err(|_| ClaimError::NoSuchPartition(partition))?;
        let (reply, answer) = oneshot::channel();
        handle.requests.send(Request::Claim { reply }).map_err(|_| LogError::Closed)?;
        let epoch = answer.await.map_err(|_| LogError::Closed)??;
        Ok(Box::new(EmbeddedWriter {
            shared: handle.shared.clone(),
            snapshots: handle.snapshots.clone(),
            requests: handle.requests.clone(),
            announced: self.announced.clone(),
            epoch,
            begun: Arc::default(),
        }))
    }

    async fn read(
        &self,
        partition: Partition,
        from: Position,
    ) -> Result<Box<dyn Reader>, LogError> {
        let shared = self.handle(partition)?.shared.clone();
        limits::check_within(partition, from, Position(shared.end()))?;
        Ok(Box::new(EmbeddedReader::new(shared, from)))
    }

    async fn end(&self, partition: Partition) -> Result<Position, LogError> {
        Ok(Position(self.handle(partition)?.shared.end()))
    }

    async fn snapshot(
        &self,
        partition: Partition,
        version: u32,
    ) -> Result<Option<Snapshot>, LogError> {
        let snapshots = self.handle(partition)?.snapshots.clone();
        let loaded = tokio::task::spawn_blocking(move || snapshots.load(version)).await;
        loaded.map_err(|_| LogError::Closed)?
    }

    async fn join(&self, _: &str) -> Result<Box<dyn Membership>, LogError> {
        Ok(Alone::of(self.identity.partitions))
    }

    fn owners(&self) -> watch::Receiver<Owners> {
        self.announced.subscribe()
    }
}

impl Handle {
    fn open(location: Location, settings: Settings) -> Result<(Self, Option<TornTail>), LogError> {
        let location = Arc::new(location);
        let mut recovered = location.recover()?;
        let torn = recovered.torn.take().inspect(|torn| {
            tracing::warn!(
                log.partition = %torn.partition,
                file = %torn.file.display(),
                offset_bytes = torn.offset,
                log.position = %torn.position,
                reason = torn.reason,
                "cut a torn batch off the end of the log; nobody was told that it was written"
            );
        });
        let mut blocks = Blocks::new(location.clone(), recovered.spares);
        let open = match recovered.open {
            Some(open) => open,
            None => {
                let bytes = SEGMENT_BYTES_FIRST.min(settings.segment_bytes_max);
                let segment = Arc::new(blocks.prepare(recovered.next_sequence, bytes)?);
                recovered.next_sequence += 1;
                let index = SparseIndex::default();
                Open { segment, first: recovered.end, index, end_offset: 0 }
            }
        };
        let (files, folder) = (location.files.clone(), location.folder.clone());
        let snapshots = Snapshots::open(files, folder, location.partition, recovered.end)?;
        let shared = Shared::new(location, recovered.sealed, open, recovered.end);
        let next = (recovered.next_sequence, settings.segment_bytes_max);
        Ok((Self::start(Arc::new(shared), Arc::new(snapshots), blocks, next)?, torn))
    }

    /// Starts the threads.
    fn start(
        shared: Arc<Shared>,
        snapshots: Arc<Snapshots>,
        blocks: Blocks,
        (next_sequence, segment_bytes_max): (u64, u64),
    ) -> Result<Self, LogError> {
        let (requests, asked) = mpsc::channel();
        let (jobs, todo) = mpsc::channel();
        let (prepared, ready) = mpsc::channel();
        let open = shared.state().open.clone();
        let length = open.segment.file.length().map_err(failed("reading", &open.segment.path))?;
        let appender = Appender {
            shared: shared.clone(),
            snapshots: snapshots.clone(),
            jobs: jobs.clone(),
            prepared: ready,
            segment: open.segment,
            segment_bytes: length,
            offset: open.end_offset,
            end: shared.end(),
            segment_bytes_max,
            next_sequence,
            preparing: false,
            epoch: 0,
            unsettled: None,
            buffer: BytesMut::new(),
            forgotten: Vec::new(),
        };
        let keeper = Keeper { shared: shared.clone(), blocks, prepared };
        // The receiver is below.
        drop(jobs.send(Job::Archive));
        let partition = shared.location.partition;
        let threads = vec![
            spawn(format!("log-append-{partition}"), move || appender.run(&asked))?,
            spawn(format!("log-keep-{partition}"), move || keeper.run(&todo))?,
        ];
        Ok(Self { shared, snapshots, requests, threads })
    }
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LogError> {
    let doing = format!("starting the thread {name}");
    let spawned = std::thread::Builder::new().name(name).spawn(work);
    spawned.map_err(|source| LogError::Storage { doing, source })
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
        // Without a receiver the thread has stopped already.
        drop(self.requests.send(Request::Stop));
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!(
                    log.partition = %self.shared.location.partition,
                    "a thread of the log had panicked"
                );
            }
        }
        // No snapshot may get its name when the folder may be somebody else's.
        self.snapshots.close();
    }
}
