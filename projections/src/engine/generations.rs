//! Which table sets there are. How a rebuilt one takes the place of another: [`rebuilding`].

mod rebuilding;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::engine::checkpoint::Stage;
use crate::engine::crew::Workers;
use crate::engine::live::Live;
use crate::engine::table_set::{TableSet, set_name};
use crate::engine::worker::Tools;
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
    /// Held while this process goes over to what another one has rebuilt: one at a time.
    adopting: tokio::sync::Mutex<()>,
    /// Held while another generation takes the place of the live one.
    exchanging: tokio::sync::Mutex<()>,
    /// Ends what would go on trying.
    stopping: watch::Sender<bool>,
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
        let stopping = watch::Sender::new(false);
        Ok(Self { database, readers, live, state, rebuilding, adopting, exchanging, stopping })
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

    /// Stops every worker, and a rebuild that goes on.
    pub(crate) async fn stop(&self) {
        self.stopping.send_replace(true);
        let workers = std::mem::take(&mut self.state().workers);
        futures::future::join_all(workers.into_values().map(Workers::stop)).await;
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

/// The generation that was chosen, if it is there.
async fn chosen(database: &Database, live: &Live, model: Model) -> Result<Option<u64>, StoreError> {
    let Some(generation) = live.generation(model).await? else { return Ok(None) };
    if database.place(set_name(model, generation)).exists().await? {
        return Ok(Some(generation));
    }
    live.forget(model, generation).await?;
    Ok(None)
}
