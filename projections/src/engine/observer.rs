//! Learns from a database that several processes share what the others have written there.
//!
//! One statement asks for the checkpoints of all sets, and which sets are live: now and then, and
//! often for the partitions that somebody waits for. It asks, rather than being notified, since
//! notifications make all commits of a database wait for each other, and are lost with the
//! connection; docs/decisions/0008-postgresql.md has the reasons.

use std::sync::{Arc, Weak};
use std::time::Duration;

use event_log::{Partition, Position};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::engine::checkpoint::checkpoint;
use crate::engine::generations::Generations;
use crate::engine::table_set::TableSet;
use crate::engine::teller::after;
use crate::engine::worker::Tools;
use crate::model::Model;
use crate::store::{Connection, HOLD_EVERY, Row, Sql, StoreError};

/// How often everything is looked at while nobody waits. In milliseconds: 250.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How often everything is looked at while somebody listens to changes. In milliseconds: 50.
const LISTEN_EVERY: Duration = Duration::from_millis(50);

/// How often the partitions that somebody waits for are looked at. In milliseconds: 5.
const LOOK_OFTEN: Duration = Duration::from_millis(5);

/// How long it waits at most after the database has failed. In seconds: 2.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The number that stands before a row of the list of live sets.
const LIVE: i64 = -1;

/// Looks at the database for one process.
pub(crate) struct Observer {
    generations: Weak<Generations>,
    tools: Tools,
    connection: Connection,
    /// When everything is to be looked at next.
    due: Instant,
    /// When the tables that are used here are to be held again.
    hold_due: Instant,
    pause: Duration,
}

impl Observer {
    pub(crate) fn new(
        generations: &Arc<Generations>,
        tools: Tools,
        connection: Connection,
    ) -> Self {
        let (due, hold_due, pause) = (Instant::now(), Instant::now(), LOOK_EVERY);
        Self { generations: Arc::downgrade(generations), tools, connection, due, hold_due, pause }
    }

    /// Looks until told to stop.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = self.look_on() => (),
            _ = stop.wait_for(|it| *it) => (),
        }
    }

    async fn look_on(&mut self) {
        loop {
            let only = self.turn().await;
            let Some(generations) = self.generations.upgrade() else { return };
            if only.is_none() {
                let listening = self.tools.told.somebody_listens();
                let every = if listening { LISTEN_EVERY } else { LOOK_EVERY };
                self.due = Instant::now() + every;
            }
            match self.look(&generations, only).await {
                Ok(()) => {
                    if std::mem::replace(&mut self.pause, LOOK_EVERY) > LOOK_EVERY {
                        self.tools.back.tell();
                    }
                }
                Err(error) => {
                    drop(generations);
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot see how far other processes are; trying again"
                    );
                    tokio::time::sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Waits until something is to be looked at: these partitions, or everything.
    async fn turn(&self) -> Option<Vec<Partition>> {
        let share = &self.tools.share;
        loop {
            let often = !share.waited_for().is_empty();
            let next = if often { Instant::now() + LOOK_OFTEN } else { self.due };
            tokio::select! {
                () = tokio::time::sleep_until(next.min(self.due)) => (),
                () = share.somebody_waits(), if !often => (),
            }
            if Instant::now() >= self.due {
                return None;
            }
            let partitions = share.waited_for();
            if !partitions.is_empty() {
                return Some(partitions);
            }
        }
    }

    async fn look(
        &mut self,
        generations: &Arc<Generations>,
        only: Option<Vec<Partition>>,
    ) -> Result<(), StoreError> {
        let sets = generations.sets();
        if Instant::now() >= self.hold_due {
            for set in &sets {
                set.hold().await?;
            }
            self.hold_due = Instant::now() + HOLD_EVERY;
        }
        let asked: Vec<_> = sets.iter().map(|it| (it, it.known())).collect();
        for row in question(&sets, only.as_deref()).fetch(&mut self.connection).await? {
            match row.integer(0)? {
                LIVE => self.compare(generations, &row)?,
                index => {
                    let found = usize::try_from(index).ok().and_then(|it| asked.get(it));
                    let (set, known) = found.expect("only the numbers of sets were asked for");
                    self.learn(set, known, &row)?;
                }
            }
        }
        Ok(())
    }

    /// Takes note of how far a set is, of which so much was `known` when that was asked.
    fn learn(&self, set: &Arc<TableSet>, known: &[Position], row: &Row) -> Result<(), StoreError> {
        let (partition, checkpoint) = (Partition(row.number(1)?), checkpoint(row, 2)?);
        let upto = after(checkpoint.place.as_ref());
        if Tools::is_told(set) {
            self.tools.told.visible(partition, upto);
        }
        let known = known.get(partition.0 as usize).copied().unwrap_or_default();
        let to_settle = set.learn(partition, known, checkpoint);
        if Tools::is_told(set) {
            self.tools.told.seen(partition, upto);
        }
        if to_settle {
            let (set, tools) = (set.clone(), self.tools.clone());
            tokio::spawn(async move {
                if let Err(error) = set.settle_now(tools.log.as_ref(), &tools.live).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(projection.model = %set.model, error, "not settled yet");
                }
            });
        }
        Ok(())
    }

    /// Goes over to another generation where another process has chosen it.
    fn compare(&self, generations: &Arc<Generations>, row: &Row) -> Result<(), StoreError> {
        let (version, name, generation) = (row.number(1)?, row.text(2)?, row.count(3)?);
        let model = name.parse::<Model>().ok().filter(|it| it.schema().version == version);
        if let Some(model) = model
            && generations.read_models().set(model).generation < generation
        {
            let (generations, tools) = (generations.clone(), self.tools.clone());
            tokio::spawn(async move { generations.adopt(model, generation, &tools).await });
        }
        Ok(())
    }
}

/// Asks for the checkpoints of `sets`, each with the number of its set; and, where everything is
/// asked for, for the generations that are live.
fn question(sets: &[Arc<TableSet>], only: Option<&[Partition]>) -> Sql {
    let mut sql = Sql::new("");
    for (index, set) in sets.iter().enumerate() {
        let between = if index > 0 { " UNION ALL " } else { "" };
        sql.push(&format!(
            "{between}SELECT CAST({index} AS BIGINT), partition, incarnation, position, event, at, \
             filled FROM {}",
            set.checkpoints_table()
        ));
        if let Some(only) = only {
            sql.push(" WHERE partition IN ").bind_list(only.iter().map(|it| it.0));
        }
    }
    if only.is_none() {
        sql.push(&format!(
            " UNION ALL SELECT CAST({LIVE} AS BIGINT), schema_version, model, generation, '', 0, 0 \
             FROM live"
        ));
    }
    sql
}
