//! Reading the log because a caller asked: a few readers at a time, and fewer for one tenant.
//!
//! A log has so many readers of a partition in one process, and what keeps Callboard going draws
//! from them too: the state of owners and followers, read models, what live streams share. So
//! callers get what is left over, each tenant a part of it, and wait their turn for a bounded time.
//! This is **not** for what follows the log by itself.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use domain::id::TenantId;
use event_log::{
    EventLog, LogError, Partition, Position, READERS_OF_ONE_MAX, Reader, Recorded, readers_max,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How many readers of a partition are kept for what follows it by itself: 16. Five read models, five
/// more that are to take their place, who tells of what is new, the write side's state, a claim, what live
/// streams share, reactions, and one for what comes once in a while.
const OWN_EACH: usize = 16;

/// How many readers of a partition look up a few records at a time: 4.
const BRIEF_EACH_MAX: usize = 4;

/// The same for one tenant: 2, half of it.
const BRIEF_OF_ONE_MAX: usize = 2;

/// How many readers of a partition may last at a time: 8.
const LASTING_EACH_MAX: usize = 8;

/// The same for one tenant: 4, half of it. Whoever follows its stream shares one more, which is not
/// counted here, once it has caught up.
const LASTING_OF_ONE_MAX: usize = 4;

/// How many may be on their way back to a log that takes a moment to give up a reader: 4.
const RETURNING_MAX: usize = 4;

const _: () =
    assert!(OWN_EACH + BRIEF_EACH_MAX + LASTING_EACH_MAX + RETURNING_MAX <= READERS_OF_ONE_MAX);

/// How long to wait for one. In seconds: 5.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a caller has a reader that lasts to itself. In seconds: 1. Then it is given to whoever waits,
/// unless it is reading just now, and the caller goes on with another one where it has got to: one who does
/// not take what it asked for keeps nobody else from reading.
const TURN: Duration = Duration::from_secs(1);

/// How often whoever waits looks whose turn is over. In milliseconds: 100.
const LOOKED_EVERY: Duration = Duration::from_millis(100);

/// For how long a reader is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// For a few records, which are there.
    Brief,
    /// For as long as the caller takes.
    Lasting,
}

/// Readers for callers of a log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lookups(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    log: Arc<dyn EventLog>,
    all: Share,
    partitions: Vec<Shelf>,
    tenants: Mutex<HashMap<TenantId, Weak<Share>>>,
}

/// The readers of one partition.
#[derive(Debug)]
struct Shelf {
    share: Share,
    /// Those that last, each with whoever may have it.
    lasting: Mutex<Vec<(TenantId, Weak<Place>)>>,
}

/// How many more readers of each kind somebody may have.
#[derive(Debug)]
struct Share {
    brief: Arc<Semaphore>,
    lasting: Arc<Semaphore>,
}

impl Share {
    fn new(brief: usize, lasting: usize) -> Self {
        Self { brief: Arc::new(Semaphore::new(brief)), lasting: Arc::new(Semaphore::new(lasting)) }
    }

    fn of(&self, lookup: Lookup) -> Arc<Semaphore> {
        match lookup {
            Lookup::Brief => self.brief.clone(),
            Lookup::Lasting => self.lasting.clone(),
        }
    }
}

impl Lookups {
    /// Of `log`.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        let partitions = log.partitions();
        let own = OWN_EACH * partitions as usize + RETURNING_MAX;
        let left = readers_max(partitions).saturating_sub(own);
        let brief = left * BRIEF_EACH_MAX / (BRIEF_EACH_MAX + LASTING_EACH_MAX);
        let shelf = |_| Shelf {
            share: Share::new(BRIEF_EACH_MAX, LASTING_EACH_MAX),
            lasting: Mutex::default(),
        };
        Self(Arc::new(Inner {
            log,
            all: Share::new(brief, left - brief),
            partitions: (0..partitions).map(shelf).collect(),
            tenants: Mutex::default(),
        }))
    }

    /// The log that is read.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.0.log
    }

    /// Reads `partition` from `from` (inclusive) on, on behalf of `tenant`.
    ///
    /// # Errors
    ///
    /// [`LogError::Busy`] if no reader is free in time, also when one that lasts is read on; others as for
    /// [`EventLog::read`].
    pub async fn read(
        &self,
        tenant: TenantId,
        partition: Partition,
        from: Position,
        lookup: Lookup,
    ) -> Result<Box<dyn Reader>, LogError> {
        let asked = Asked { lookups: self.clone(), tenant, partition, lookup };
        let place = Arc::new(Place(Mutex::new(Some(asked.open(from).await?))));
        if lookup == Lookup::Lasting {
            let mut lasting = lock(&self.shelf(partition)?.lasting);
            lasting.retain(|(_, it)| it.strong_count() > 0);
            lasting.push((tenant, Arc::downgrade(&place)));
        }
        Ok(Box::new(Held { asked, reached: from, place }))
    }

    fn shelf(&self, partition: Partition) -> Result<&Shelf, LogError> {
        let shelf = self.0.partitions.get(partition.0 as usize);
        shelf.ok_or(LogError::NoSuchPartition(partition))
    }

    /// What `tenant` may have, as long as it has or wants something.
    fn share(&self, tenant: TenantId) -> Arc<Share> {
        let mut tenants = lock(&self.0.tenants);
        if let Some(share) = tenants.get(&tenant).and_then(Weak::upgrade) {
            return share;
        }
        tenants.retain(|_, it| it.strong_count() > 0);
        let share = Arc::new(Share::new(BRIEF_OF_ONE_MAX, LASTING_OF_ONE_MAX));
        tenants.insert(tenant, Arc::downgrade(&share));
        share
    }

    /// Takes back the reader whose turn has been over for longest, of those that are in the way.
    fn take_back(&self, in_the_way: InTheWay) {
        let shelves = match in_the_way {
            InTheWay::OfTenant(_, partition) | InTheWay::OfPartition(partition) => {
                let index = partition.0 as usize;
                self.0.partitions.get(index..=index).unwrap_or_default()
            }
            InTheWay::Any => &self.0.partitions,
        };
        let places = shelves.iter().flat_map(|it| lock(&it.lasting).clone());
        let places = places.filter(|(of, _)| match in_the_way {
            InTheWay::OfTenant(tenant, _) => *of == tenant,
            InTheWay::OfPartition(_) | InTheWay::Any => true,
        });
        let places = places.filter_map(|(_, it)| it.upgrade());
        let over = places.filter_map(|it| Some((it.over_since()?, it)));
        let longest = over.min_by_key(|(since, _)| *since);
        drop(longest.and_then(|(_, it)| it.take()));
    }
}

