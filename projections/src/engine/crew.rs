//! The workers of one table set: one for each partition that this process writes, as that changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use event_log::Partition;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::engine::table_set::TableSet;
use crate::engine::worker::{Tools, Worker};

/// The workers of one table set, one per partition that this process writes.
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
        let crew = Crew { set, tools, working: BTreeMap::new() };
        Self { crew: tokio::spawn(crew.run(stop.subscribe())), stop }
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
}

impl Crew {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let set = self.set.clone();
        let upkeep = tokio::spawn(async move { set.upkeep.run().await });
        let mut share = self.tools.share.clone();
        while !*stop.borrow() {
            let wanted = share.now(self.tools.log.partitions());
            let unwanted: Vec<_> =
                self.working.keys().filter(|it| !wanted.contains(it)).copied().collect();
            self.dismiss(unwanted).await;
            wanted.into_iter().for_each(|it| self.hire(it));
            tokio::select! {
                () = share.changed() => (),
                _ = stop.wait_for(|it| *it) => break,
            }
        }
        let all = self.working.keys().copied().collect();
        self.dismiss(all).await;
        upkeep.abort();
        // What it has open is closed before anybody else may come.
        if let Err(error) = upkeep.await
            && !error.is_cancelled()
        {
            tracing::error!(%error, "the upkeep of tables did not end well");
        }
    }

    fn hire(&mut self, partition: Partition) {
        let (set, tools) = (&self.set, &self.tools);
        self.working.entry(partition).or_insert_with(|| {
            let stop = watch::Sender::new(false);
            let (set, tools) = (set.clone(), tools.clone());
            let worker = Worker::new(set, tools, partition, stop.subscribe());
            (stop, tokio::spawn(worker.run()))
        });
    }

    /// Stops these after their running transactions.
    async fn dismiss(&mut self, partitions: Vec<Partition>) {
        let leaving: Vec<_> =
            partitions.into_iter().filter_map(|it| self.working.remove_entry(&it)).collect();
        for (_, (stop, _)) in &leaving {
            stop.send_replace(true);
        }
        for (partition, (_, task)) in leaving {
            ended(task).await;
            // Why it could not go on is for whoever goes on to say.
            if !self.tools.share.has(partition) {
                self.set.stopped(partition, None);
            }
        }
    }
}
