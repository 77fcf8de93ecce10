//! One batch, applied in one transaction: checkpoint first, then rows; unfit tenants parked.

use std::collections::{BTreeMap, HashSet};

use domain::id::TenantId;
use event_log::{Attribute, Partition, Position, Recorded};
use vault::Keyring;

use crate::engine::change::Change;
use crate::engine::checkpoint::{Checkpoint, Place, Stage, stored};
use crate::engine::each::Care;
use crate::engine::fact::{self, Fact, Read, Unfit};
use crate::engine::fold::{ApplyError, Trouble};
use crate::engine::table_set::TableSet;
use crate::model::Model;
use crate::store::{self, Connection, Sql, StoreError};

/// How an attempt to apply a batch ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is applied.
    Applied { place: Place, changes: Vec<Change> },
    /// Somebody else moved the checkpoint, or settled the set; nothing was changed.
    Overtaken,
}

/// Whether the checkpoint is compared before it is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Guard {
    #[default]
    CompareAndSet,
    /// For showing that the comparison is what keeps effects exactly-once.
    #[cfg(test)]
    SetOnly,
}

/// What is read of a batch before its transaction: facts in order, and events that cannot even
/// be read.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub facts: Vec<Fact>,
    pub unfit: Vec<Unfit>,
    pub last: Option<Place>,
}

/// Reads `records` as far as `model` wants them. Gives way to other tasks now and then.
pub(crate) async fn prepare(
    model: Model,
    partition: Partition,
    records: Vec<Recorded>,
    keyring: &Keyring,
) -> Result<Prepared, Trouble> {
    /// Records between two pauses: 256, about a millisecond.
    const STRIDE: usize = 256;

    let last = records.last().map(place_of).transpose();
    let last = last.map_err(|(position, reason)| fact::damaged(partition, position, reason))?;
    let (mut facts, mut unfit) = (Vec::with_capacity(records.len()), Vec::new());
    for (index, recorded) in records.into_iter().enumerate() {
        if index % STRIDE == STRIDE - 1 {
            tokio::task::yield_now().await;
        }
        match Fact::read(model, partition, recorded, keyring).await? {
            Read::Fact(fact) => facts.push(*fact),
            Read::Nothing => (),
            Read::Unfit(it) => unfit.push(it),
        }
    }
    Ok(Prepared { facts, unfit, last })
}

fn place_of(recorded: &Recorded) -> Result<Place, (Position, String)> {
    let at = fact::time(&recorded.record).map_err(|it| (recorded.position, it))?;
    let event = recorded.record.attribute(Attribute::Id).to_owned();
    Ok(Place { position: recorded.position, event, at })
}

/// Applies `prepared` if the checkpoint of `partition` still is `expected`.
pub(crate) async fn apply(
    set: &TableSet,
    keyring: &Keyring,
    partition: Partition,
    expected: &Checkpoint,
    prepared: Prepared,
    guard: Guard,
) -> Result<Outcome, ApplyError> {
    let Prepared { mut facts, unfit, last } = prepared;
    let Some(next) = last else { return Ok(Outcome::Overtaken) };
    let (mut unfit, mut care) = (first_of_each(unfit), Care::Whole);
    let mut writer = set.writer().await;
    // Once, unless an event turns out to be unfit: then again from the start without it and
    // whatever its tenant did after it. Cheaper than a savepoint in every transaction.
    loop {
        let mut transaction = store::begin(&mut writer).await?;
        // Compare-and-set first: a second worker finds no row, rolls back and leaves.
        let stage = set.stage();
        if !move_checkpoint(&mut transaction, partition, expected, stage, &next, guard).await? {
            return Ok(Outcome::Overtaken);
        }
        let parked = parked_tenants(&mut transaction).await?;
        facts.retain(|it| {
            !parked.contains(&it.tenant)
                && unfit.get(&it.tenant).is_none_or(|unfit| it.position < unfit.position)
        });
        match care.apply(set.model, keyring, &mut transaction, &mut facts, stage).await {
            Ok((changes, refused)) => {
                let unfit = first_of_each(unfit.into_values().chain(refused));
                for it in unfit.values().filter(|it| !parked.contains(&it.tenant)) {
                    park(&mut transaction, set.model, partition, it).await?;
                }
                transaction.commit().await?;
                return Ok(Outcome::Applied { place: next, changes });
            }
            Err(ApplyError::Unfit(found)) => {
                transaction.rollback().await?;
                unfit = first_of_each(unfit.into_values().chain([found]));
            }
            Err(error) if care == Care::Whole && error.is_refusal() => {
                transaction.rollback().await?;
                care = Care::Each;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The first unfit event of each tenant.
fn first_of_each(unfit: impl IntoIterator<Item = Unfit>) -> BTreeMap<TenantId, Unfit> {
    let mut first: BTreeMap<TenantId, Unfit> = BTreeMap::new();
    for it in unfit {
        let known = first.get(&it.tenant);
        if known.is_none_or(|known| it.position < known.position) {
            first.insert(it.tenant, it);
        }
    }
    first
}

async fn move_checkpoint(
    transaction: &mut Connection,
    partition: Partition,
    expected: &Checkpoint,
    stage: Stage,
    next: &Place,
    guard: Guard,
) -> Result<bool, StoreError> {
    let mut sql = Sql::new("UPDATE checkpoints SET position = ");
    sql.bind(stored(next.position)).push(", event = ").bind(next.event.as_str());
    sql.push(", at = ").bind(next.at.timestamp_micros());
    sql.push(" WHERE partition = ").bind(partition.0);
    match guard {
        Guard::CompareAndSet => {
            let event = expected.place.as_ref().map_or("", |it| it.event.as_str());
            sql.push(" AND incarnation = ").bind(expected.incarnation.as_str());
            sql.push(" AND position = ").bind(expected.stored_position());
            sql.push(" AND event = ").bind(event);
            sql.push(" AND filled = ").bind(stage.stored());
        }
        #[cfg(test)]
        Guard::SetOnly => (),
    }
    Ok(sql.execute(transaction).await? == 1)
}

/// Whose events wait since an earlier batch.
async fn parked_tenants(transaction: &mut Connection) -> Result<HashSet<TenantId>, StoreError> {
    let rows = Sql::new("SELECT tenant FROM parked").fetch(transaction).await?;
    rows.iter().map(|it| Ok(TenantId(it.uuid(0)?))).collect()
}

/// Parks the tenant of an event that cannot be applied.
pub(crate) async fn park(
    transaction: &mut Connection,
    model: Model,
    partition: Partition,
    unfit: &Unfit,
) -> Result<(), StoreError> {
    tracing::error!(
        projection.model = %model,
        projection.tenant = %unfit.tenant,
        projection.position = unfit.position.0,
        reason = %unfit.reason,
        "an event cannot be applied; the tenant is parked until it is resumed"
    );
    let mut sql = Sql::new("INSERT INTO parked (tenant, partition, position, at, reason) VALUES (");
    sql.bind(unfit.tenant.0).push(", ").bind(partition.0).push(", ").bind(stored(unfit.position));
    sql.push(", ").bind(unfit.at.timestamp_micros());
    sql.push(", ").bind(unfit.reason.as_str()).push(")");
    sql.execute(transaction).await?;
    Ok(())
}
