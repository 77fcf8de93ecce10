//! What is made up for once tables have caught up for the first time: what only readers need, and
//! that all of it is durable.
//!
//! If something of that is refused, it is too late to say which event it was. Then everything of
//! the tenant is taken out again, and it is parked at its first event with a mark that says so;
//! the worker of its partition replays it, which finds the event that cannot be applied.

use std::time::Duration;

use domain::id::TenantId;
use event_log::{Attribute, EventLog, LogError, Partition, Position};
use tokio::sync::MutexGuard;
use tokio::time::error::Elapsed;

use super::TableSet;
use crate::engine::EngineError;
use crate::engine::checkpoint::{FILLED, Stage, mark, stored};
use crate::engine::fact::Unfit;
use crate::engine::fold::Trouble;
use crate::engine::live::Live;
use crate::model::Model;
use crate::store::{self, Connection, Durability, Sql, StoreError};

/// How long the log may take to say which partition has an event, for which everybody waits who
/// writes the tables. In seconds: 10; then it is tried again later.
const FINDING_TIME_MAX: Duration = Duration::from_secs(10);

impl TableSet {
    /// Notes that everything of `partition` before `upto` is committed, and settles the set if
    /// that was all it lacked: derives what only readers need, makes their indexes, makes all
    /// durable and, where requests are answered from the set already, chooses it for ever.
    pub(crate) async fn committed(
        &self,
        partition: Partition,
        upto: Position,
        log: &dyn EventLog,
        live: &Live,
    ) -> Result<(), Trouble> {
        if self.stage() == Stage::Filling && self.has_filled(partition, upto) {
            return self.settle(log, live, self.settling.lock().await).await;
        }
        Ok(())
    }

    /// Settles the set, unless this process is at it already.
    pub(crate) async fn settle_now(&self, log: &dyn EventLog, live: &Live) -> Result<(), Trouble> {
        match self.settling.try_lock() {
            Ok(turn) => self.settle(log, live, turn).await,
            Err(_) => Ok(()),
        }
    }

    /// A tenant of `partition`, or of any, of which everything was taken out and is to be
    /// replayed.
    pub(crate) async fn taken_out(
        &self,
        partition: Option<Partition>,
    ) -> Result<Option<TenantId>, StoreError> {
        let mut sql = Sql::new("SELECT tenant FROM parked WHERE taken_out = 1");
        if let Some(partition) = partition {
            sql.push(" AND partition = ").bind(partition.0);
        }
        sql.push(" ORDER BY tenant LIMIT 1");
        let row = sql.fetch_optional(&mut *self.writer().await).await?;
        row.map(|it| Ok(TenantId(it.uuid(0)?))).transpose()
    }

    /// Does without the rest of `partition`, which cannot be read: those of others need not wait
    /// for it. Settles the set if that was all it lacked.
    pub(crate) async fn forgo(
        &self,
        partition: Partition,
        log: &dyn EventLog,
        live: &Live,
    ) -> Result<(), Trouble> {
        self.committed(partition, Position(u64::MAX), log, live).await
    }

    async fn settle(
        &self,
        log: &dyn EventLog,
        live: &Live,
        _turn: MutexGuard<'_, ()>,
    ) -> Result<(), Trouble> {
        let mut writer = self.writer().await;
        if self.stage() == Stage::Filled {
            return Ok(());
        }
        self.settle_with(&mut store::over_tables(&mut writer), log, live).await
    }

    async fn settle_with(
        &self,
        writer: &mut Connection,
        log: &dyn EventLog,
        live: &Live,
    ) -> Result<(), Trouble> {
        if self.tables.is_shared() {
            let mut transaction = store::begin(writer).await?;
            // First, so that other processes wait, and see by the comparison that it is filled.
            if mark(&mut transaction, FILLED).await? {
                self.complete(&mut transaction, log).await?;
            }
            transaction.commit().await?;
        } else {
            self.complete(writer, log).await?;
        }
        store::set_durability(writer, Durability::Ordered).await?;
        let mut last = Sql::new("UPDATE checkpoints SET filled = ");
        last.bind(FILLED).push(" WHERE filled <= ").bind(FILLED);
        store::make_durable(writer, last).await?;
        if self.is_live() {
            live.choose(self.model, self.generation).await?;
        }
        self.note_stage(Stage::Filled);
        Ok(())
    }

    /// Makes what only readers need.
    async fn complete(
        &self,
        connection: &mut Connection,
        log: &dyn EventLog,
    ) -> Result<(), Trouble> {
        for it in self.model.derive(connection).await? {
            let finding = tokio::time::timeout(FINDING_TIME_MAX, self.partition_of(log, &it));
            let partition = finding.await.unwrap_or_else(|it| Err(unanswered(it).into()))?;
            let mut transaction = store::begin(connection).await?;
            self.model.take_out(&mut transaction, it.tenant).await?;
            park_emptied(&mut transaction, self.model, partition, &it).await?;
            transaction.commit().await?;
        }
        for index in self.model.schema().indexes {
            store::define(connection, index).await?;
        }
        store::gather_statistics(connection).await?;
        Ok(())
    }

    /// The partition that has an event.
    async fn partition_of(&self, log: &dyn EventLog, event: &Unfit) -> Result<Partition, Trouble> {
        let tenant = event.tenant.to_string();
        for partition in (0..log.partitions()).map(Partition) {
            if log.end(partition).await? <= event.position {
                continue;
            }
            let found = log.read(partition, event.position).await?.next(1).await?;
            let is_it = found.first().is_some_and(|it| {
                let of = it.record.attribute(Attribute::Tenant);
                it.position == event.position && of == tenant
            });
            if is_it {
                return Ok(partition);
            }
        }
        let reason = format!("no partition has an event of {tenant} at {}", event.position);
        Err(EngineError::NotOurLog { model: self.model, reason }.into())
    }
}

fn unanswered(elapsed: Elapsed) -> LogError {
    LogError::Storage {
        doing: "looking for the partition of an event".to_owned(),
        source: elapsed.into(),
    }
}

/// Parks a tenant of which everything was taken out, from `first` on, also if it was parked further
/// on before. The mark has the worker of `partition` replay it.
async fn park_emptied(
    transaction: &mut Connection,
    model: Model,
    partition: Partition,
    first: &Unfit,
) -> Result<(), StoreError> {
    tracing::warn!(
        projection.model = %model,
        projection.tenant = %first.tenant,
        projection.position = first.position.0,
        reason = %first.reason,
        "something of a tenant was refused; all of it is replayed, up to what is refused"
    );
    let mut sql = Sql::new(
        "INSERT INTO parked AS known (tenant, partition, position, at, reason, taken_out) VALUES (",
    );
    sql.bind(first.tenant.0).push(", ").bind(partition.0).push(", ").bind(stored(first.position));
    sql.push(", ").bind(first.at.timestamp_micros());
    sql.push(", ").bind(first.reason.as_str());
    sql.push(
        ", 1) ON CONFLICT (tenant) DO UPDATE SET
            position = CASE WHEN known.position < excluded.position
                THEN known.position ELSE excluded.position END,
            at = CASE WHEN known.position < excluded.position
                THEN known.at ELSE excluded.at END,
            reason = excluded.reason, taken_out = 1",
    );
    sql.execute(transaction).await?;
    Ok(())
}
