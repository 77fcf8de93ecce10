//! Which table sets there are, and how a rebuilt one takes the place of another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::live::Live;
use crate::engine::table_set::{Progress, Stage, TableSet, set_name};
use crate::engine::worker::{Tools, Workers};
use crate::engine::{EngineError, Settings};
use crate::model::Model;
use crate::read_models::ReadModels;
use crate::store::{Bounds, Database, StoreError};

/// The table sets of every model.
#[derive(Debug)]
pub(crate) struct Generations {
    database: Database,
    readers: Bounds,
    live: Arc<Live>,
    state: Mutex<State>,
    /// Held for a whole rebuild: one at a time.
    rebuilding: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    read_models: ReadModels,
    workers: BTreeMap<Model, Workers>,
    building: Option<Arc<TableSet>>,
}

impl Generations {
    /// Opens the live generation of every model and starts following the log.
    pub(crate) async fn open(
        settings: &Settings,
        database: Database,
        tools: &Tools,
    ) -> Result<Self, EngineError> {
        let Settings { readers_max: connections_max, read_time_max: time_max, .. } = *settings;
        let readers = Bounds { connections_max, time_max };
        let failed = |model| move |it| EngineError::storage(model, it);
        let mut sets = Vec::with_capacity(Model::ALL.len());
        let mut workers = BTreeMap::new();
        for model in Model::ALL {
            let chosen = chosen(&database, &tools.live, model).await.map_err(failed(model))?;
            let name = chosen.map(|it| set_name(model, it));
            remove_others(&database, model, name.as_deref()).await.map_err(failed(model))?;
            let log = tools.log.as_ref();
            let stage = chosen.map_or(Stage::Filling, |_| Stage::Filled);
            let set = TableSet::open(&database, model, chosen.unwrap_or(1), log, readers, stage);
            let set = Arc::new(set.await?);
            set.make_live();
            workers.insert(model, Workers::start(&set, tools));
            sets.push(set);
        }
        let read_models =
            ReadModels::new(sets, &tools.keyring, tools.log.incarnation(), settings.read_bytes_max);
        let state = Mutex::new(State { read_models, workers, building: None });
        let live = tools.live.clone();
        Ok(Self { database, readers, live, state, rebuilding: tokio::sync::Mutex::new(()) })
    }

    /// What a request that begins now reads.
    pub(crate) fn read_models(&self) -> ReadModels {
        self.state().read_models.anew()
    }

    /// Every table set, those being built last.
    pub(crate) fn sets(&self) -> Vec<Arc<TableSet>> {
        let state = self.state();
        let live = Model::ALL.into_iter().map(|it| state.read_models.set(it).clone());
        live.chain(state.building.clone()).collect()
    }

    /// Stops every worker.
    pub(crate) async fn stop(&self) {
        let workers = std::mem::take(&mut self.state().workers);
        for it in workers.into_values() {
            it.stop().await;
        }
    }

    /// Fills the next generation of `model` and exchanges it for the live one.
    pub(crate) async fn rebuild(&self, model: Model, tools: &Tools) -> Result<(), EngineError> {
        let _turn = self.rebuilding.lock().await;
        let old = self.read_models().set(model).clone();
        let log = tools.log.as_ref();
        let (generation, stage) = (old.generation + 1, Stage::Filling);
        let next = TableSet::open(&self.database, model, generation, log, self.readers, stage);
        let next = Arc::new(next.await?);
        self.state().building = Some(next.clone());
        let workers = Workers::start(&next, tools);
        let built = self.catch_up(&old, &next, tools).await;
        self.state().building = None;
        if let Err(error) = built {
            workers.stop().await;
            next.retire();
            return Err(error);
        }
        next.make_live();
        let mut state = self.state();
        state.read_models = state.read_models.with(next);
        state.workers.insert(model, workers);
        drop(state);
        old.retire();
        Ok(())
    }

    /// Waits until `next` has all that `old` ever showed, then chooses it for ever.
    async fn catch_up(
        &self,
        old: &TableSet,
        next: &Arc<TableSet>,
        tools: &Tools,
    ) -> Result<(), EngineError> {
        let mut ends = Vec::new();
        for partition in 0..tools.log.partitions() {
            ends.push(tools.log.end(event_log::Partition(partition)).await?.0);
        }
        reach(next, &ends).await?;
        // The old workers stop, so that no reader sees a state that is older than the one before.
        let workers = self.state().workers.remove(&old.model);
        if let Some(workers) = workers {
            workers.stop().await;
        }
        let shown = old.progress().borrow().clone();
        let chosen = async {
            let shown: Vec<u64> =
                shown.iter().zip(&ends).map(|it| shown_end(it.0, *it.1)).collect();
            reach(next, &shown).await?;
            let chosen = self.live.choose(next.model, next.generation).await;
            chosen.map_err(|it| EngineError::storage(next.model, it))
        };
        let chosen = chosen.await;
        if chosen.is_err() {
            let old = self.read_models().set(old.model).clone();
            let workers = Workers::start(&old, tools);
            self.state().workers.insert(old.model, workers);
        }
        chosen
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The generation that answers requests. None if it was never filled or is lost: then the first
/// does, and is filled meanwhile.
async fn chosen(database: &Database, live: &Live, model: Model) -> Result<Option<u64>, StoreError> {
    let Some(generation) = live.generation(model).await? else { return Ok(None) };
    if database.place(set_name(model, generation)).exists().await? {
        return Ok(Some(generation));
    }
    live.forget(model).await?;
    Ok(None)
}

/// Removes every table set of `model` but the live one, if there is one: left by an earlier
/// version, or half filled when the process ended.
async fn remove_others(
    database: &Database,
    model: Model,
    live: Option<&str>,
) -> Result<(), StoreError> {
    database.remove_others(&format!("{model}-v"), live).await
}

/// The position after the last one that readers of a partition may have seen. Tables that do not
/// belong to this log count for nothing.
fn shown_end(progress: &Progress, log_end: u64) -> u64 {
    match (&progress.applied, &progress.stopped) {
        (Some(place), None) => place.position.next().0,
        (_, Some(_)) | (None, _) => log_end,
    }
}

/// Waits until `set` has applied every partition up to `ends`.
async fn reach(set: &TableSet, ends: &[u64]) -> Result<(), EngineError> {
    let mut progress = set.progress();
    let reached =
        |it: &Progress, end: u64| it.applied.as_ref().map_or(0, |it| it.position.next().0) >= end;
    let done = progress
        .wait_for(|all| {
            all.iter().any(|it| it.stopped.is_some())
                || all.iter().zip(ends).all(|(it, end)| reached(it, *end))
        })
        .await;
    let all = done.expect("the set holds the sender").clone();
    match all.into_iter().find_map(|it| it.stopped) {
        Some(reason) => Err(EngineError::NotOurLog { model: set.model, reason }),
        None => Ok(()),
    }
}
