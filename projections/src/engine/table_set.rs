//! One generation of one model: where it is, its connections, how far it is.

mod settling;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use domain::id::TenantId;
use event_log::{Partition, Position};
use tokio::sync::{MutexGuard, broadcast, watch};

use crate::engine::EngineError;
use crate::engine::checkpoint::{
    CLOSED, Checkpoint, NOWHERE, Place, Stage, mark, read_checkpoint, stored,
};
use crate::engine::status::ParkedTenant;
use crate::engine::teller::after;
use crate::engine::upkeep::Upkeep;
use crate::model::Model;
use crate::store::{
    self, Access, Bounds, Connection, Database, Durability, Place as Tables, Readers, Sql,
    StoreError,
};

/// The tables every set has beside those of its model.
const OWN_TABLES: [&str; 2] = [
    "CREATE TABLE checkpoints (
        partition BIGINT NOT NULL PRIMARY KEY,
        incarnation TEXT NOT NULL,
        position BIGINT NOT NULL,
        event TEXT NOT NULL,
        at BIGINT NOT NULL,
        filled BIGINT NOT NULL
    )",
    "CREATE TABLE parked (
        tenant UUID NOT NULL PRIMARY KEY,
        partition BIGINT NOT NULL,
        position BIGINT NOT NULL,
        at BIGINT NOT NULL,
        reason TEXT NOT NULL,
        taken_out BIGINT NOT NULL DEFAULT 0
    ) /* operators */",
];

/// A column that tables of an earlier version lack, and what adds it. It is 1 where everything of
/// the tenant was taken out, which is not for somebody to look at but for a worker to replay.
const TAKEN_OUT: [&str; 3] =
    ["parked", "taken_out", "ALTER TABLE parked ADD COLUMN taken_out BIGINT NOT NULL DEFAULT 0"];

/// How many partitions that nobody fills wait to be taken up: 64; more are found again.
const NEGLECTED_MAX: usize = 64;

/// How far a partition is, as far as this process knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub applied: Option<Place>,
    pub stopped: Option<Halt>,
}

/// Why nothing more of a partition is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// It is tried again.
    Passing(String),
    /// Nothing is tried until somebody has looked.
    ForGood(Ended),
}

/// Why trying again cannot help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Ended {
    /// Tables and log do not belong together.
    #[error("it does not belong to this log: {0}; rebuild it")]
    NotOurLog(String),
    /// The log cannot be read on.
    #[error("{0}")]
    LogLost(String),
    /// The tables are not those that our statements are for.
    #[error("{0}")]
    Unusable(String),
}

impl Halt {
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Passing(reason) => reason.clone(),
            Self::ForGood(ended) => ended.to_string(),
        }
    }
}

impl Ended {
    /// As it is said to whoever waits for tables of `model`.
    pub(crate) fn into_error(self, model: Model) -> EngineError {
        match self {
            Self::NotOurLog(reason) => EngineError::NotOurLog { model, reason },
            Self::LogLost(reason) => EngineError::LogLost { model, reason },
            Self::Unusable(reason) => EngineError::Unusable { model, reason },
        }
    }
}

/// One generation of one model.
pub(crate) struct TableSet {
    pub model: Model,
    pub generation: u64,
    pub readers: Readers,
    /// What is to be done beside the transactions.
    pub upkeep: Upkeep,
    tables: Tables,
    writer: tokio::sync::Mutex<Connection>,
    progress: watch::Sender<Vec<Progress>>,
    /// Has workers look at the tables anew: how often the connection that writes was made again.
    anew: watch::Sender<u64>,
    /// The partitions that others are to fill and do not, and where they have been left.
    neglected: broadcast::Sender<(Partition, Position)>,
    /// By partition, the end of the log that has to be reached before the set is filled.
    to_fill: Mutex<BTreeMap<Partition, Position>>,
    filling: AtomicBool,
    /// Held while this process settles it.
    settling: tokio::sync::Mutex<()>,
    live: AtomicBool,
    retired: AtomicBool,
    /// Whether it was filled from another log than this process follows.
    foreign: bool,
}

impl fmt::Debug for TableSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableSet({} generation {})", self.model, self.generation)
    }
}

