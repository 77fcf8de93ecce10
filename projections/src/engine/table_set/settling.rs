//! What is made up for once tables have caught up for the first time: what only readers need, and
//! that all of it is durable.
//!
//! If the database refuses something of that, it is too late to say which event it was. Then
//! everything of the tenant is taken out again, and it is parked at its first event; whoever
//! settled resumes it, which finds the event that cannot be applied.

use domain::id::TenantId;
use event_log::{Attribute, EventLog, Partition, Position};
use tokio::sync::MutexGuard;

use super::TableSet;
use crate::engine::EngineError;
use crate::engine::batch;
use crate::engine::checkpoint::{FILLED, Stage, mark};
use crate::engine::fact::Unfit;
use crate::engine::fold::Trouble;
use crate::engine::live::Live;
use crate::store::{self, Connection, Durability, Sql};

/// The tenants that are to be resumed, since something of them was refused too late.
pub(crate) type TakenOut = Vec<TenantId>;

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
    ) -> Result<TakenOut, Trouble> {
        if self.stage() == Stage::Filling && self.has_filled(partition, upto) {
            return self.settle(log, live, self.settling.lock().await).await;
        }
        Ok(TakenOut::new())
    }

    /// Settles the set, unless this process is at it already.
    pub(crate) async fn settle_now(
        &self,
        log: &dyn EventLog,
        live: &Live,
    ) -> Result<TakenOut, Trouble> {
        match self.settling.try_lock() {
            Ok(turn) => self.settle(log, live, turn).await,
            Err(_) => Ok(TakenOut::new()),
        }
    }

    /// Does without the rest of `partition`, which cannot be read: those of others need not wait
    /// for it. Settles the set if that was all it lacked.
    pub(crate) async fn forgo(
        &self,
        partition: Partition,
        log: &dyn EventLog,
        live: &Live,
    ) -> Result<TakenOut, Trouble> {
        self.committed(partition, Position(u64::MAX), log, live).await
    }

    async fn settle(
        &self,
        log: &dyn EventLog,
        live: &Live,
        _turn: MutexGuard<'_, ()>,
    ) -> Result<TakenOut, Trouble> {
        let mut writer = self.writer().await;
        let mut taken_out = TakenOut::new();
        if self.stage() == Stage::Filled {
            return Ok(taken_out);
        }
        if self.tables.is_shared() {
            let mut transaction = store::begin(&mut writer).await?;
            // First, so that other processes wait, and see by the comparison that it is filled.
            if mark(&mut transaction, FILLED).await? {
                taken_out = self.complete(&mut transaction, log).await?;
            }
            transaction.commit().await?;
        } else {
            taken_out = self.complete(&mut writer, log).await?;
        }
        store::set_durability(&mut writer, Durability::Ordered).await?;
        let mut last = Sql::new("UPDATE checkpoints SET filled = ");
        last.bind(FILLED).push(" WHERE filled <= ").bind(FILLED);
        store::make_durable(&mut writer, last).await?;
        if self.is_live() {
            live.choose(self.model, self.generation).await?;
        }
        self.note_stage(Stage::Filled);
        Ok(taken_out)
    }

    /// Makes what only readers need.
    async fn complete(
        &self,
        connection: &mut Connection,
        log: &dyn EventLog,
    ) -> Result<TakenOut, Trouble> {
        let mut taken_out = TakenOut::new();
        for it in self.model.derive(connection).await? {
            let partition = self.partition_of(log, &it).await?;
            let mut transaction = store::begin(connection).await?;
            self.model.take_out(&mut transaction, it.tenant).await?;
            batch::park(&mut transaction, self.model, partition, &it).await?;
            transaction.commit().await?;
            taken_out.push(it.tenant);
        }
        for index in self.model.schema().indexes {
            store::define(connection, index).await?;
        }
        store::gather_statistics(connection).await?;
        Ok(taken_out)
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
