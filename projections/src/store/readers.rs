//! The connections that all tenants read one table set with: few, shared fairly, and taken back
//! from a read that takes too long.
//!
//! A read has one connection from its first statement to its last. No tenant has more than its
//! share of them at a time; whoever asks for more waits in a line of its own, so the common line
//! never holds more of it than that share. A read that has run out of time, or that nobody waits
//! for any more, is interrupted inside the database: SQLite asks between two instructions,
//! PostgreSQL looks now and then whether its connection is still there.

use std::collections::HashMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::{Access, Connection, Place, StoreError};

/// How often a running statement looks at the clock. In instructions of the database: 1,000,
/// some 20 µs of work, so that looking costs nothing.
const INSTRUCTIONS: i32 = 1_000;

/// The tenants whose shares are remembered while none of them reads: 1,024.
const SHARES_MAX: usize = 1_024;

/// How much is read at a time, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The connections there are at most.
    pub connections_max: u32,
    /// The longest a read may hold one.
    pub time_max: Duration,
}

impl Bounds {
    /// The connections that one tenant may hold at a time: half of all.
    fn share(self) -> usize {
        (self.connections_max as usize / 2).max(1)
    }
}

/// The readers of one table set.
pub(crate) struct Readers {
    place: Place,
    bounds: Bounds,
    room: Arc<Semaphore>,
    shares: Mutex<HashMap<Uuid, Arc<Semaphore>>>,
    idle: Arc<Mutex<Vec<Open>>>,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Readers({:?})", self.place)
    }
}

/// An open connection with what ends its statements.
struct Open {
    connection: Connection,
    /// PostgreSQL is told for each read.
    deadline: Option<Arc<Deadline>>,
}

impl Open {
    fn interrupt_in(&self, left: Duration) {
        if let Some(deadline) = &self.deadline {
            deadline.set(left);
        }
    }

    /// Begins a read of what `of` may see, which has to be over in `time`.
    async fn begin(&mut self, of: Uuid, time: Duration) -> Result<(), StoreError> {
        self.interrupt_in(time);
        match &mut self.connection {
            Connection::Sqlite(_) => Ok(()),
            Connection::Postgres(session) => {
                session.begin_read(of, tokio::time::Instant::now() + time).await
            }
        }
    }
}

/// When the statements of a connection are interrupted.
struct Deadline {
    since: Instant,
    /// In microseconds after `since`.
    at: AtomicU64,
}

impl Deadline {
    fn new() -> Arc<Self> {
        Arc::new(Self { since: Instant::now(), at: AtomicU64::new(u64::MAX) })
    }

    fn set(&self, left: Duration) {
        let at = self.since.elapsed().saturating_add(left).as_micros();
        self.at.store(u64::try_from(at).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.since.elapsed().as_micros() >= u128::from(self.at.load(Ordering::Relaxed))
    }
}

impl Readers {
    pub(crate) fn new(place: Place, bounds: Bounds) -> Self {
        Self {
            place,
            bounds,
            room: Arc::new(Semaphore::new(bounds.connections_max as usize)),
            shares: Mutex::default(),
            idle: Arc::default(),
        }
    }

    /// A connection for one read of what is `tenant`'s, out of its share. Its time begins now.
    pub(crate) async fn acquire(&self, tenant: Uuid) -> Result<Reader, StoreError> {
        self.acquire_of(tenant, tenant).await
    }

    /// The same for one read of what is another's, `of`, out of the share of `tenant`.
    pub(crate) async fn acquire_of(&self, tenant: Uuid, of: Uuid) -> Result<Reader, StoreError> {
        let share = self.share_of(tenant).acquire_owned().await;
        let share = share.expect("nobody closes a share");
        let room = self.room.clone().acquire_owned().await.expect("nobody closes the room");
        let open = self.open(of).await?;
        let idle = self.idle.clone();
        Ok(Reader { open: Some(open), idle, finished: false, held: Some((share, room)) })
    }

    async fn open(&self, of: Uuid) -> Result<Open, StoreError> {
        let time = self.bounds.time_max;
        let idle = locked(&self.idle).pop();
        if let Some(mut open) = idle {
            // A connection may have been lost while it rested.
            match open.begin(of, time).await {
                Ok(()) => return Ok(open),
                Err(error) if error.is_interrupted() => return Err(error),
                Err(_) => locked(&self.idle).clear(),
            }
        }
        let mut open = self.connect().await?;
        open.begin(of, time).await?;
        Ok(open)
    }

    async fn connect(&self) -> Result<Open, StoreError> {
        let mut connection = self.place.connect(Access::Read).await?;
        let Connection::Sqlite(sqlite) = &mut connection else {
            return Ok(Open { connection, deadline: None });
        };
        let deadline = Deadline::new();
        let over = deadline.clone();
        let mut handle = sqlite.ready().await?.lock_handle().await?;
        handle.set_progress_handler(INSTRUCTIONS, move || !over.is_over());
        drop(handle);
        Ok(Open { connection, deadline: Some(deadline) })
    }

    fn share_of(&self, tenant: Uuid) -> Arc<Semaphore> {
        let mut shares = locked(&self.shares);
        if shares.len() >= SHARES_MAX {
            // Whoever holds a part of its share, or waits for one, refers to it.
            shares.retain(|_, it| Arc::strong_count(it) > 1);
        }
        let share = || Arc::new(Semaphore::new(self.bounds.share()));
        shares.entry(tenant).or_insert_with(share).clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection for one read.
///
/// Say [`Reader::finish`] at its end. One that is dropped without that may have a statement
/// running that nobody waits for: it is interrupted, and its connection is not used again.
pub(crate) struct Reader {
    open: Option<Open>,
    idle: Arc<Mutex<Vec<Open>>>,
    finished: bool,
    held: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl Reader {
    /// Says that everything that was asked has been answered.
    pub(crate) fn finish(mut self) {
        self.finished = true;
    }

    fn open(&self) -> &Open {
        self.open.as_ref().expect("only dropping takes it")
    }
}

impl Deref for Reader {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.open().connection
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.open.as_mut().expect("only dropping takes it").connection
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        match &open.connection {
            Connection::Sqlite(_) if self.finished => {
                open.interrupt_in(Duration::MAX);
                locked(&self.idle).push(open);
            }
            Connection::Sqlite(_) => open.interrupt_in(Duration::ZERO),
            Connection::Postgres(_) if self.finished => {
                // What is read is known, so nobody waits for the end of its transaction.
                if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                    runtime.spawn(rest(open, self.idle.clone(), self.held.take()));
                }
            }
            // The server sees that nobody is connected any more.
            Connection::Postgres(_) => (),
        }
    }
}

/// Ends the read of a connection, so that another can begin.
async fn rest<H: Send>(mut open: Open, idle: Arc<Mutex<Vec<Open>>>, held: H) {
    if let Connection::Postgres(session) = &mut open.connection
        && session.end_read().await.is_ok()
    {
        locked(&idle).push(open);
    }
    drop(held);
}

#[cfg(test)]
mod tests;
