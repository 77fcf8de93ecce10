//! What waits for an owner: one bounded queue per tenant, drained in turns by bytes.
//!
//! A tenant that fills its queue is told to come back; the others do not notice. What Callboard
//! asks of itself waits in the same queue, in order, and is let in however full that is: else a
//! tenant could keep its own suspension out. The lock is held for a push or for taking a batch,
//! never while anything is decided or written.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::id::TenantId;
use tokio::sync::Notify;

use crate::away::Away;

/// How many bytes a tenant may take in a turn before the next tenant has its own: 16 KiB.
const TURN_BYTES: usize = 16 * 1024;

/// The bounds of an inbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The most requests of one tenant that may wait.
    pub(crate) waiting_requests_max: usize,
    /// The most bytes of one tenant that may wait.
    pub(crate) waiting_bytes_max: usize,
    /// The most requests in a batch.
    pub(crate) batch_requests_max: usize,
    /// The most bytes in a batch.
    pub(crate) batch_bytes_max: usize,
}

/// Something that can wait.
pub(crate) trait Waiting {
    /// Whose queue it waits in.
    fn tenant(&self) -> TenantId;
    /// What it weighs in its turn and in its queue. In bytes.
    fn bytes(&self) -> usize;
    /// Who sends it.
    fn sender(&self) -> Sender;
}

/// Who lets something wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// Callers, of whom there may be any number: the tenant's bounds hold.
    Caller,
    /// A reaction, which waits for the answer to one request before it sends the tenant the
    /// next: that bounds it, and its tenant's queue need not.
    Reaction,
}

/// Why something was not let in; it is handed back.
#[derive(Debug)]
pub(crate) enum Refused<T> {
    /// The tenant's queue is full.
    Full(T, Duration),
    /// Nothing is taken at present, in words.
    Shut(T, Away),
    /// The partition is owned by another process.
    Elsewhere(T),
}

/// The queues. `R` are reads, which change nothing and are served with the next batch.
#[derive(Debug)]
pub(crate) struct Inbox<T, R> {
    queues: Mutex<Queues<T, R>>,
    changed: Notify,
    bounds: Bounds,
}

#[derive(Debug)]
struct Queues<T, R> {
    tenants: HashMap<TenantId, Queue<T>>,
    /// Whose turn is next. A tenant is here once if it has anything waiting.
    turns: VecDeque<TenantId>,
    reads: Vec<R>,
    door: Door,
    /// How often it was left to another process.
    left: u64,
    /// How long the last full batch took; tells who is turned away when to come back.
    pace: Duration,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<T>,
    bytes: usize,
    /// What is left of its turn, carried over while something waits.
    credit: usize,
}

#[derive(Debug)]
enum Door {
    /// Another process decides: turns requests away; reads are still taken.
    Elsewhere,
    Open,
    /// Turns requests away for now; reads are still taken.
    Shut(Away),
    /// For good: what waits is still handed out.
    Closed,
}

/// What an owner does next.
#[derive(Debug)]
pub(crate) struct Taken<T, R> {
    /// Requests, fair among tenants, in order for each.
    pub(crate) requests: Vec<T>,
    /// Reads.
    pub(crate) reads: Vec<R>,
}

