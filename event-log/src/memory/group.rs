//! Several processes on one log in memory: who owns what is as a test says.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::membership::{Handover, Membership, Turn};
use crate::port::{LogError, Partition};

/// What its members are told of how long they may hear nothing. In seconds: 10.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Says who owns what among those who [join](crate::EventLog::join) a
/// [`MemoryLog`](super::MemoryLog): nobody, to begin with. Clones share it.
#[derive(Clone, Debug)]
pub struct Group(Arc<Mutex<Members>>);

#[derive(Debug)]
struct Members {
    /// How each is told and what it says of itself, in the order they joined; none once it has left.
    turns: Vec<Option<(mpsc::UnboundedSender<Turn>, Option<String>)>>,
    /// Which of them owns each partition.
    owners: Vec<Option<usize>>,
}

impl Members {
    fn tell(&self, member: usize, turn: Turn) {
        if let Some(Some((turns, _))) = self.turns.get(member) {
            // One that is gone does not want to know.
            let _ = turns.send(turn);
        }
    }

    fn owner(&mut self, partition: Partition) -> &mut Option<usize> {
        &mut self.owners[partition.0 as usize]
    }
}

impl Group {
    pub(super) fn of(partitions: u32) -> Self {
        let owners = vec![None; partitions as usize];
        Self(Arc::new(Mutex::new(Members { turns: Vec::new(), owners })))
    }

    pub(super) fn members(&self) -> Vec<String> {
        self.lock().turns.iter().flatten().filter_map(|(_, says)| says.clone()).collect()
    }

    pub(super) fn join(&self, says: &str) -> Box<dyn Membership> {
        let (sender, turns) = mpsc::unbounded_channel();
        let mut members = self.lock();
        members.turns.push(Some((sender, Some(says.to_owned()))));
        Box::new(Member { group: self.clone(), number: members.turns.len() - 1, turns })
    }

    /// Moves `partition` to the `member`-th that joined, once its owner has let go of it.
    ///
    /// # Panics
    ///
    /// If there is no such partition.
    pub async fn hand_over(&self, partition: Partition, member: usize) {
        let owner = self.lock().owner(partition).take();
        if let Some(owner) = owner {
            let (handover, dropped) = Handover::new();
            self.lock().tell(owner, Turn::Give(partition, handover));
            // Resolves when it is dropped, told or not.
            let _ = dropped.await;
        }
        self.seize(partition, member);
    }

    /// Moves `partition` to the `member`-th that joined, while its owner hears nothing of it, as
    /// if it was paused.
    ///
    /// # Panics
    ///
    /// If there is no such partition.
    pub fn seize(&self, partition: Partition, member: usize) {
        let mut members = self.lock();
        *members.owner(partition) = Some(member);
        members.tell(member, Turn::Take(partition));
    }

    /// Lets a member hear that it has lost `partition`.
    pub fn tell_lost(&self, partition: Partition, member: usize) {
        self.lock().tell(member, Turn::Lost(partition));
    }

    /// Nobody sees any more that the `member`-th that joined is there, as if it was cut off.
    pub fn hide(&self, member: usize) {
        if let Some(Some((_, says))) = self.lock().turns.get_mut(member) {
            *says = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.0.lock().expect("a test that names what is not there has failed already")
    }
}

#[derive(Debug)]
struct Member {
    group: Group,
    number: usize,
    turns: mpsc::UnboundedReceiver<Turn>,
}

#[async_trait]
impl Membership for Member {
    async fn next(&mut self) -> Result<Turn, LogError> {
        self.turns.recv().await.ok_or(LogError::Closed)
    }

    fn silence_max(&self) -> Duration {
        SILENCE_MAX
    }

    /// There is nobody to agree with: what it owns goes to another once it leaves.
    fn resign(&mut self) {
        self.turns.close();
    }

    /// What it owns goes to the first that is left.
    async fn leave(self: Box<Self>) {
        let mut members = self.group.lock();
        if let Some(left) = members.turns.get_mut(self.number) {
            *left = None;
        }
        let next = members.turns.iter().position(Option::is_some);
        for partition in (0..).take(members.owners.len()).map(Partition) {
            if *members.owner(partition) == Some(self.number) {
                *members.owner(partition) = next;
                next.into_iter().for_each(|it| members.tell(it, Turn::Take(partition)));
            }
        }
    }
}
