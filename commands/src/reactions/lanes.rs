//! Lanes: what follows for one target is done in order, for different targets side by side.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::id::TenantId;
use event_log::{LogError, Partition, Position};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::effects::{Reacting, carry_out};
use super::{FollowError, caught, pause};
use crate::commands::Commands;
#[cfg(test)]
use crate::settings::Sabotage;

/// How many effects one follower asks of one partition at the same time: 64. A partition that
/// does not answer keeps no effect on another one waiting.
const ASKED_AT_ONCE_MAX: usize = 64;

/// The lanes of one follower; they end with it.
#[derive(Debug)]
pub(super) struct Lanes {
    shared: Arc<Shared>,
    running: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    commands: Commands,
    source: Partition,
    /// What waits for each target whose lane runs.
    waiting: Mutex<HashMap<TenantId, VecDeque<Reacting>>>,
    /// Who may ask each partition.
    permits: Vec<Semaphore>,
    progress: Progress,
}

/// Before which position everything was reacted to.
#[derive(Debug)]
struct Progress {
    open: Mutex<Open>,
    done: watch::Sender<Position>,
}

#[derive(Debug)]
struct Open {
    /// How much of what follows from an event is not done.
    positions: BTreeMap<Position, usize>,
    /// Before here every event has got into its lanes.
    reached: Position,
    #[cfg(test)]
    sabotage: Option<Sabotage>,
}

impl Lanes {
    pub(super) fn new(
        commands: Commands,
        source: Partition,
        done: watch::Sender<Position>,
    ) -> Self {
        let open = Open {
            positions: BTreeMap::new(),
            reached: *done.borrow(),
            #[cfg(test)]
            sabotage: commands.inner().settings.sabotage,
        };
        let partitions = 0..commands.inner().log.partitions();
        let permits = partitions.map(|_| Semaphore::new(ASKED_AT_ONCE_MAX)).collect();
        let progress = Progress { open: Mutex::new(open), done };
        let waiting = Mutex::default();
        let shared = Arc::new(Shared { commands, source, waiting, permits, progress });
        Self { shared, running: JoinSet::new() }
    }

    /// Before which position everything was reacted to.
    pub(super) fn done(&self) -> Position {
        *self.shared.progress.done.borrow()
    }

    /// Lets everything that follows from one event wait in the lanes of its targets.
    pub(super) fn enter(&mut self, all: Vec<Reacting>) {
        while self.running.try_join_next().is_some() {}
        let Some(first) = all.first() else { return };
        self.shared.progress.begin(first.position, all.len());
        for reacting in all {
            let lane = self.shared.lane(reacting.target);
            let mut waiting = self.shared.waiting();
            if let Some(queue) = waiting.get_mut(&lane) {
                queue.push_back(reacting);
            } else {
                waiting.insert(lane, VecDeque::from([reacting]));
                self.running.spawn(run(self.shared.clone(), lane));
            }
        }
    }

    /// Notes that everything before `position` has got into its lanes.
    pub(super) fn reach(&self, position: Position) {
        self.shared.progress.reach(position);
    }
}

/// Does what waits for one target, one after the other, until nothing does.
async fn run(shared: Arc<Shared>, lane: TenantId) {
    while let Some(next) = shared.next(lane) {
        if shared.insist(&next).await.is_err() {
            return;
        }
        shared.progress.finish(next.position);
    }
}

impl Shared {
    /// Takes the next in a lane, or closes the lane in the same instant.
    fn next(&self, lane: TenantId) -> Option<Reacting> {
        let mut waiting = self.waiting();
        let next = waiting.get_mut(&lane).and_then(VecDeque::pop_front);
        if next.is_none() {
            waiting.remove(&lane);
        }
        next
    }

    /// Tries again until it succeeds; fails if nobody is there any more.
    async fn insist(&self, reacting: &Reacting) -> Result<(), FollowError> {
        let mut failures = 0;
        loop {
            match self.caught_attempt(reacting).await {
                Ok(()) => return Ok(()),
                Err(error @ (FollowError::Stopping | FollowError::Log(LogError::Closed))) => {
                    return Err(error);
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    let (partition, target) = (self.source.0, reacting.target);
                    tracing::warn!(partition, %target, error, "a reaction waits");
                }
            }
            pause(failures).await;
            failures += 1;
        }
    }

    async fn caught_attempt(&self, reacting: &Reacting) -> Result<(), FollowError> {
        #[cfg(test)]
        if self.commands.inner().settings.sabotage == Some(Sabotage::LetPanic) {
            return self.attempt(reacting).await;
        }
        caught(self.attempt(reacting)).await
    }

    async fn attempt(&self, reacting: &Reacting) -> Result<(), FollowError> {
        let partition = self.commands.find(reacting.target).await?.partition;
        let index = usize::try_from(partition.0).expect("a partition's number is small");
        let _permit = match self.permits.get(index) {
            Some(permits) => permits.acquire().await.map_err(|_| FollowError::Stopping)?,
            None => return Err(FollowError::Stopping),
        };
        #[cfg(test)]
        self.commands.inner().settings.panic_if_asked();
        carry_out(&self.commands, self.source, reacting).await
    }

    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "tests need it"))]
    fn lane(&self, target: TenantId) -> TenantId {
        #[cfg(test)]
        if self.commands.inner().settings.sabotage == Some(Sabotage::OneLane) {
            return TenantId::SYSTEM;
        }
        target
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<TenantId, VecDeque<Reacting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn begin(&self, position: Position, count: usize) {
        *self.open().positions.entry(position).or_default() += count;
    }

    fn finish(&self, position: Position) {
        let mut open = self.open();
        if let Some(count) = open.positions.get_mut(&position) {
            *count -= 1;
            if *count == 0 {
                open.positions.remove(&position);
            }
        }
        self.publish(&open);
    }

    fn reach(&self, position: Position) {
        let mut open = self.open();
        open.reached = open.reached.max(position);
        self.publish(&open);
    }

    /// Shows how far it has come, while nobody else can.
    fn publish(&self, open: &Open) {
        let first = open.positions.first_key_value().map(|it| *it.0);
        #[cfg(test)]
        let first = first.filter(|_| open.sabotage != Some(Sabotage::ForgetOpen));
        let done = first.unwrap_or(open.reached).min(open.reached);
        self.done.send_if_modified(|it| {
            let is_further = done > *it;
            *it = done.max(*it);
            is_further
        });
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