impl<T: Waiting, R> Inbox<T, R> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let queues = Queues {
            tenants: HashMap::new(),
            turns: VecDeque::new(),
            reads: Vec::new(),
            door: Door::Elsewhere,
            left: 0,
            pace: Duration::ZERO,
        };
        Self { queues: Mutex::new(queues), changed: Notify::new(), bounds }
    }

    /// Lets `item` wait for its turn.
    pub(crate) fn push(&self, item: T) -> Result<(), Refused<T>> {
        let mut queues = self.lock();
        match &queues.door {
            Door::Open => (),
            Door::Elsewhere => return Err(Refused::Elsewhere(item)),
            Door::Shut(away) => return Err(Refused::Shut(item, *away)),
            Door::Closed => return Err(Refused::Shut(item, Away::Process)),
        }
        let Bounds { waiting_requests_max, waiting_bytes_max, .. } = self.bounds;
        if let Some(queue) = queues.tenants.get(&item.tenant())
            && item.sender() == Sender::Caller
        {
            let full = queue.waiting.len() >= waiting_requests_max
                || (queue.bytes + item.bytes() > waiting_bytes_max && queue.bytes > 0);
            if full {
                let wait = self.retry_after(queue, queues.pace);
                return Err(Refused::Full(item, wait));
            }
        }
        queues.push_back(item);
        drop(queues);
        self.changed.notify_one();
        Ok(())
    }

    /// Lets what was taken and not answered wait at the front again, in order, whatever the
    /// bounds say.
    pub(crate) fn give_back(&self, items: impl DoubleEndedIterator<Item = T>) {
        let mut queues = self.lock();
        for item in items.rev() {
            queues.push_front(item);
        }
    }

    /// Adds a read; served even while requests are turned away. Handed back once closed.
    pub(crate) fn push_read(&self, read: R) -> Result<(), R> {
        let mut queues = self.lock();
        if matches!(queues.door, Door::Closed) {
            return Err(read);
        }
        queues.reads.push(read);
        drop(queues);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits until something is there and takes a batch of it; none once closed and empty, and
    /// none as soon as the partition is left.
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&self) -> Option<Taken<T, R>> {
        loop {
            {
                let mut queues = self.lock();
                if matches!(queues.door, Door::Elsewhere) {
                    return None;
                }
                if !queues.turns.is_empty() || !queues.reads.is_empty() {
                    return Some(queues.take(self.bounds));
                }
                if matches!(queues.door, Door::Closed) {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Waits until reads are there and takes them; none once closed and empty.
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next_reads(&self) -> Option<Vec<R>> {
        loop {
            {
                let mut queues = self.lock();
                if !queues.reads.is_empty() {
                    return Some(std::mem::take(&mut queues.reads));
                }
                if matches!(queues.door, Door::Closed) {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Takes what is there without waiting.
    pub(crate) fn try_next(&self) -> Taken<T, R> {
        self.lock().take(self.bounds)
    }

    /// Takes everything that waits, in no particular order.
    pub(crate) fn take_all(&self) -> Vec<T> {
        self.lock().take_all()
    }

    /// How often it was left to another process.
    pub(crate) fn times_left(&self) -> u64 {
        self.lock().left
    }

    /// Turns new requests away, saying why, until [`Inbox::open`]; but if it was left to another process
    /// more than so many times, it stays left. Returns whether another process is to decide.
    pub(crate) fn shut(&self, away: Away, times_left: u64) -> bool {
        let mut queues = self.lock();
        let is_left = queues.left > times_left;
        if !is_left && !matches!(queues.door, Door::Closed) {
            queues.door = Door::Shut(away);
        }
        is_left
    }

    /// The same for what waits too, in no particular order, until [`Inbox::let_in`]. Where
    /// another process decides, and at the end, the door stays as it is.
    pub(crate) fn turn_away(&self, away: Away) -> Vec<T> {
        let mut queues = self.lock();
        if matches!(queues.door, Door::Open) {
            queues.door = Door::Shut(away);
        }
        queues.take_all()
    }

    /// Takes new requests again, where they were turned away for now.
    pub(crate) fn let_in(&self) {
        let mut queues = self.lock();
        if matches!(queues.door, Door::Shut(_)) {
            queues.door = Door::Open;
        }
    }

    /// Turns requests away, since another process is to decide; what waits is for
    /// [`Inbox::take_all`].
    pub(crate) fn leave(&self) {
        let mut queues = self.lock();
        if !matches!(queues.door, Door::Closed) {
            queues.door = Door::Elsewhere;
        }
        queues.left += 1;
        drop(queues);
        self.changed.notify_one();
    }

    /// What it turns requests away for at present, if it does.
    pub(crate) fn shut_for(&self) -> Option<Away> {
        match self.lock().door {
            Door::Shut(away) => Some(away),
            Door::Elsewhere | Door::Open | Door::Closed => None,
        }
    }

    /// Whether another process is to decide.
    pub(crate) fn is_elsewhere(&self) -> bool {
        matches!(self.lock().door, Door::Elsewhere)
    }

    /// Takes new requests.
    pub(crate) fn open(&self) {
        let mut queues = self.lock();
        if !matches!(queues.door, Door::Closed) {
            queues.door = Door::Open;
        }
    }

    /// Takes nothing new for good; what waits is still handed out.
    pub(crate) fn close(&self) {
        self.lock().door = Door::Closed;
        self.changed.notify_one();
    }

    /// Whether it takes nothing new for good.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.lock().door, Door::Closed)
    }

    /// How much waits.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.lock().tenants.values().map(|it| it.waiting.len()).sum()
    }

    /// Remembers how long a batch took.
    pub(crate) fn set_pace(&self, batch: Duration) {
        self.lock().pace = batch;
    }

    /// When a full queue will have room, going by the last batch; within 50 ms and 5 s.
    fn retry_after(&self, queue: &Queue<T>, pace: Duration) -> Duration {
        let by_count = queue.waiting.len() / self.bounds.batch_requests_max.max(1);
        let by_bytes = queue.bytes / self.bounds.batch_bytes_max.max(1);
        let batches = u32::try_from(by_count.max(by_bytes)).unwrap_or(u32::MAX).saturating_add(1);
        pace.saturating_mul(batches).clamp(Duration::from_millis(50), Duration::from_secs(5))
    }

    fn lock(&self) -> MutexGuard<'_, Queues<T, R>> {
        // Nothing in here can panic half-way through a change.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Waiting, R> Queues<T, R> {
    fn queue(&mut self, tenant: TenantId) -> &mut Queue<T> {
        self.tenants.entry(tenant).or_insert_with(|| {
            self.turns.push_back(tenant);
            Queue { waiting: VecDeque::new(), bytes: 0, credit: 0 }
        })
    }

    fn take_all(&mut self) -> Vec<T> {
        self.turns.clear();
        self.tenants.drain().flat_map(|(_, queue)| queue.waiting).collect()
    }

    fn push_back(&mut self, item: T) {
        let queue = self.queue(item.tenant());
        queue.bytes += item.bytes();
        queue.waiting.push_back(item);
    }

    fn push_front(&mut self, item: T) {
        let queue = self.queue(item.tenant());
        queue.bytes += item.bytes();
        queue.waiting.push_front(item);
    }

    /// Goes round the tenants, each taking its turn's bytes, until the batch is full. A request
    /// larger than a turn saves up for it; alone in a batch it may exceed the batch's bytes.
    fn take(&mut self, bounds: Bounds) -> Taken<T, R> {
        let mut requests = Vec::new();
        let mut bytes = 0;
        'batch: while let Some(tenant) = self.turns.pop_front() {
            let queue = self.tenants.get_mut(&tenant).expect("who has a turn has a queue");
            queue.credit += TURN_BYTES;
            while let Some(next) = queue.waiting.front().map(Waiting::bytes) {
                if next > queue.credit {
                    break;
                }
                let full = requests.len() >= bounds.batch_requests_max
                    || (bytes + next > bounds.batch_bytes_max && !requests.is_empty());
                if full {
                    // It keeps its place, and what it has saved up, for the next batch.
                    queue.credit = queue.credit.saturating_sub(TURN_BYTES);
                    self.turns.push_front(tenant);
                    break 'batch;
                }
                let item = queue.waiting.pop_front().expect("it was just looked at");
                queue.credit -= next;
                queue.bytes -= next;
                bytes += next;
                requests.push(item);
            }
            if queue.waiting.is_empty() {
                self.tenants.remove(&tenant);
            } else {
                self.turns.push_back(tenant);
            }
        }
        Taken { requests, reads: std::mem::take(&mut self.reads) }
    }
}

#[cfg(test)]
mod tests;
