//! The newest records of each partition, read once for everybody who follows it.
//!
//! A partition that anybody follows has one task that reads its log from the end on and keeps
//! the newest records, up to a number of bytes, of which there is one for all partitions together: with
//! more that are followed each keeps less, but always what it has read last. Followers take them from there by position: each
//! remembers a place and nothing else, so however slow it is, it costs no memory and holds up
//! nobody. What has fallen out is still in the log, where [`super::records`] goes on reading.
//! The task ends with the last follower.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use domain::id::TenantId;
use event_log::{Attribute, EventLog, LogError, Partition, Position, Reader, Recorded};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The most records that are read together, and looked at together by each follower.
///
/// An event has at most 256 KiB, so one step of a stream holds at most 16 MiB.
pub(super) const RECORDS_MAX: usize = 64;

/// The bytes of newest records that are kept for the followers of a partition: 16 MiB, as much as the
/// largest step in a process that follows few. Half a minute at 1,000 events of 500 bytes a second.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// The same for all partitions together: 128 MiB, of which each of 64 has 2 MiB. Of a partition whose
/// last step was larger than that, this step is kept: else all who follow it would read it again.
const BYTES_ALL_MAX: usize = 128 * 1024 * 1024;

/// How many tails may begin at a time: 64, each of another partition.
const BEGINNING_MAX: usize = 64;

/// A record with whose it is.
#[derive(Clone, Debug)]
pub(super) struct Owned {
    /// None where the record does not say.
    pub tenant: Option<TenantId>,
    pub recorded: Recorded,
}

impl Owned {
    pub(super) fn all(records: Vec<Recorded>) -> Arc<[Self]> {
        let owned = |recorded: Recorded| {
            let tenant = recorded.record.attribute(Attribute::Tenant).parse().ok();
            Self { tenant, recorded }
        };
        records.into_iter().map(owned).collect()
    }
}

/// The tails of one node, of those partitions that anybody follows.
#[derive(Clone)]
pub(crate) struct Tails {
    followed: Arc<Mutex<HashMap<Partition, Weak<Tail>>>>,
    /// Held while a tail begins, so that many who come at once make one of it.
    beginning: Arc<[tokio::sync::Mutex<()>]>,
    room: Arc<Room>,
}

/// How much the tails of one node may keep.
struct Room {
    /// One of them.
    each_max: usize,
    /// All together.
    all_max: usize,
    /// How many there are.
    tails: AtomicUsize,
}

impl Room {
    /// What each may keep now.
    fn share(&self) -> usize {
        self.each_max.min(self.all_max / self.tails.load(Ordering::SeqCst).max(1))
    }
}

impl Default for Tails {
    fn default() -> Self {
        Self::keeping(BYTES_MAX, BYTES_ALL_MAX)
    }
}

impl Tails {
    /// Each keeps so many bytes at most, and all together so many.
    pub(super) fn keeping(each_max: usize, all_max: usize) -> Self {
        let room = Room { each_max, all_max, tails: AtomicUsize::new(0) };
        let beginning = (0..BEGINNING_MAX).map(|_| tokio::sync::Mutex::default()).collect();
        Self { followed: Arc::default(), beginning, room: Arc::new(room) }
    }

    /// The tail of `partition`. It begins at the end of the log if nobody followed it so far.
    pub(super) async fn of(
        &self,
        log: &Arc<dyn EventLog>,
        partition: Partition,
    ) -> Result<Arc<Tail>, LogError> {
        if let Some(tail) = self.known(partition) {
            return Ok(tail);
        }
        let _beginning = self.beginning[partition.0 as usize % BEGINNING_MAX].lock().await;
        // Somebody may have been faster.
        if let Some(tail) = self.known(partition) {
            return Ok(tail);
        }
        let end = log.end(partition).await?;
        let reader = log.read(partition, end).await?;
        let mut tails = self.lock();
        let tail = Arc::new(Tail::start(reader, end, self.room.clone()));
        tails.insert(partition, Arc::downgrade(&tail));
        // The others make room for it, also those to which nothing is added any more.
        tails.retain(|_, it| it.strong_count() > 0);
        for other in tails.values().filter_map(Weak::upgrade) {
            lock(&other.kept).shrink();
        }
        Ok(tail)
    }