impl TableSet {
    /// Opens the set, or creates it with every partition at its beginning.
    pub(crate) async fn open(
        database: &Database,
        model: Model,
        generation: u64,
        log: &dyn event_log::EventLog,
        readers: Bounds,
    ) -> Result<Self, EngineError> {
        let failed = |it| EngineError::storage(model, it);
        let made = Self::make(database, model, generation, log, readers).await;
        let mut set = made.map_err(failed)?;
        if set.stage() == Stage::Filling {
            for partition in (0..log.partitions()).map(Partition) {
                let end = log.end(partition).await?;
                // Nobody waits for one that has nothing, so nothing may depend on its worker.
                if end > Position::START {
                    let to_fill = set.to_fill.get_mut().unwrap_or_else(PoisonError::into_inner);
                    to_fill.insert(partition, end);
                }
            }
            let writer = set.writer.get_mut();
            store::set_durability(writer, Durability::Disposable).await.map_err(failed)?;
        }
        Ok(set)
    }

    async fn make(
        database: &Database,
        model: Model,
        generation: u64,
        log: &dyn event_log::EventLog,
        readers: Bounds,
    ) -> Result<Self, StoreError> {
        let tables = database.place(set_name(model, generation));
        let mut writer = tables.connect(Access::Write).await?;
        create_tables(&mut writer, model).await?;
        // Only what is missing: to find out whether that is so, an insertion would wait for whoever
        // is moving a checkpoint just now, who may be paused.
        let there = Sql::new("SELECT partition FROM checkpoints").fetch(&mut writer).await?;
        let there = there.iter().map(|it| it.number(0)).collect::<Result<BTreeSet<u32>, _>>()?;
        for partition in (0..log.partitions()).filter(|it| !there.contains(it)) {
            let mut sql = Sql::new(
                "INSERT INTO checkpoints (partition, incarnation, position, event, at, filled)
                VALUES (",
            );
            sql.bind(partition).push(", ").bind(log.incarnation()).push(", ").bind(NOWHERE);
            sql.push(", '', 0, (SELECT coalesce(max(filled), 0) FROM checkpoints))");
            sql.push(" ON CONFLICT DO NOTHING");
            sql.execute(&mut writer).await?;
        }
        let mut set = Self {
            model,
            generation,
            readers: Readers::new(tables.clone(), readers),
            upkeep: Upkeep::of(tables.clone()),
            tables,
            writer: tokio::sync::Mutex::new(writer),
            progress: watch::Sender::new(Vec::new()),
            anew: watch::Sender::new(0),
            neglected: broadcast::Sender::new(NEGLECTED_MAX),
            to_fill: Mutex::default(),
            filling: AtomicBool::new(true),
            settling: tokio::sync::Mutex::default(),
            live: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            foreign: false,
        };
        for partition in 0..log.partitions() {
            let checkpoint = set.checkpoint(Partition(partition)).await?;
            set.note_stage(checkpoint.stage);
            set.foreign |= checkpoint.incarnation != log.incarnation();
            let progress = Progress { applied: checkpoint.place, stopped: None };
            set.progress.send_modify(|it| it.push(progress));
        }
        Ok(set)
    }

    /// What is asked of the checkpoints of several sets at a time.
    pub(crate) fn checkpoints_table(&self) -> String {
        self.tables.qualified("checkpoints")
    }

    /// The connection that writes, for one transaction.
    pub(crate) async fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().await
    }

    /// Has the database know that this process uses the set. Whoever writes just now finds out by
    /// itself if it has forgotten.
    pub(crate) async fn hold(&self) -> Result<(), StoreError> {
        let Ok(mut writer) = self.writer.try_lock() else { return Ok(()) };
        let remade = store::hold(&mut writer).await?;
        self.anew.send_if_modified(|it| std::mem::replace(it, remade) != remade);
        Ok(())
    }

    /// Changes when the database may have lost the last transactions, as it may in a crash, and
    /// when the set is filled, since tenants may have been taken out for that.
    pub(crate) fn anew(&self) -> watch::Receiver<u64> {
        self.anew.subscribe()
    }

    /// Has whoever follows the set here fill `partition`, which others have left at `at`.
    pub(crate) fn neglected(&self, partition: Partition, at: Position) {
        // Whoever comes later hears of it again.
        let _ = self.neglected.send((partition, at));
    }

    /// The partitions that nobody else fills, as that is found out.
    pub(crate) fn neglects(&self) -> broadcast::Receiver<(Partition, Position)> {
        self.neglected.subscribe()
    }

