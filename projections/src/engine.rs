//! The engine: keeps every read model up to date with the log.
//!
//! One worker per model and partition reads batches, decodes them once, and applies each in one
//! transaction whose first statement compares and sets the checkpoint. It does *not* know what
//! the models mean.

mod batch;
pub(crate) mod change;
pub(crate) mod checkpoint;
mod crew;
mod each;
mod error;
pub(crate) mod fact;
pub(crate) mod fold;
mod generations;
mod live;
mod lookout;
mod observer;
mod pauses;
mod resume;
pub(crate) mod share;
pub(crate) mod status;
pub(crate) mod table_set;
pub(crate) mod teller;
mod upkeep;
mod worker;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::id::TenantId;
use event_log::{EventLog, Partition};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use vault::Keyring;

use crate::model::Model;
use crate::read_models::ReadModels;
use crate::store::{Access, Database};
use crate::tables::Tables;
use batch::Guard;
use change::Change;
use generations::Generations;
use live::Live;
use lookout::Lookout;
use observer::Observer;
use pauses::Back;
use share::Share;
use status::{ModelStatus, ParkedTenant};
use teller::{Teller, Told};
use worker::Tools;

pub use error::EngineError;

/// The longest one read may take unless the settings say otherwise. In seconds: 5, a thousand
/// times what a page takes, and a sixth of what a request may take.
const READ_TIME_MAX: Duration = Duration::from_secs(5);

/// What one operation may read and say unless the settings say otherwise. In bytes: 64 MiB, eight
/// of the largest documents, so that a handful of operations at a time fit into memory.
const READ_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where the tables are and how they are filled.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the tables are.
    pub tables: Tables,
    /// The partitions whose tables this process writes, as that changes; none for all of them. Only
    /// for tables that several processes share: files are written by whoever reads them.
    pub written: Option<watch::Receiver<BTreeSet<Partition>>>,
    /// The most events one transaction applies.
    pub batch_max: usize,
    /// The connections that readers of one model share.
    pub readers_max: u32,
    /// The longest one read may take in the database; one that takes longer is interrupted.
    pub read_time_max: Duration,
    /// What one operation may read and say. In bytes.
    pub read_bytes_max: usize,
    /// Where the tables are filled; none for where the engine is started.
    pub filled_on: Option<Handle>,
}

impl Settings {
    /// The usual settings for tables in `folder`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self::on(Tables::Folder(folder.into()))
    }

    /// The usual settings for these tables.
    #[must_use]
    pub fn on(tables: Tables) -> Self {
        Self {
            tables,
            written: None,
            batch_max: 8_192,
            readers_max: 4,
            read_time_max: READ_TIME_MAX,
            read_bytes_max: READ_BYTES_MAX,
            filled_on: None,
        }
    }
}

/// The most changes that wait for a slow listener: 4,096; beyond it the listener is told that
/// it missed some.
const CHANGES_MAX: usize = 4_096;

/// The running engine. Stop it to end its workers.
#[derive(Debug)]
pub struct Projections {
    tools: Tools,
    generations: Arc<Generations>,
    filled_on: Handle,
    teller: Option<Attendant>,
    /// Where several processes share the tables.
    observer: Option<Attendant>,
    /// The same.
    lookout: Option<Attendant>,
}

/// A task that goes on until it is told to stop, or nobody is there to tell it.
#[derive(Debug)]
struct Attendant {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Attendant {
    /// Starts what goes on until it hears that it is to stop.
    fn start<T: Future<Output = ()> + Send + 'static>(
        on: &Handle,
        run: impl FnOnce(watch::Receiver<bool>) -> T,
    ) -> Self {
        let stop = watch::Sender::new(false);
        let task = on.spawn(run(stop.subscribe()));
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a task beside the projections did not end well");
        }
    }
}

impl Projections {
    /// Opens or creates the tables and starts following `log`.
    ///
    /// # Errors
    ///
    /// [`EngineError::Place`] if there is no place for them, and [`EngineError::Storage`] if those of
    /// a model cannot be opened. A checkpoint that does not
    /// belong to this log is not an error here: its worker stops and [`Projections::status`]
    /// says why.
    pub async fn start(
        settings: Settings,
        log: Arc<dyn EventLog>,
        keyring: Keyring,
    ) -> Result<Self, EngineError> {
        Self::start_guarded(settings, log, keyring, Guard::default()).await
    }