/// Whose readers somebody waits for.
#[derive(Clone, Copy, Debug)]
enum InTheWay {
    OfTenant(TenantId, Partition),
    OfPartition(Partition),
    Any,
}

/// What somebody wants to read.
#[derive(Debug)]
struct Asked {
    lookups: Lookups,
    tenant: TenantId,
    partition: Partition,
    lookup: Lookup,
}

impl Asked {
    /// Waits for its turn, and begins to read.
    async fn open(&self, from: Position) -> Result<Open, LogError> {
        let Self { lookups, tenant, partition, lookup } = self;
        let share = lookups.share(*tenant);
        let until = Instant::now() + WAIT_MAX;
        let (shared, all) = (&lookups.shelf(*partition)?.share, &lookups.0.all);
        // A tenant waits for its own first, so it holds nothing that others wait for.
        let mut permits = Vec::with_capacity(3);
        for (of, in_the_way) in [
            (&*share, InTheWay::OfTenant(*tenant, *partition)),
            (shared, InTheWay::OfPartition(*partition)),
            (all, InTheWay::Any),
        ] {
            permits.push(self.permit(of.of(*lookup), in_the_way, until).await?);
        }
        let reader = lookups.0.log.read(*partition, from).await?;
        Ok(Open { reader, since: Instant::now(), _permits: permits, _share: share })
    }

    /// One of `permits`, once somebody has done with it or, if it is to last, had it for long enough.
    async fn permit(
        &self,
        permits: Arc<Semaphore>,
        in_the_way: InTheWay,
        until: Instant,
    ) -> Result<OwnedSemaphorePermit, LogError> {
        let mut permit = pin!(permits.acquire_owned());
        loop {
            let look = until.min(Instant::now() + LOOKED_EVERY);
            if let Ok(permit) = tokio::time::timeout_at(look, &mut permit).await {
                return permit.map_err(|_| LogError::Closed);
            }
            if Instant::now() >= until {
                return Err(LogError::Busy { partition: self.partition });
            }
            if self.lookup == Lookup::Lasting {
                self.lookups.take_back(in_the_way);
            }
        }
    }
}

/// A reader and the right to have it; given back in that order.
#[derive(Debug)]
struct Open {
    reader: Box<dyn Reader>,
    since: Instant,
    _permits: Vec<OwnedSemaphorePermit>,
    _share: Arc<Share>,
}

/// Where a reader is while nobody reads with it.
#[derive(Debug)]
struct Place(Mutex<Option<Open>>);

impl Place {
    /// Since when it has been somebody else's turn; none if it is not, or it is read just now.
    fn over_since(&self) -> Option<Instant> {
        let since = lock(&self.0).as_ref()?.since;
        (since.elapsed() >= TURN).then_some(since + TURN)
    }

    fn take(&self) -> Option<Open> {
        lock(&self.0).take()
    }
}

/// A reader of a caller, with or without one of the log.
#[derive(Debug)]
struct Held {
    asked: Asked,
    reached: Position,
    place: Arc<Place>,
}

/// One that reads; put back also if nobody waits for it any more.
struct InUse<'a>(&'a Place, Option<Open>);

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        *lock(&self.0.0) = self.1.take();
    }
}

#[async_trait]
impl Reader for Held {
    async fn next(&mut self, records_max: usize) -> Result<Vec<Recorded>, LogError> {
        let open = match self.place.take() {
            Some(open) => open,
            None => self.asked.open(self.reached).await?,
        };
        let mut in_use = InUse(&self.place, Some(open));
        let reader = &mut in_use.1.as_mut().expect("it was just put there").reader;
        let records = reader.next(records_max).await?;
        if let Some(last) = records.last() {
            self.reached = last.position.next();
        }
        Ok(records)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
