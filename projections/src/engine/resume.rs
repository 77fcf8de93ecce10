//! Replays what a parked tenant missed.

use domain::id::TenantId;
use event_log::{Partition, Position, Recorded};

use crate::engine::EngineError;
use crate::engine::batch;
use crate::engine::checkpoint::{read_checkpoint, stored};
use crate::engine::each::Care;
use crate::engine::fact::Unfit;
use crate::engine::fold::{ApplyError, Trouble};
use crate::engine::status::ParkedTenant;
use crate::engine::table_set::{TableSet, parked_tenant};
use crate::engine::worker::Tools;
use crate::store::{self, Connection, Sql, StoreError};

/// What became of one step.
enum Step {
    /// More is to be replayed.
    On,
    /// The tenant has caught up and is parked no more.
    Done,
    /// An event still cannot be applied.
    Stuck(ParkedTenant),
}

/// Replays the tenants of `partition` of which everything was taken out, since something of them
/// was refused too late. May be dropped, or fail, at any time: what is left to do stays marked.
pub(crate) async fn replay_taken_out(
    set: &TableSet,
    tools: &Tools,
    partition: Partition,
) -> Result<(), Trouble> {
    while let Some(tenant) = set.taken_out(Some(partition)).await? {
        match replay(set, tools, tenant).await {
            // Somebody else was faster with a step of it, or even with another generation.
            Err(Trouble::Final(EngineError::NotParked { .. })) => (),
            Err(Trouble::Final(EngineError::Replaced { .. })) => return Ok(()),
            done => {
                if let Some(stuck) = done? {
                    tracing::error!(
                        projection.model = %set.model,
                        projection.tenant = %stuck.tenant,
                        projection.position = stuck.position.0,
                        reason = %stuck.reason,
                        "an event cannot be applied; the tenant is parked until it is resumed"
                    );
                }
            }
        }
    }
    Ok(())
}

/// Replays what `tenant` missed in `set` until it has caught up or is stuck again.
pub(crate) async fn resume(
    set: &TableSet,
    tools: &Tools,
    tenant: TenantId,
) -> Result<Option<ParkedTenant>, EngineError> {
    replay(set, tools, tenant).await.map_err(|it| it.into_engine_error(set.model))
}

async fn replay(
    set: &TableSet,
    tools: &Tools,
    tenant: TenantId,
) -> Result<Option<ParkedTenant>, Trouble> {
    let not_parked = || EngineError::NotParked { model: set.model, tenant };
    let parked = read_parked(&mut *set.writer().await, set, tenant).await?;
    let mut parked = parked.ok_or_else(not_parked)?;
    let mut reader = tools.log.read(parked.partition, parked.position).await?;
    loop {
        let end = applied_upto(set, parked.partition).await?;
        // Reading on would wait for new records; those are the worker's once this is done.
        let records =
            if parked.position <= end { reader.next(tools.batch_max).await? } else { Vec::new() };
        match step(set, tools, &mut parked, records).await? {
            Step::On => (),
            Step::Done => return Ok(None),
            Step::Stuck(parked) => return Ok(Some(parked)),
        }
    }
}

/// The last position the worker has applied.
async fn applied_upto(set: &TableSet, partition: Partition) -> Result<Position, StoreError> {
    let checkpoint = set.checkpoint(partition).await?;
    Ok(checkpoint.place.map_or(Position::START, |it| it.position))
}

