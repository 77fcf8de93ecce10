//! Records: one row each, changed by compare-and-set, several in one transaction.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::id::TenantId;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};

use super::SqliteVault;
use crate::port::{Change, Committed, PURGED_MAX, Record, RecordName, Records, VaultError, failed};
use crate::statements::{self, RecordColumns, instant};

const PURGE: &str = "delete from records
    where rowid in (select rowid from records where ends_at <= $1 limit $2)";

#[async_trait]
impl Records for SqliteVault {
    async fn get(
        &self,
        names: &[RecordName],
        now: DateTime<Utc>,
    ) -> Result<Vec<Option<Record>>, VaultError> {
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let row: Option<RecordColumns> = sqlx::query_as(statements::RECORD)
                .bind(name.tenant.0)
                .bind(name.kind.name())
                .bind(name.digest.as_slice())
                .bind(instant(now))
                .fetch_optional(&self.pool)
                .await
                .map_err(failed("reading records"))?;
            found.push(row.map(statements::record));
        }
        Ok(found)
    }

    async fn commit(
        &self,
        changes: &[Change],
        now: DateTime<Utc>,
    ) -> Result<Committed, VaultError> {
        self.try_commit(changes, now).await.map_err(failed("changing records"))
    }

    async fn purge(&self, now: DateTime<Utc>) -> Result<usize, VaultError> {
        let purge = sqlx::query(PURGE).bind(instant(now)).bind(PURGED_MAX as i64);
        let purged = purge.execute(&self.pool).await;
        let purged = purged.map_err(failed("removing records that have ended"))?;
        Ok(usize::try_from(purged.rows_affected()).unwrap_or(PURGED_MAX))
    }

    async fn remove_tenant(&self, tenant: TenantId) -> Result<(), VaultError> {
        sqlx::query(statements::REMOVE_RECORDS)
            .bind(tenant.0)
            .execute(&self.pool)
            .await
            .map_err(failed("removing a tenant's records"))?;
        Ok(())
    }
}

impl SqliteVault {
    async fn try_commit(
        &self,
        changes: &[Change],
        now: DateTime<Utc>,
    ) -> Result<Committed, sqlx::Error> {
        // Immediate: there is one writer at a time.
        let mut transaction = self.pool.begin_with("begin immediate").await?;
        for change in changes {
            if !make(&mut transaction, change, now).await? {
                transaction.rollback().await?;
                return Ok(Committed::Conflict);
            }
        }
        transaction.commit().await?;
        Ok(Committed::Whole)
    }
}

/// Makes a change, unless the record is not as expected.
async fn make(
    connection: &mut SqliteConnection,
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
fn named(text: &'static str, name: RecordName) -> Query<'static, Sqlite, SqliteArguments> {
    let query = sqlx::query(text).bind(name.tenant.0).bind(name.kind.name());
    query.bind(name.digest.to_vec())
}

/// The same, and the next ones are its state.
fn put(
    query: Query<'static, Sqlite, SqliteArguments>,
    record: &Record,
) -> Query<'static, Sqlite, SqliteArguments> {
    let query = query.bind(record.version.0.cast_signed()).bind(record.ends_at.map(instant));
    query.bind(record.sealed.to_vec())
}