    fn known(&self, partition: Partition) -> Option<Arc<Tail>> {
        running(&self.lock(), partition)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Partition, Weak<Tail>>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn running(tails: &HashMap<Partition, Weak<Tail>>, partition: Partition) -> Option<Arc<Tail>> {
    tails.get(&partition).and_then(Weak::upgrade).filter(|it| !it.has_ended())
}

/// The newest records of one partition, for as long as anybody holds this.
pub(super) struct Tail {
    kept: Arc<Mutex<Kept>>,
    /// How far it has read; none once its reader failed.
    reached: watch::Receiver<Option<Position>>,
    task: AbortHandle,
    room: Arc<Room>,
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tail(at {:?})", *self.reached.borrow())
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.task.abort();
        self.room.tails.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a follower at some place finds.
pub(super) enum Found {
    /// The records that come next, perhaps with some before them.
    Next(Arc<[Owned]>),
    /// It has everything that was read so far.
    NothingYet,
    /// What comes next is no longer kept; it is in the log.
    Gone,
    /// The tail cannot go on. Its log may say why.
    Ended,
}

impl Tail {
    fn start(reader: Box<dyn Reader>, from: Position, room: Arc<Room>) -> Self {
        room.tails.fetch_add(1, Ordering::SeqCst);
        let kept = Kept { start: from, batches: VecDeque::new(), bytes: 0, room: room.clone() };
        let kept = Arc::new(Mutex::new(kept));
        let (sender, reached) = watch::channel(Some(from));
        let task = tokio::spawn(follow(reader, kept.clone(), sender)).abort_handle();
        Self { kept, reached, task, room }
    }

    /// Its task says so when its reader fails; one that panicked only lets go of its end.
    fn has_ended(&self) -> bool {
        self.reached.borrow().is_none() || self.reached.has_changed().is_err()
    }

    /// What comes at or after `place`, which is no place that the log has not reached.
    pub(super) fn from(&self, place: Position) -> Found {
        if self.has_ended() {
            return Found::Ended;
        }
        lock(&self.kept).from(place)
    }

    /// Waits until the tail has read beyond `place`, or has ended.
    pub(super) async fn beyond(&self, place: Position) {
        let mut reached = self.reached.clone();
        // An error means that it has ended.
        let _ = reached.wait_for(|it| it.is_none_or(|it| it > place)).await;
    }
}

async fn follow(
    mut reader: Box<dyn Reader>,
    kept: Arc<Mutex<Kept>>,
    reached: watch::Sender<Option<Position>>,
) {
    loop {
        match reader.next(RECORDS_MAX).await {
            Ok(records) => {
                let Some(last) = records.last().map(|it| it.position) else { continue };
                lock(&kept).push(Owned::all(records), last.next());
                reached.send_replace(Some(last.next()));
            }
            Err(error) => {
                // Followers read for themselves from here on, and are told what is wrong.
                tracing::warn!(%error, "nobody follows the log for all any more");
                reached.send_replace(None);
                return;
            }
        }
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything from one place on that was read, as it was read.
struct Kept {
    start: Position,
    /// Each with the place after it.
    batches: VecDeque<(Position, Arc<[Owned]>)>,
    bytes: usize,
    room: Arc<Room>,
}

impl Kept {
    /// Keeps `batch`, which ends before `end`, and lets go of older ones beyond the bound.
    fn push(&mut self, batch: Arc<[Owned]>, end: Position) {
        self.bytes += size(&batch);
        self.batches.push_back((end, batch));
        self.shrink();
    }

    /// Lets go of the oldest beyond the bound, but never of the newest.
    fn shrink(&mut self) {
        let bytes_max = self.room.share();
        while self.bytes > bytes_max && self.batches.len() > 1 {
            let Some((end, oldest)) = self.batches.pop_front() else { return };
            self.bytes -= size(&oldest);
            self.start = end;
        }
    }

    fn from(&self, place: Position) -> Found {
        if place < self.start {
            return Found::Gone;
        }
        let next = self.batches.partition_point(|(end, _)| *end <= place);
        match self.batches.get(next) {
            Some((_, batch)) => Found::Next(batch.clone()),
            None => Found::NothingYet,
        }
    }
}

fn size(batch: &[Owned]) -> usize {
    batch.iter().map(|it| it.recorded.record.value().len() + RECORD_BYTES).sum()
}

/// What a record has beside its value, roughly: attributes, links and bookkeeping. In bytes.
const RECORD_BYTES: usize = 1_024;

#[cfg(test)]
impl Tail {
    /// How much is kept.
    pub(super) fn bytes(&self) -> usize {
        lock(&self.kept).bytes
    }
}
