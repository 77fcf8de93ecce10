//! Derives the tables that are searched from a catalog that has just been filled.
//!
//! Most entities are said something about again and again, and only what is true at the end is
//! searched: once for each, in the order of the tables, costs far less than every difference.

use std::ops::ControlFlow;

use domain::id::TenantId;

use super::derived::Indexed;
use super::write::{Differences, indexed};
use crate::store::{self, Connection, Sql, StoreError};

/// How many entities are derived at a time: 4,096.
const ENTITIES_MAX: usize = 4_096;

/// From how many bytes of documents on is enough at a time. In bytes: 16 MiB.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Entities between two pauses: 64, about ten milliseconds.
const STRIDE: usize = 64;

/// An entity by tenant and reference, with its document as it is stored.
type Stored = (TenantId, String, String);

/// Fills the tables that are searched. Doing so again changes nothing.
pub(crate) async fn derive(connection: &mut Connection) -> Result<(), StoreError> {
    for table in ["search", "words", "relations"] {
        Sql::new(&format!("DELETE FROM {table}")).execute(connection).await?;
    }
    let mut last: Option<(TenantId, String)> = None;
    loop {
        let part = after(connection, last.as_ref()).await?;
        let Some((tenant, reference, _)) = part.last() else { return Ok(()) };
        last = Some((*tenant, reference.clone()));
        let (mut all, nothing) = (Differences::default(), Indexed::default());
        for (index, (tenant, reference, document)) in part.iter().enumerate() {
            if index % STRIDE == STRIDE - 1 {
                tokio::task::yield_now().await;
            }
            all.add(*tenant, reference, &nothing, &indexed(document)?);
        }
        let mut transaction = store::begin(connection).await?;
        all.write(&mut transaction).await?;
        transaction.commit().await?;
    }
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
