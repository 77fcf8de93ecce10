//! Which table sets there are, and how a rebuilt one takes the place of another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use event_log::{EventLog, Partition};

use crate::engine::checkpoint::Stage;
use crate::engine::crew::Workers;
use crate::engine::live::Live;
use crate::engine::table_set::{Progress, TableSet, set_name};
use crate::engine::worker::Tools;
use crate::engine::{EngineError, Settings};
use crate::model::Model;
use crate::read_models::ReadModels;
use crate::store::{self, Bounds, Database, StoreError};

/// How long the writers of a set wait for the one that takes its place. In seconds: 10.
const CLOSING_TIME_MAX: Duration = Duration::from_secs(10);

/// How long to wait before another generation is tried again that could not be gone over to. In
/// seconds: 5.
const ADOPTION_PAUSE: Duration = Duration::from_secs(5);

/// The table sets of every model.
#[derive(Debug)]
pub(crate) struct Generations {
    database: Database,
    readers: Bounds,
    live: Arc<Live>,
    state: Mutex<State>,
    /// Held for a whole rebuild: one at a time.
    rebuilding: tokio::sync::Mutex<()>,
    /// Held while this process goes over to what another one has rebuilt: one at a time.
    adopting: tokio::sync::Mutex<()>,
    /// Held while another generation takes the place of the live one.
    exchanging: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    read_models: ReadModels,
    workers: BTreeMap<Model, Workers>,
    building: Vec<Arc<TableSet>>,
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
        let mut sets = Vec::with_capacity(Model::ALL.len());
        let mut workers = BTreeMap::new();
        for model in Model::ALL {
            let set = Arc::new(open_live(&database, model, tools, readers).await?);
            set.make_live();
            if Tools::is_told(&set) {
                tools.told.begin(&set);
            }
            workers.insert(model, Workers::start(&set, tools));
            sets.push(set);
        }
        let (log, share) = (tools.log.incarnation(), tools.share.clone());
        let read_models =
            ReadModels::new(sets, &tools.keyring, log, settings.read_bytes_max, share);
        let state = Mutex::new(State { read_models, workers, building: Vec::new() });
        let live = tools.live.clone();
        let (rebuilding, adopting, exchanging) = Default::default();
        Ok(Self { database, readers, live, state, rebuilding, adopting, exchanging })
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
    ///
    /// Where several processes share the tables, this one fills all partitions; if another is
    /// rebuilding the same model, both do.
    pub(crate) async fn rebuild(&self, model: Model, tools: &Tools) -> Result<(), EngineError> {
        let _turn = self.rebuilding.lock().await;
        let old = self.read_models().set(model).clone();
        let failed = |it| EngineError::storage(model, it);
        let chosen = self.live.generation(model).await.map_err(failed)?;
        let generation = chosen.unwrap_or(0).max(old.generation) + 1;
        let left = self.database.place(set_name(model, generation));
        left.remove_unused().await.map_err(failed)?;
        let ends = ends_of(tools.log.as_ref()).await?;
        let next = self.open_next(model, generation, tools).await?;
        let exchanged = self.exchange(&next, &ends, &tools.for_all_partitions(), tools).await;
        // What may have been chosen in spite of an error stays.
        if exchanged.is_err()
            && self.live.generation(model).await.is_ok_and(|it| it != Some(generation))
        {
            next.retire();
        }
        exchanged
    }

    /// Goes over to a generation that another process has chosen.
    pub(crate) async fn adopt(&self, model: Model, generation: u64, tools: &Tools) {
        let Ok(_turn) = self.adopting.try_lock() else { return };
        if self.read_models().set(model).generation >= generation {
            return;
        }
        let adopted = async {
            let next = self.open_next(model, generation, tools).await?;
            self.exchange(&next, &[], tools, tools).await
        };
        if let Err(error) = adopted.await {
            tracing::error!(
                projection.model = %model,
                projection.generation = generation,
                error = &error as &dyn std::error::Error,
                "cannot go over to the tables that another process has rebuilt; trying again"
            );
            tokio::time::sleep(ADOPTION_PAUSE).await;
        }
    }

    async fn open_next(
        &self,
        model: Model,
        generation: u64,
        tools: &Tools,
    ) -> Result<Arc<TableSet>, EngineError> {
        let log = tools.log.as_ref();
        let next = TableSet::open(&self.database, model, generation, log, self.readers);
        Ok(Arc::new(next.await?))
    }

    /// Puts `next` in the place of the live one, once `filling` has brought it up to `ends`.
    async fn exchange(
        &self,
        next: &Arc<TableSet>,
        ends: &[u64],
        filling: &Tools,
        tools: &Tools,
    ) -> Result<(), EngineError> {
        self.state().building.push(next.clone());
        let filling = Workers::start(next, filling);
        let exchanged = async {
            reach(next, ends).await?;
            let _turn = self.exchanging.lock().await;
            let old = self.read_models().set(next.model).clone();
            // Another process was first, and it has been gone over to already.
            if old.generation >= next.generation {
                return Ok(());
            }
            self.take_over(&old, next, ends, tools).await?;
            next.make_live();
            let mut state = self.state();
            state.read_models = state.read_models.with(next.clone());
            state.workers.insert(next.model, Workers::start(next, tools));
            drop(state);
            old.retire();
            if Tools::is_told(next) {
                tools.told.seen_in(next);
            }
            Ok(())
        };
        let exchanged = exchanged.await;
        self.state().building.retain(|it| !Arc::ptr_eq(it, next));
        filling.stop().await;
        exchanged
    }

