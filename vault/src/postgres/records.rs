//! Records: one row each, changed by compare-and-set, several in one transaction.
//!
//! Whoever changes several locks their rows in the order of their names, so that nobody waits for
//! who waits for them; what removes those that have ended waits for nobody.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::id::TenantId;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{Connection as _, PgConnection, Postgres};

use super::PostgresVault;
use crate::port::{Change, Committed, PURGED_MAX, Record, RecordName, Records, VaultError, failed};
use crate::statements::{self, RecordColumns, instant};

/// What was renewed since it was looked for has not ended.
const PURGE: &str = "delete from records where ends_at <= $1 and ctid = any(array(
        select ctid from records where ends_at <= $1 limit $2 for update skip locked
    ))";

#[async_trait]
impl Records for PostgresVault {
    async fn get(
        &self,
        names: &[RecordName],
        now: DateTime<Utc>,
    ) -> Result<Vec<Option<Record>>, VaultError> {
        let read = self.call(async |connection| {
            let mut found = Vec::with_capacity(names.len());
            for name in names {
                let row: Option<RecordColumns> = sqlx::query_as(statements::RECORD)
                    .bind(name.tenant.0)
                    .bind(name.kind.name())
                    .bind(name.digest.as_slice())
                    .bind(instant(now))
                    .fetch_optional(&mut *connection)
                    .await?;
                found.push(row.map(statements::record));
            }
            Ok(found)
        });
        read.await.map_err(failed("reading records"))
    }

    async fn commit(
        &self,
        changes: &[Change],
        now: DateTime<Utc>,
    ) -> Result<Committed, VaultError> {
        let mut ordered: Vec<_> = changes.iter().collect();
        ordered.sort_by_key(|it| it.name());
        let committed = self.call(async |connection| try_commit(connection, &ordered, now).await);
        committed.await.map_err(failed("changing records"))
    }

    async fn purge(&self, now: DateTime<Utc>) -> Result<usize, VaultError> {
        let purge = sqlx::query(PURGE).bind(instant(now)).bind(PURGED_MAX as i64);
        let purged = self.call(async |connection| purge.execute(connection).await).await;
        let purged = purged.map_err(failed("removing records that have ended"))?;
        Ok(usize::try_from(purged.rows_affected()).unwrap_or(PURGED_MAX))
    }

    async fn remove_tenant(&self, tenant: TenantId) -> Result<(), VaultError> {
        let removal = sqlx::query(statements::REMOVE_RECORDS).bind(tenant.0);
        let removed = self.call(async |connection| removal.execute(connection).await).await;
        removed.map_err(failed("removing a tenant's records"))?;
        Ok(())
    }
}

async fn try_commit(
    connection: &mut PgConnection,
    changes: &[&Change],
    now: DateTime<Utc>,
) -> Result<Committed, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    for change in changes {
        if !make(&mut transaction, change, now).await? {
            transaction.rollback().await?;
            return Ok(Committed::Conflict);
        }
    }
    transaction.commit().await?;
    Ok(Committed::Whole)
}

/// Makes a change, unless the record is not as expected. Whoever else has changed it, and has not
/// ended yet, is waited for.
async fn make(
    connection: &mut PgConnection,
    change: &Change,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let now = instant(now);
    let query = match change {
        Change::Add(name, record) => put(named(statements::ADD_RECORD, *name), record).bind(now),
        Change::Replace(name, expected, record) => {
            let query = put(named(statements::REPLACE_RECORD, *name), record).bind(now);
            query.bind(expected.0.cast_signed())
        }
        Change::Remove(name, expected) => {
            let query = named(statements::REMOVE_RECORD, *name).bind(now);
            query.bind(expected.0.cast_signed())
        }
    };
    Ok(query.execute(connection).await?.rows_affected() == 1)
}

/// A statement whose first parameters name a record.
fn named(text: &'static str, name: RecordName) -> Query<'static, Postgres, PgArguments> {
    let query = sqlx::query(text).bind(name.tenant.0).bind(name.kind.name());
    query.bind(name.digest.to_vec())
}

/// The same, and the next ones are its state.
fn put(
    query: Query<'static, Postgres, PgArguments>,
    record: &Record,
) -> Query<'static, Postgres, PgArguments> {
    let query = query.bind(record.version.0.cast_signed()).bind(record.ends_at.map(instant));
    query.bind(record.sealed.to_vec())
}