    /// How far the set is on `partition`, by its own account.
    pub(crate) async fn checkpoint(&self, partition: Partition) -> Result<Checkpoint, StoreError> {
        let mut writer = self.writer().await;
        read_checkpoint(&mut writer, partition).await
    }

    /// The tenants that are parked.
    pub(crate) async fn parked(&self) -> Result<Vec<ParkedTenant>, StoreError> {
        let sql = "SELECT tenant, partition, position, at, reason FROM parked ORDER BY tenant";
        let mut reader = self.readers.acquire(TenantId::SYSTEM.0).await?;
        let rows = Sql::new(sql).fetch(&mut reader).await?;
        reader.finish();
        rows.iter().map(|it| parked_tenant(self.model, it)).collect()
    }

    /// Follows how far each partition is.
    pub(crate) fn progress(&self) -> watch::Receiver<Vec<Progress>> {
        self.progress.subscribe()
    }

    /// Says that `partition` was applied up to `place`; wakes who waits for it.
    pub(crate) fn reached(&self, partition: Partition, place: Place) {
        self.progress.send_if_modified(|it| {
            let Some(progress) = it.get_mut(partition.0 as usize) else { return false };
            // Word of it may come twice: from the worker here, and out of the tables.
            let known = progress.applied.as_ref().is_some_and(|it| it.position >= place.position);
            if !known {
                progress.applied = Some(place);
            }
            !known
        });
    }

    /// Says how far `partition` is by the tables, which may be less than they once were.
    pub(crate) fn found(&self, partition: Partition, place: Option<&Place>) {
        let reached = |it: Option<&Place>| it.map_or(NOWHERE, |it| stored(it.position));
        self.progress.send_if_modified(|it| {
            let Some(progress) = it.get_mut(partition.0 as usize) else { return false };
            let is_less = reached(place) < reached(progress.applied.as_ref());
            if is_less {
                progress.applied = place.cloned();
            }
            is_less
        });
    }

    /// Says that nothing more of `partition` is applied, or that it goes on.
    pub(crate) fn stopped(&self, partition: Partition, halt: Option<Halt>) {
        self.note(partition, |it| it.stopped = halt);
    }

    /// Whether nothing more of `partition` can be applied here.
    pub(crate) fn has_ended(&self, partition: Partition) -> bool {
        let progress = self.progress.borrow();
        let stopped = progress.get(partition.0 as usize).and_then(|it| it.stopped.as_ref());
        matches!(stopped, Some(Halt::ForGood(_)))
    }

    fn note(&self, partition: Partition, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(|it| {
            if let Some(progress) = it.get_mut(partition.0 as usize) {
                change(progress);
            }
        });
    }

    /// How far each partition is known to be: the position after the last.
    pub(crate) fn known(&self) -> Vec<Position> {
        self.progress.borrow().iter().map(|it| after(it.applied.as_ref())).collect()
    }

    /// Takes note of what the tables say of `partition`, whoever wrote that, and answers whether
    /// the set is to be settled. They may say less than they once did, if the database has lost the
    /// last transactions; unless more was noted since they were asked, when it was `known` to be
    /// so far.
    pub(crate) fn learn(
        &self,
        partition: Partition,
        known: Position,
        checkpoint: Checkpoint,
    ) -> bool {
        self.note_stage(checkpoint.stage);
        let upto = after(checkpoint.place.as_ref());
        let to_settle = self.stage() == Stage::Filling && self.has_filled(partition, upto);
        self.progress.send_if_modified(|it| {
            let Some(progress) = it.get_mut(partition.0 as usize) else { return false };
            let noted = after(progress.applied.as_ref());
            let is_news = upto > noted || (upto < noted && noted == known);
            if is_news {
                progress.applied = checkpoint.place;
            }
            is_news
        });
        to_settle
    }

    /// Says that another generation takes the place of this one, and answers how far this one ever
    /// was: the position after the last, by partition. It stays so once that is committed.
    pub(crate) async fn close(
        &self,
        transaction: &mut Connection,
    ) -> Result<Vec<Position>, StoreError> {
        mark(transaction, CLOSED).await?;
        let sql = "SELECT position + 1 FROM checkpoints ORDER BY partition";
        let rows = Sql::new(sql).fetch(transaction).await?;
        rows.iter().map(|it| Ok(Position(it.count(0)?))).collect()
    }

