//! Who owns which partition: how processes share a log out among themselves.
//!
//! Membership is for order, not for safety: it says who should claim a partition, and only
//! [`EventLog::claim`](crate::EventLog::claim) decides who writes. Whoever is told late, or not at
//! all, is fenced.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};

use crate::port::{LogError, Partition};

/// What a member is to do next.
#[derive(Debug)]
pub enum Turn {
    /// Claim this partition and serve it.
    Take(Partition),
    /// Let go of this partition at once, since another member is about to claim it: finish what was
    /// begun, drop its writer, then drop the handover. It was to be served until now.
    Give(Partition, Handover),
    /// Another member may own this partition already.
    Lost(Partition),
}

/// Held while a partition is being let go of; whoever waits for that waits until it is dropped.
pub struct Handover(
    #[expect(dead_code, reason = "dropping it is what tells")] Option<oneshot::Sender<()>>,
);

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handover")
    }
}

impl Handover {
    /// A handover, and what resolves when it is dropped.
    #[must_use]
    pub fn new() -> (Self, oneshot::Receiver<()>) {
        let (sender, dropped) = oneshot::channel();
        (Self(Some(sender)), dropped)
    }
}

/// One process's part in owning the partitions of a log.
#[async_trait]
pub trait Membership: fmt::Debug + Send {
    /// What to do next; waits until there is something. Dropping the future loses nothing.
    ///
    /// A partition that was taken is given or lost before it is taken again.
    ///
    /// # Errors
    ///
    /// [`LogError`] if this process can no longer take part; [`LogError::Closed`] when the log
    /// shuts down.
    async fn next(&mut self) -> Result<Turn, LogError>;

    /// Whether no other process can own a partition: then all of them are taken at once and for
    /// good.
    fn is_alone(&self) -> bool {
        false
    }

    /// How long a member may hear nothing before others are given what it had. Nothing where there
    /// are no others.
    fn silence_max(&self) -> Duration {
        Duration::ZERO
    }

    /// Asks that others take over what is owned here. It is served on until [`next`](Self::next)
    /// says [`Turn::Give`], and once nothing is left, or after a bound, there are no more turns:
    /// then it says [`LogError::Closed`].
    fn resign(&mut self);

    /// Leaves, so that what is owned here goes to others at once. Let go of everything before.
    async fn leave(self: Box<Self>);
}

/// Where each partition is served, as its owners have announced it, in order of the partitions.
/// None where nobody has.
pub type Owners = Arc<[Option<Arc<str>>]>;

/// Takes every partition for good: the membership of a log that one process has to itself.
#[derive(Debug)]
pub(crate) struct Alone {
    partitions: u32,
    taken: u32,
    resigned: bool,
}

impl Alone {
    pub(crate) fn of(partitions: u32) -> Box<dyn Membership> {
        Box::new(Self { partitions, taken: 0, resigned: false })
    }
}

#[async_trait]
impl Membership for Alone {
    async fn next(&mut self) -> Result<Turn, LogError> {
        if self.resigned {
            return Err(LogError::Closed);
        }
        if self.taken == self.partitions {
            return std::future::pending().await;
        }
        self.taken += 1;
        Ok(Turn::Take(Partition(self.taken - 1)))
    }

    fn is_alone(&self) -> bool {
        true
    }

    fn resign(&mut self) {
        self.resigned = true;
    }

    async fn leave(self: Box<Self>) {}
}

/// What has been announced to one process.
#[derive(Clone, Debug)]
pub(crate) struct Announced(watch::Sender<Owners>);

impl Announced {
    pub(crate) fn nothing(partitions: u32) -> Self {
        Self(watch::Sender::new(vec![None; partitions as usize].into()))
    }

    pub(crate) fn put(&self, partition: Partition, address: &str) {
        self.0.send_modify(|all| {
            let mut changed = all.to_vec();
            if let Some(owner) = changed.get_mut(partition.0 as usize) {
                *owner = Some(address.into());
            }
            *all = changed.into();
        });
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Owners> {
        self.0.subscribe()
    }
}