    pub(crate) async fn start_guarded(
        settings: Settings,
        log: Arc<dyn EventLog>,
        keyring: Keyring,
        guard: Guard,
    ) -> Result<Self, EngineError> {
        let told = Told::nothing(log.partitions(), CHANGES_MAX);
        let failed = |it| EngineError::Place(Box::new(it));
        let database = Database::open(&settings.tables).await.map_err(failed)?;
        let live = Arc::new(Live::open(&database).await.map_err(failed)?);
        let batch_max = settings.batch_max;
        let filled_on = settings.filled_on.clone().unwrap_or_else(Handle::current);
        let written = settings.written.clone().filter(|_| database.is_shared());
        let share = Share::of(written);
        let back = Back::default();
        let tools = Tools { log, keyring, told, live, batch_max, share, back, guard };
        let opening = tools.clone();
        let choice = database.is_shared().then(|| database.choice());
        let unmoved_min = database.unmoved_min();
        // The connections that write are opened there too, since their threads take after it.
        let generations =
            filled_on.spawn(async move { Generations::open(&settings, database, &opening).await });
        let generations = generations.await.map_err(|it| EngineError::Place(Box::new(it)))??;
        let generations = Arc::new(generations);
        let observer = match choice {
            None => None,
            Some(choice) => {
                let connection = choice.connect(Access::Write).await.map_err(failed)?;
                let observer = Observer::new(&generations, tools.clone(), connection);
                Some(Attendant::start(&filled_on, |stop| observer.run(stop)))
            }
        };
        let lookout = unmoved_min.map(|it| {
            let lookout = Lookout::new(&generations, tools.clone(), it);
            Attendant::start(&filled_on, |stop| lookout.run(stop))
        });
        let teller = Teller::new(&generations, tools.clone());
        let teller = Some(Attendant::start(&filled_on, |stop| teller.run(stop)));
        Ok(Self { tools, generations, filled_on, teller, observer, lookout })
    }

    /// What a request that begins now reads.
    #[must_use]
    pub fn models(&self) -> ReadModels {
        self.generations.read_models()
    }

    /// What becomes visible from now on, in order, each change after its commit. A receiver
    /// that falls behind is told so by the channel and must read afresh.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.tools.told.listen()
    }

    /// How far every generation of every model is.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the storage cannot tell. Where the log cannot, that is said of each
    /// partition.
    pub async fn status(&self) -> Result<Vec<ModelStatus>, EngineError> {
        let ends = status::ends(self.tools.log.as_ref()).await;
        let mut all = Vec::new();
        for set in self.generations.sets() {
            let status = status::of(&set, &ends).await?;
            status::measure(&status);
            all.push(status);
        }
        Ok(all)
    }

    /// Fills a new generation of `model` beside the live one, puts it in its place once it has
    /// caught up, and removes the old one when its last reader is done. Requests are served
    /// throughout. Returns after the exchange; goes on to its end if nobody waits for it.
    ///
    /// # Errors
    ///
    /// [`EngineError`]; then the live generation stays in place.
    pub async fn rebuild(&self, model: Model) -> Result<(), EngineError> {
        let (generations, tools) = (self.generations.clone(), self.tools.clone());
        let rebuilding = async move { generations.rebuild(model, &tools).await };
        let rebuilding = self.filled_on.spawn(rebuilding);
        rebuilding.await.map_err(|it| EngineError::storage(model, it))?
    }

    /// Replays what `tenant` missed in `model` from the event it was parked at.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotParked`]; any other leaves the tenant parked where it got to. That an
    /// event still cannot be applied is not an error: the answer says where.
    pub async fn resume(
        &self,
        model: Model,
        tenant: TenantId,
    ) -> Result<Option<ParkedTenant>, EngineError> {
        let models = self.models();
        resume::resume(models.set(model), &self.tools, tenant).await
    }

    /// Stops every worker after its running transaction.
    pub async fn stop(self) {
        for it in [self.teller, self.observer, self.lookout].into_iter().flatten() {
            it.stop().await;
        }
        self.generations.stop().await;
    }
}

#[cfg(test)]
mod tests;