    /// Notes that the tables say they were complete once.
    pub(crate) fn note_stage(&self, stage: Stage) {
        if stage == Stage::Filled && self.filling.swap(false, Ordering::AcqRel) {
            // Those of all partitions wait for it.
            self.progress.send_modify(|_| ());
            self.anew.send_modify(|_| ());
        }
    }

    /// How many positions it lacks before it was ever complete; none once it was. Until then it is
    /// in a state that no log was ever in, so nothing is to be read from it.
    pub(crate) fn unfilled(&self) -> Option<u64> {
        if self.stage() == Stage::Filled {
            return None;
        }
        let to_fill = self.to_fill.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = self.progress.borrow();
        let lacks = |(partition, end): (&Partition, &Position)| {
            let applied = progress.get(partition.0 as usize).and_then(|it| it.applied.as_ref());
            end.0.saturating_sub(applied.map_or(0, |it| it.position.next().0))
        };
        Some(to_fill.iter().map(lacks).sum())
    }

    /// The end of what `partition` lacks before the set is filled, if it lacks anything.
    pub(crate) fn lacks(&self, partition: Partition) -> Option<Position> {
        let to_fill = self.to_fill.lock().unwrap_or_else(PoisonError::into_inner);
        to_fill.get(&partition).copied()
    }

    /// Whether it was ever complete, as far as this process knows. If another settles the set, the
    /// comparison of the checkpoint tells whoever writes.
    pub(crate) fn stage(&self) -> Stage {
        if self.filling.load(Ordering::Acquire) { Stage::Filling } else { Stage::Filled }
    }

    /// Whether no partition lacks anything any more.
    fn has_filled(&self, partition: Partition, upto: Position) -> bool {
        let mut to_fill = self.to_fill.lock().unwrap_or_else(PoisonError::into_inner);
        if to_fill.get(&partition).is_some_and(|end| *end <= upto) {
            to_fill.remove(&partition);
        }
        // What follows another log cannot judge that.
        to_fill.is_empty() && !self.foreign
    }

    /// Whether it was filled from another log than this process follows.
    pub(crate) fn is_foreign(&self) -> bool {
        self.foreign
    }

    pub(crate) fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }

    pub(crate) fn make_live(&self) {
        self.live.store(true, Ordering::Release);
    }

    /// Removes the tables once nobody reads them any more.
    pub(crate) fn retire(&self) {
        self.live.store(false, Ordering::Release);
        self.retired.store(true, Ordering::Release);
        // Who waits for it to show something waits in vain.
        self.progress.send_modify(|_| ());
    }
}

impl Drop for TableSet {
    fn drop(&mut self) {
        if self.retired.load(Ordering::Acquire) {
            self.tables.remove();
        }
    }
}

/// Reads one row of `parked`, its columns in the order of the table.
pub(crate) fn parked_tenant(model: Model, row: &store::Row) -> Result<ParkedTenant, StoreError> {
    Ok(ParkedTenant {
        model,
        tenant: TenantId(row.uuid(0)?),
        partition: Partition(row.number(1)?),
        position: Position(row.count(2)?),
        recorded_at: row.time(3)?,
        reason: row.text(4)?,
    })
}

/// What a generation is called.
pub(crate) fn set_name(model: Model, generation: u64) -> String {
    format!("{model}-v{}-g{generation}", model.schema().version)
}

async fn create_tables(connection: &mut Connection, model: Model) -> Result<(), StoreError> {
    if are_there(connection).await? {
        // Then nobody who makes others is waited for.
        return Ok(());
    }
    let mut transaction = store::begin(connection).await?;
    store::take_turns(&mut transaction).await?;
    if !store::has_table(&mut transaction, "checkpoints").await? {
        for table in OWN_TABLES.iter().chain(model.schema().tables) {
            store::define(&mut transaction, table).await?;
        }
    }
    let [table, column, addition] = TAKEN_OUT;
    if !store::has_column(&mut transaction, table, column).await? {
        store::define(&mut transaction, addition).await?;
    }
    transaction.commit().await
}

/// Whether all tables are there: they are made together.
async fn are_there(connection: &mut Connection) -> Result<bool, StoreError> {
    let [table, column, _] = TAKEN_OUT;
    Ok(store::has_table(connection, "checkpoints").await?
        && store::has_column(connection, table, column).await?)
}
