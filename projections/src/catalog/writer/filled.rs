//! Derives the tables that are searched from a catalog that has just been filled.
//!
//! Most entities are said something about again and again, and only what is true at the end is
//! searched: once for each, in the order of the tables, costs far less than every difference.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use domain::id::TenantId;
use event_log::Position;

use super::derived::Indexed;
use super::write::{Differences, indexed};
use crate::engine::fact::Unfit;
use crate::engine::fold::{ApplyError, caught};
use crate::store::{self, Connection, Meaning, Sql, StoreError};

/// How many entities are derived at a time: 4,096.
const ENTITIES_MAX: usize = 4_096;

/// From how many bytes of documents on is enough at a time. In bytes: 16 MiB.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Entities between two pauses: 64, about ten milliseconds.
const STRIDE: usize = 64;

/// The tables of which every row follows from the entities of its tenant.
const SEARCHED: [&str; 3] = ["search", "words", "relations"];

/// An entity by tenant and reference, with its document as it is stored.
type Stored = (TenantId, String, String);

/// Fills the tables that are searched. Doing so again changes nothing. Answers with the first
/// event of each tenant of which something cannot be derived; its rows are to be taken out.
pub(crate) async fn derive(connection: &mut Connection) -> Result<Vec<Unfit>, ApplyError> {
    for table in SEARCHED {
        Sql::new(&format!("DELETE FROM {table}")).execute(connection).await?;
    }
    let mut refused = BTreeMap::new();
    let mut last: Option<(TenantId, String)> = None;
    loop {
        let part = after(connection, last.as_ref()).await?;
        let Some((tenant, reference, _)) = part.last() else { break };
        last = Some((*tenant, reference.clone()));
        match caught(write(connection, &part)).await {
            Err(error) if error.is_refusal() => (),
            done => {
                done?;
                continue;
            }
        }
        for own in part.chunk_by(|one, next| one.0 == next.0) {
            let Err(error) = caught(write(connection, own)).await else { continue };
            let Meaning::Refused(reason) = error.meaning() else { return Err(error) };
            refused.insert(own[0].0, reason);
        }
    }
    let mut unfit = Vec::with_capacity(refused.len());
    for (tenant, reason) in refused {
        unfit.extend(first(connection, tenant, reason).await?);
    }
    Ok(unfit)
}

/// Takes out whatever was applied of `tenant`, but its locations: they become the same again when
/// its events are applied from the first that is about an entity.
pub(crate) async fn take_out(
    connection: &mut Connection,
    tenant: TenantId,
) -> Result<(), StoreError> {
    for table in SEARCHED.into_iter().chain(["entities", "versions", "subjects"]) {
        let mut sql = Sql::new(&format!("DELETE FROM {table} WHERE tenant = "));
        sql.bind(tenant.0);
        sql.execute(connection).await?;
    }
    Ok(())
}

/// Writes what follows from `part`, or nothing of it.
async fn write(connection: &mut Connection, part: &[Stored]) -> Result<(), ApplyError> {
    let (mut all, nothing) = (Differences::default(), Indexed::default());
    for (index, (tenant, reference, document)) in part.iter().enumerate() {
        if index % STRIDE == STRIDE - 1 {
            tokio::task::yield_now().await;
        }
        all.add(*tenant, reference, &nothing, &indexed(document)?);
    }
    let mut transaction = store::begin(connection).await?;
    match all.write(&mut transaction).await {
        Ok(()) => Ok(transaction.commit().await?),
        Err(error) => {
            transaction.rollback().await?;
            Err(error.into())
        }
    }
}

/// The first event about an entity of `tenant`, which cannot be applied for this reason.
async fn first(
    connection: &mut Connection,
    tenant: TenantId,
    reason: String,
) -> Result<Option<Unfit>, StoreError> {
    let mut sql = Sql::new("SELECT position, at FROM versions WHERE tenant = ");
    sql.bind(tenant.0).push(" ORDER BY position LIMIT 1");
    let row = sql.fetch_optional(connection).await?;
    let unfit = |row: store::Row| {
        let (position, at) = (Position(row.count(0)?), row.time(1)?);
        Ok(Unfit { tenant, position, at, reason })
    };
    row.map(unfit).transpose()
}

/// The next entities, in order.
async fn after(
    connection: &mut Connection,
    last: Option<&(TenantId, String)>,
) -> Result<Vec<Stored>, StoreError> {
    let mut sql = Sql::new("SELECT tenant, reference, document FROM entities");
    if let Some((tenant, reference)) = last {
        sql.push(" WHERE (tenant, reference) > (").bind(tenant.0);
        sql.push(", ").bind(reference.as_str()).push(")");
    }
    sql.push(" ORDER BY tenant, reference LIMIT ");
    sql.bind(i64::try_from(ENTITIES_MAX).expect("it is small"));
    let (mut part, mut bytes) = (Vec::new(), 0);
    let reading = sql.each(connection, |row| {
        let stored = (TenantId(row.uuid(0)?), row.text(1)?, row.text(2)?);
        bytes += stored.2.len();
        part.push(stored);
        let full = bytes >= BYTES_MAX;
        Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    reading.await?;
    Ok(part)
}
