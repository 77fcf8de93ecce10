//! The workers of one table set: one for each partition that this process writes, as that changes,
//! and one for each that nobody fills who should.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use event_log::{Partition, Position};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::engine::table_set::TableSet;
use crate::engine::worker::{Parting, Tools, Worker};

/// How long those who are to stop may take over what they are writing. In seconds: 25, longer than for a
/// database that says nothing; what goes over whole tables takes longer, and is done again by whoever
/// comes next.
const STOP_TIME_MAX: Duration = Duration::from_secs(25);

/// The workers of one table set.
#[derive(Debug)]
pub(crate) struct Workers {
    stop: watch::Sender<bool>,
    crew: JoinHandle<()>,
}

impl Workers {
    /// Starts following the partitions that are written here, and others as that changes.
    pub(crate) fn start(set: &Arc<TableSet>, tools: &Tools) -> Self {
        let stop = watch::Sender::new(false);
        let (set, tools) = (set.clone(), tools.clone());
        let (gave_back, given_back) = mpsc::unbounded_channel();
        let (working, standing_in) = Default::default();
        let crew = Crew { set, tools, working, standing_in, gave_back };
        Self { crew: tokio::spawn(crew.run(stop.subscribe(), given_back)), stop }
    }

    /// Stops after the running transactions.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        ended(self.crew).await;
    }
}

async fn ended(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "a projection worker did not end well");
    }
}

/// Has a worker for each partition that this process writes.
struct Crew {
    set: Arc<TableSet>,
    tools: Tools,
    working: BTreeMap<Partition, (watch::Sender<bool>, JoinHandle<()>)>,
    /// Those of them that are filled for others.
    standing_in: BTreeSet<Partition>,
    gave_back: mpsc::UnboundedSender<Partition>,
}

impl Crew {
    async fn run(
        mut self,
        mut stop: watch::Receiver<bool>,
        mut given_back: mpsc::UnboundedReceiver<Partition>,
    ) {
        let set = self.set.clone();
        let upkeep = tokio::spawn(async move { set.upkeep.run().await });
        let mut share = self.tools.share.clone();
        let mut neglects = self.set.neglects();
        while !*stop.borrow() {
            self.staff(&share.now(self.tools.log.partitions())).await;
            let mut relieved = Vec::new();
            tokio::select! {
                () = share.changed() => (),
                neglected = neglects.recv() => {
                    // What was missed is said again.
                    if let Ok((partition, at)) = neglected {
                        self.stand_in(partition, at);
                    }
                }
                partition = given_back.recv() => relieved.extend(partition),
                _ = stop.wait_for(|it| *it) => break,
            }
            self.dismiss(relieved).await;
        }
        self.dismiss(self.working.keys().copied().collect()).await;
        upkeep.abort();
        // What it has open is closed before anybody else may come.
        if let Err(error) = upkeep.await
            && !error.is_cancelled()
        {
            tracing::error!(%error, "the upkeep of tables did not end well");
        }
    }

    /// Has a worker for each partition that is `wanted`, and those that stand in for others.
    async fn staff(&mut self, wanted: &BTreeSet<Partition>) {
        self.standing_in.retain(|it| !wanted.contains(it));
        let is_unwanted = |it: &Partition| !wanted.contains(it) && !self.standing_in.contains(it);
        let unwanted: Vec<_> = self.working.keys().filter(|it| is_unwanted(it)).copied().collect();
        self.dismiss(unwanted).await;
        for it in wanted {
            if !self.working.contains_key(it) {
                self.hire(*it, |worker| worker);
            }
        }
    }

    /// Fills `partition`, which is another's, from `at` on, until that one does so again.
    fn stand_in(&mut self, partition: Partition, at: Position) {
        if self.working.contains_key(&partition) {
            return;
        }
        tracing::info!(
            projection.model = %self.set.model,
            projection.generation = self.set.generation,
            log.partition = partition.0,
            log.position = at.0,
            "filling a partition that nobody else fills"
        );
        self.standing_in.insert(partition);
        self.hire(partition, |worker| worker.standing_in(at));
    }

    fn hire(&mut self, partition: Partition, told: impl FnOnce(Worker) -> Worker) {
        let stop = watch::Sender::new(false);
        let (set, tools) = (self.set.clone(), self.tools.clone());
        let worker = told(Worker::new(set, tools, partition, stop.subscribe()));
        let gave_back = self.gave_back.clone();
        let task = tokio::spawn(async move {
            if worker.run().await == Parting::GaveBack {
                // If nobody hears it, everybody is dismissed.
                let _ = gave_back.send(partition);
            }
        });
        self.working.insert(partition, (stop, task));
    }

    /// Stops these after their running transactions, or within those that take too long, which the
    /// database undoes. They may be all there are: a process that ends lets go of its partitions first.
    async fn dismiss(&mut self, partitions: Vec<Partition>) {
        let leaving: Vec<_> =
            partitions.into_iter().filter_map(|it| self.working.remove_entry(&it)).collect();
        for (partition, (stop, _)) in &leaving {
            self.standing_in.remove(partition);
            stop.send_replace(true);
        }
        let until = Instant::now() + STOP_TIME_MAX;
        for (partition, (_, task)) in leaving {
            let within = task.abort_handle();
            if tokio::time::timeout_at(until, ended(task)).await.is_err() {
                tracing::warn!(
                    projection.model = %self.set.model,
                    log.partition = partition.0,
                    "stopped within a transaction"
                );
                within.abort();
            }
            // Why it could not go on is for whoever goes on to say.
            if !self.tools.share.has(partition) {
                self.set.stopped(partition, None);
            }
        }
    }
}
