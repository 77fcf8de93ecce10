//! One generation of one model: where it is, its connections, how far it is.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use domain::id::TenantId;
use event_log::{Partition, Position};
use tokio::sync::{MutexGuard, watch};

use crate::engine::EngineError;
use crate::engine::live::Live;
use crate::engine::status::ParkedTenant;
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
        at BIGINT NOT NULL
    )",
    "CREATE TABLE parked (
        tenant UUID NOT NULL PRIMARY KEY,
        partition BIGINT NOT NULL,
        position BIGINT NOT NULL,
        at BIGINT NOT NULL,
        reason TEXT NOT NULL
    ) /* operators */",
];

/// What stands for the position of a partition of which nothing was applied yet.
const NOWHERE: i64 = -1;

/// The last record that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub position: Position,
    /// The event's id, as the record has it.
    pub event: String,
    pub at: DateTime<Utc>,
}

/// How far a partition is, as far as this process knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub applied: Option<Place>,
    pub stopped: Option<String>,
}

/// Whether a set was ever complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has no durable rows, no readers' indexes and nothing yet that is derived for them: if
    /// the process ends, it is made again.
    Filling,
    /// It is as durable and as fast to read as it gets.
    Filled,
}

/// One generation of one model.
pub(crate) struct TableSet {
    pub model: Model,
    pub generation: u64,
    pub readers: Readers,
    tables: Tables,
    writer: tokio::sync::Mutex<Connection>,
    progress: watch::Sender<Vec<Progress>>,
    /// By partition, the end of the log that has to be reached before the set is filled.
    to_fill: Mutex<BTreeMap<Partition, Position>>,
    filling: AtomicBool,
    live: AtomicBool,
    retired: AtomicBool,
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
        stage: Stage,
    ) -> Result<Self, EngineError> {
        let failed = |it| EngineError::storage(model, it);
        let made = Self::make(database, model, generation, log, readers).await;
        let mut set = made.map_err(failed)?;
        if stage == Stage::Filling {
            for partition in (0..log.partitions()).map(Partition) {
                let end = log.end(partition).await?;
                // Nobody waits for one that has nothing, so nothing may depend on its worker.
                if end > Position::START {
                    let to_fill = set.to_fill.get_mut().unwrap_or_else(PoisonError::into_inner);
                    to_fill.insert(partition, end);
                }
            }
            set.filling = AtomicBool::new(true);
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
        for partition in 0..log.partitions() {
            let mut sql = Sql::new(
                "INSERT INTO checkpoints (partition, incarnation, position, event, at) VALUES (",
            );
            sql.bind(partition).push(", ").bind(log.incarnation()).push(", ").bind(NOWHERE);
            sql.push(", '', 0) ON CONFLICT DO NOTHING");
            sql.execute(&mut writer).await?;
        }
        let set = Self {
            model,
            generation,
            readers: Readers::new(tables.clone(), readers),
            tables,
            writer: tokio::sync::Mutex::new(writer),
            progress: watch::Sender::new(Vec::new()),
            to_fill: Mutex::default(),
            filling: AtomicBool::new(false),
            live: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        };
        for partition in 0..log.partitions() {
            let checkpoint = set.checkpoint(Partition(partition)).await?;
            let progress = Progress { applied: checkpoint.place, stopped: None };
            set.progress.send_modify(|it| it.push(progress));
        }
        Ok(set)
    }

    /// The connection that writes, for one transaction.
    pub(crate) async fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().await
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
        self.note(partition, |it| it.applied = Some(place));
    }

    /// Says that nothing more of `partition` will be applied.
    pub(crate) fn stopped(&self, partition: Partition, reason: Option<String>) {
        self.note(partition, |it| it.stopped = reason);
    }

    fn note(&self, partition: Partition, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(|it| {
            if let Some(progress) = it.get_mut(partition.0 as usize) {
                change(progress);
            }
        });
    }

    /// Notes that everything of `partition` before `upto` is committed, and settles the set if
    /// that was all it lacked: derives what only readers need, makes their indexes, makes all
    /// durable and, where requests are answered from the set already, chooses it for ever.
    pub(crate) async fn committed(
        &self,
        partition: Partition,
        upto: Position,
        live: &Live,
    ) -> Result<(), StoreError> {
        if self.stage() == Stage::Filling && self.has_filled(partition, upto) {
            return self.settle(live).await;
        }
        Ok(())
    }

    /// Does without the rest of `partition`, which cannot be read: those of others need not wait
    /// for it. Settles the set if that was all it lacked.
    pub(crate) async fn forgo(&self, partition: Partition, live: &Live) -> Result<(), StoreError> {
        self.committed(partition, Position(u64::MAX), live).await
    }

    async fn settle(&self, live: &Live) -> Result<(), StoreError> {
        let mut writer = self.writer().await;
        if self.stage() == Stage::Filled {
            return Ok(());
        }
        self.model.derive(&mut writer).await?;
        for index in self.model.schema().indexes {
            store::define(&mut writer, index).await?;
        }
        store::gather_statistics(&mut writer).await?;
        store::set_durability(&mut writer, Durability::Ordered).await?;
        let last = Sql::new("UPDATE checkpoints SET at = at");
        store::make_durable(&mut writer, last).await?;
        if self.is_live() {
            live.choose(self.model, self.generation).await?;
        }
        self.filling.store(false, Ordering::Release);
        // Those of other partitions wait for it too.
        self.progress.send_modify(|_| ());
        Ok(())
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

    /// Whether it was ever complete. That changes only while nobody writes: whoever holds the
    /// writer can rely on it.
    pub(crate) fn stage(&self) -> Stage {
        if self.filling.load(Ordering::Acquire) { Stage::Filling } else { Stage::Filled }
    }

    /// Whether no partition lacks anything any more.
    fn has_filled(&self, partition: Partition, upto: Position) -> bool {
        let mut to_fill = self.to_fill.lock().unwrap_or_else(PoisonError::into_inner);
        if to_fill.get(&partition).is_some_and(|end| *end <= upto) {
            to_fill.remove(&partition);
        }
        to_fill.is_empty()
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

/// How far a set is on one partition, and of which log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub incarnation: String,
    /// None before the first event.
    pub place: Option<Place>,
}

impl Checkpoint {
    /// The position as it is stored.
    pub(crate) fn stored_position(&self) -> i64 {
        self.place.as_ref().map_or(NOWHERE, |it| stored(it.position))
    }
}

/// A position as it is stored.
pub(crate) fn stored(position: Position) -> i64 {
    i64::try_from(position.0).expect("no log reaches 2^63 positions")
}

/// Reads the checkpoint of `partition`.
pub(crate) async fn read_checkpoint(
    connection: &mut Connection,
    partition: Partition,
) -> Result<Checkpoint, StoreError> {
    let mut sql =
        Sql::new("SELECT incarnation, position, event, at FROM checkpoints WHERE partition = ");
    sql.bind(partition.0);
    let row = sql.fetch_optional(connection).await?;
    let row = row.ok_or(StoreError::Database(sqlx::Error::RowNotFound))?;
    let place = match row.integer(1)? {
        NOWHERE => None,
        _ => {
            Some(Place { position: Position(row.count(1)?), event: row.text(2)?, at: row.time(3)? })
        }
    };
    Ok(Checkpoint { incarnation: row.text(0)?, place })
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
    let mut transaction = store::begin(connection).await?;
    store::take_turns(&mut transaction).await?;
    if !store::has_table(&mut transaction, "checkpoints").await? {
        for table in OWN_TABLES.iter().chain(model.schema().tables) {
            store::define(&mut transaction, table).await?;
        }
    }
    transaction.commit().await
}