    /// Waits until `next` has all that `old` ever showed, then chooses it for ever.
    async fn take_over(
        &self,
        old: &Arc<TableSet>,
        next: &TableSet,
        ends: &[u64],
        tools: &Tools,
    ) -> Result<(), EngineError> {
        // The old workers stop, so that no reader sees a state that is older than the one before.
        let workers = self.state().workers.remove(&old.model);
        if let Some(workers) = workers {
            workers.stop().await;
        }
        let chosen = match self.database.is_shared() {
            true => self.choose_for_all(old, next, tools.log.as_ref()).await,
            false => {
                let shown = old.progress().borrow().clone();
                let shown: Vec<u64> =
                    shown.iter().zip(ends).map(|it| shown_end(it.0, *it.1)).collect();
                self.choose_here(next, &shown).await
            }
        };
        if chosen.is_err() {
            self.state().workers.insert(old.model, Workers::start(old, tools));
        }
        chosen
    }

    async fn choose_here(&self, next: &TableSet, shown: &[u64]) -> Result<(), EngineError> {
        reach(next, shown).await?;
        let chosen = self.live.choose(next.model, next.generation).await;
        chosen.map_err(|it| EngineError::storage(next.model, it))
    }

    /// In one transaction no process moves `old` any more, `next` gets what it has, and is chosen.
    async fn choose_for_all(
        &self,
        old: &TableSet,
        next: &TableSet,
        log: &dyn EventLog,
    ) -> Result<(), EngineError> {
        let failed = |it| EngineError::storage(next.model, it);
        let mut writer = old.writer().await;
        let mut transaction = store::begin(&mut writer).await.map_err(failed)?;
        let shown = old.close(&mut transaction).await.map_err(failed)?;
        // Tables of another log count for nothing, nor does what the log has lost.
        if !old.is_foreign() {
            let ends = ends_of(log).await?;
            let shown: Vec<_> = shown.into_iter().zip(ends).map(|it| it.0.min(it.1)).collect();
            let reached = tokio::time::timeout(CLOSING_TIME_MAX, reach(next, &shown)).await;
            reached.map_err(|it| EngineError::storage(next.model, it))??;
        }
        let (model, generation) = (next.model, next.generation);
        let chosen = self.live.choose_within(&mut transaction, &self.database, model, generation);
        chosen.await.map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the generation that answers requests, or the first if none was ever filled or it is
/// lost: it is filled meanwhile. Removes every other that nobody uses: left by an earlier version,
/// or half filled when the process ended.
async fn open_live(
    database: &Database,
    model: Model,
    tools: &Tools,
    readers: Bounds,
) -> Result<TableSet, EngineError> {
    let failed = |it| EngineError::storage(model, it);
    let chosen = chosen(database, &tools.live, model).await.map_err(failed)?;
    let generation = chosen.unwrap_or(1);
    // What is half filled in a file may be torn. What several processes share is not, and another
    // may be filling it.
    let is_kept = chosen.is_some() || database.is_shared();
    let kept = is_kept.then(|| set_name(model, generation));
    database.remove_others(&format!("{model}-v"), kept.as_deref()).await.map_err(failed)?;
    let set = TableSet::open(database, model, generation, tools.log.as_ref(), readers).await?;
    // Whoever filled it ended before it said so.
    if chosen.is_none() && set.stage() == Stage::Filled {
        tools.live.choose(model, generation).await.map_err(failed)?;
    }
    Ok(set)
}

/// Where each partition ends.
async fn ends_of(log: &dyn EventLog) -> Result<Vec<u64>, EngineError> {
    let mut ends = Vec::new();
    for partition in 0..log.partitions() {
        ends.push(log.end(Partition(partition)).await?.0);
    }
    Ok(ends)
}

/// The generation that was chosen, if it is there.
async fn chosen(database: &Database, live: &Live, model: Model) -> Result<Option<u64>, StoreError> {
    let Some(generation) = live.generation(model).await? else { return Ok(None) };
    if database.place(set_name(model, generation)).exists().await? {
        return Ok(Some(generation));
    }
    live.forget(model, generation).await?;
    Ok(None)
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
                || (set.stage() == Stage::Filled
                    && all.iter().zip(ends).all(|(it, end)| reached(it, *end)))
        })
        .await;
    let all = done.expect("the set holds the sender").clone();
    match all.into_iter().find_map(|it| it.stopped) {
        Some(reason) => Err(EngineError::NotOurLog { model: set.model, reason }),
        None => Ok(()),
    }
}
