//! Which partitions this process writes, and who waits here for those that others write.
//!
//! Who owns a partition writes its tables, so that no two processes do the same work. Nothing
//! depends on it: the comparison of the checkpoint keeps two that write the same one apart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_log::Partition;
use tokio::sync::{Notify, watch};

/// The partitions that this process writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Share {
    /// None for all of them.
    written: Option<watch::Receiver<BTreeSet<Partition>>>,
    waiting: Arc<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// How many wait for each partition that others write.
    counts: Mutex<BTreeMap<Partition, usize>>,
    more: Notify,
}

impl Waiting {
    fn counts(&self) -> MutexGuard<'_, BTreeMap<Partition, usize>> {
        // Nothing panics while it is held.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held while somebody waits for a partition that another process writes.
#[derive(Debug)]
pub(crate) struct Wait {
    waiting: Arc<Waiting>,
    partition: Partition,
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut counts = self.waiting.counts();
        if let Some(count) = counts.get_mut(&self.partition) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.partition);
            }
        }
    }
}

impl Share {
    /// What `written` says, for as long as there is anybody to say it; all if it is none.
    pub(crate) fn of(written: Option<watch::Receiver<BTreeSet<Partition>>>) -> Self {
        Self { written, waiting: Arc::default() }
    }

    /// Every partition, whatever is said.
    pub(crate) fn whole(&self) -> Self {
        Self { written: None, waiting: self.waiting.clone() }
    }

    pub(crate) fn has(&self, partition: Partition) -> bool {
        self.written.as_ref().is_none_or(|it| it.borrow().contains(&partition))
    }

    /// Those of so many partitions that it has now. [`Share::changed`] waits for others.
    pub(crate) fn now(&mut self, partitions: u32) -> BTreeSet<Partition> {
        let mut all: BTreeSet<_> = (0..partitions).map(Partition).collect();
        if let Some(written) = &mut self.written {
            let written = written.borrow_and_update();
            all.retain(|it| written.contains(it));
        }
        all
    }

    /// Waits until it is another one than at the last [`Share::now`].
    pub(crate) async fn changed(&mut self) {
        if let Some(written) = &mut self.written
            && written.changed().await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }

    /// Has others look often how far `partition` is, for as long as this is held. None if it is
    /// written here: then its worker tells.
    pub(crate) fn wait(&self, partition: Partition) -> Option<Wait> {
        if self.has(partition) {
            return None;
        }
        *self.waiting.counts().entry(partition).or_default() += 1;
        self.waiting.more.notify_one();
        Some(Wait { waiting: self.waiting.clone(), partition })
    }

    /// The partitions that somebody waits for.
    pub(crate) fn waited_for(&self) -> Vec<Partition> {
        self.waiting.counts().keys().copied().collect()
    }

    /// Waits until somebody begins to wait.
    pub(crate) async fn somebody_waits(&self) {
        self.waiting.more.notified().await;
    }
}