/// Applies `records` up to the checkpoint, in one transaction.
async fn step(
    set: &TableSet,
    tools: &Tools,
    parked: &mut ParkedTenant,
    records: Vec<Recorded>,
) -> Result<Step, Trouble> {
    let (tenant, partition) = (parked.tenant, parked.partition);
    let prepared = batch::prepare(set.model, partition, records, &tools.keyring).await?;
    let mut facts = prepared.facts;
    let mut unfit = prepared.unfit.into_iter().find(|it| it.tenant == tenant);
    let read = prepared.last.map_or(parked.position, |it| it.position.next());
    let mut care = Care::Whole;
    let mut writer = set.writer().await;
    loop {
        let mut transaction = store::begin(&mut writer).await?;
        // First, so that no worker of any process moves the checkpoint meanwhile, nor leaves out
        // what follows it; nobody settles the set, and nobody else resumes.
        hold_checkpoint(&mut transaction, partition).await?;
        if !claim(&mut transaction, parked).await? {
            return Err(EngineError::NotParked { model: set.model, tenant }.into());
        }
        let checkpoint = read_checkpoint(&mut transaction, partition).await?;
        if checkpoint.closed {
            return Err(EngineError::Replaced { model: set.model }.into());
        }
        let upto = checkpoint.place.map_or(Position::START, |it| it.position);
        let before = |it: &Unfit, position| position < it.position;
        facts.retain(|it| {
            let fits = unfit.as_ref().is_none_or(|unfit| before(unfit, it.position));
            it.tenant == tenant && it.position <= upto && fits
        });
        // As the tables say it: another process may have settled them.
        let (keyring, stage) = (&tools.keyring, checkpoint.stage);
        match care.apply(set.model, keyring, &mut transaction, &mut facts, stage).await {
            Ok((changes, refused)) => {
                let stuck = refused.into_iter().next().or(unfit);
                let stuck = stuck.filter(|it| it.position <= upto);
                let step = conclude(&mut transaction, parked, stuck, read, upto).await?;
                transaction.commit().await?;
                tools.tell(set, changes);
                return Ok(step);
            }
            Err(ApplyError::Unfit(found)) => {
                transaction.rollback().await?;
                unfit = Some(found);
            }
            Err(error) if care == Care::Whole && error.is_refusal() => {
                transaction.rollback().await?;
                care = Care::Each;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Notes how far the replay got: `read` is where it goes on, `upto` where it has to get.
async fn conclude(
    transaction: &mut Connection,
    parked: &mut ParkedTenant,
    stuck: Option<Unfit>,
    read: Position,
    upto: Position,
) -> Result<Step, StoreError> {
    if let Some(unfit) = stuck {
        park_again(transaction, parked, &unfit).await?;
        return Ok(Step::Stuck(parked.clone()));
    }
    if read > upto {
        let mut sql = Sql::new("DELETE FROM parked WHERE tenant = ");
        sql.bind(parked.tenant.0);
        sql.execute(transaction).await?;
        return Ok(Step::Done);
    }
    parked.position = read;
    let mut sql = Sql::new("UPDATE parked SET position = ");
    sql.bind(stored(read)).push(" WHERE tenant = ").bind(parked.tenant.0);
    sql.execute(transaction).await?;
    Ok(Step::On)
}

/// Keeps the checkpoint where it is until the end of the transaction.
async fn hold_checkpoint(
    transaction: &mut Connection,
    partition: Partition,
) -> Result<(), StoreError> {
    let mut sql = Sql::new("UPDATE checkpoints SET at = at WHERE partition = ");
    sql.bind(partition.0);
    sql.execute(transaction).await?;
    Ok(())
}

/// Takes the row for this transaction, if it is as it was read.
async fn claim(transaction: &mut Connection, parked: &ParkedTenant) -> Result<bool, StoreError> {
    let mut sql = Sql::new("UPDATE parked SET reason = reason WHERE tenant = ");
    sql.bind(parked.tenant.0).push(" AND position = ").bind(stored(parked.position));
    Ok(sql.execute(transaction).await? == 1)
}

async fn park_again(
    transaction: &mut Connection,
    parked: &mut ParkedTenant,
    unfit: &Unfit,
) -> Result<(), StoreError> {
    parked.position = unfit.position;
    parked.recorded_at = unfit.at;
    parked.reason.clone_from(&unfit.reason);
    let mut sql = Sql::new("UPDATE parked SET position = ");
    sql.bind(stored(unfit.position)).push(", at = ").bind(unfit.at.timestamp_micros());
    sql.push(", reason = ").bind(unfit.reason.as_str());
    sql.push(", taken_out = 0 WHERE tenant = ").bind(parked.tenant.0);
    sql.execute(transaction).await?;
    Ok(())
}

async fn read_parked(
    connection: &mut Connection,
    set: &TableSet,
    tenant: TenantId,
) -> Result<Option<ParkedTenant>, StoreError> {
    let mut sql =
        Sql::new("SELECT tenant, partition, position, at, reason FROM parked WHERE tenant = ");
    sql.bind(tenant.0);
    let row = sql.fetch_optional(connection).await?;
    row.map(|it| parked_tenant(set.model, &it)).transpose()
}
