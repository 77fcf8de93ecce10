//! Everything a vault holds, row by row, as backups take it along and bring it back.
//!
//! Keys are wrapped, blobs and records sealed as they are stored: without the root key nobody can
//! read a copy. Who holds a blob for the time being is not part of it: a copy keeps every blob.

use std::ops::ControlFlow;

use async_trait::async_trait;
use uuid::Uuid;

use crate::port::{VaultError, failed};
use crate::postgres::{PostgresVault, in_copy_time};
use crate::sqlite::SqliteVault;

/// One thing that is stored. The order of the variants is the order in which they are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// A key, or that there was one.
    Key {
        /// Whose, nil for the installation.
        tenant: Uuid,
        /// What it is for.
        purpose: String,
        /// Of which subject, nil for none.
        id: Uuid,
        /// The wrapped key; none if it was destroyed.
        wrapped: Option<Vec<u8>>,
    },
    /// Where a consumer of another system is.
    Cursor {
        /// On whose behalf.
        tenant: Uuid,
        /// Which.
        name: String,
        /// Where it stands.
        value: String,
    },
    /// Content that is too large for an event.
    Blob {
        /// Whose.
        tenant: Uuid,
        /// The keyed hash that is its name.
        hash: Vec<u8>,
        /// Its length before it was sealed, in bytes.
        length: i64,
        /// What is stored.
        sealed: Vec<u8>,
    },
    /// A value that changes by compare-and-set.
    Record {
        /// Whose.
        tenant: Uuid,
        /// What it is about.
        kind: String,
        /// The keyed digest that is its name.
        name: Vec<u8>,
        /// Which state it is in.
        version: i64,
        /// From when on it counts as absent, in microseconds since 1970; none if never.
        ends_at: Option<i64>,
        /// What is stored.
        sealed: Vec<u8>,
    },
}

/// How many rows without blobs are read or written at a time.
const ROWS_MAX: i64 = 1_000;

/// How many blobs are read at a time: 4, 64 MiB at most.
const BLOBS_MAX: i64 = 4;

/// A vault that can be copied.
#[async_trait]
pub trait Contents: std::fmt::Debug + Send + Sync {
    /// Some of the rows that come after `last`, or the first ones; nothing at the end. What was
    /// stored before the first call is told; what comes meanwhile may be. Records are not among
    /// them.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails.
    async fn rows_after(&self, last: Option<&Row>) -> Result<Vec<Row>, VaultError>;

    /// Hands all records to `take`, some at a time, until it breaks: as they were at one moment, for what
    /// one of them says holds together with what another one does.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails.
    async fn each_record(
        &self,
        take: &mut (dyn FnMut(Vec<Row>) -> ControlFlow<()> + Send),
    ) -> Result<(), VaultError>;

    /// Whether no key was ever stored in it.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails.
    async fn is_new(&self) -> Result<bool, VaultError>;

    /// Stores `rows` in a vault that is otherwise new, all or none.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails or holds one of them already.
    async fn take_back(&self, rows: &[Row]) -> Result<(), VaultError>;
}

const KEYS: &str = "select tenant, purpose, id, wrapped from keys
    where (tenant, purpose, id) > ($1, $2, $3) order by tenant, purpose, id limit $4";
const FIRST_KEYS: &str =
    "select tenant, purpose, id, wrapped from keys order by tenant, purpose, id limit $1";
const CURSORS: &str = "select tenant, name, value from cursors
    where (tenant, name) > ($1, $2) order by tenant, name limit $3";
const BLOBS: &str = "select tenant, hash, length, sealed from blobs
    where (tenant, hash, length) > ($1, $2, $3) order by tenant, hash, length limit $4";

const RECORDS: &str = "select tenant, kind, name, version, ends_at, sealed from records
    where (tenant, kind, name) > ($1, $2, $3) order by tenant, kind, name limit $4";

/// What comes before every other name.
const BEFORE_ALL: Uuid = Uuid::nil();

type KeyColumns = (Uuid, String, Uuid, Option<Vec<u8>>);
type CursorColumns = (Uuid, String, String);
type BlobColumns = (Uuid, Vec<u8>, i64, Vec<u8>);
type RecordColumns = (Uuid, String, Vec<u8>, i64, Option<i64>, Vec<u8>);

fn keys(found: Vec<KeyColumns>) -> Vec<Row> {
    let key = |(tenant, purpose, id, wrapped)| Row::Key { tenant, purpose, id, wrapped };
    found.into_iter().map(key).collect()
}

fn cursors(found: Vec<CursorColumns>) -> Vec<Row> {
    found.into_iter().map(|(tenant, name, value)| Row::Cursor { tenant, name, value }).collect()
}

fn blobs(found: Vec<BlobColumns>) -> Vec<Row> {
    let blob = |(tenant, hash, length, sealed)| Row::Blob { tenant, hash, length, sealed };
    found.into_iter().map(blob).collect()
}

fn records(found: Vec<RecordColumns>) -> Vec<Row> {
    let record = |(tenant, kind, name, version, ends_at, sealed)| Row::Record {
        tenant,
        kind,
        name,
        version,
        ends_at,
        sealed,
    };
    found.into_iter().map(record).collect()
}

/// The same on both databases: their statements are, and only the types of the client differ.
macro_rules! contents {
    ($vault:ty, $blobs:ident, $in_time:path, $snapshot:literal) => {
        impl $vault {
            async fn keys_after(
                &self,
                last: Option<(Uuid, &str, Uuid)>,
            ) -> Result<Vec<Row>, sqlx::Error> {
                let found: Vec<KeyColumns> = match last {
                    None => sqlx::query_as(FIRST_KEYS).bind(ROWS_MAX).fetch_all(&self.pool).await?,
                    Some((tenant, purpose, id)) => {
                        let query = sqlx::query_as(KEYS).bind(tenant).bind(purpose).bind(id);
                        query.bind(ROWS_MAX).fetch_all(&self.pool).await?
                    }
                };
                match found.is_empty() {
                    false => Ok(keys(found)),
                    true => self.cursors_after(BEFORE_ALL, "").await,
                }
            }

            async fn cursors_after(
                &self,
                tenant: Uuid,
                name: &str,
            ) -> Result<Vec<Row>, sqlx::Error> {
                let query = sqlx::query_as(CURSORS).bind(tenant).bind(name).bind(ROWS_MAX);
                let found: Vec<CursorColumns> = query.fetch_all(&self.pool).await?;
                match found.is_empty() {
                    false => Ok(cursors(found)),
                    true => self.blobs_after(BEFORE_ALL, &[], 0).await,
                }
            }

            async fn blobs_after(
                &self,
                tenant: Uuid,
                hash: &[u8],
                length: i64,
            ) -> Result<Vec<Row>, sqlx::Error> {
                let query = sqlx::query_as(BLOBS).bind(tenant).bind(hash).bind(length);
                let found: Vec<BlobColumns> = query.bind(BLOBS_MAX).fetch_all(&self.$blobs).await?;
                Ok(blobs(found))
            }

            async fn records_in_one(
                &self,
                take: &mut (dyn FnMut(Vec<Row>) -> ControlFlow<()> + Send),
            ) -> Result<(), sqlx::Error> {
                let mut moment = $in_time(self.pool.begin_with($snapshot)).await?;
                let mut last = (BEFORE_ALL, String::new(), Vec::new());
                loop {
                    let query = sqlx::query_as(RECORDS).bind(last.0).bind(&last.1).bind(&last.2);
                    let query = query.bind(ROWS_MAX).fetch_all(&mut *moment);
                    let found: Vec<RecordColumns> = $in_time(query).await?;
                    let Some((tenant, kind, name, ..)) = found.last() else { return Ok(()) };
                    last = (*tenant, kind.clone(), name.clone());
                    if take(records(found)).is_break() {
                        return Ok(());
                    }
                }
            }

            async fn store(&self, rows: &[Row]) -> Result<(), sqlx::Error> {
                let mut transaction = self.pool.begin().await?;
                let mut beside = self.$blobs.begin().await?;
                for row in rows {
                    match row {
                        Row::Key { tenant, purpose, id, wrapped } => {
                            let query = sqlx::query("insert into keys values ($1, $2, $3, $4)");
                            let query = query.bind(tenant).bind(purpose).bind(id).bind(wrapped);
                            query.execute(&mut *transaction).await?;
                        }
                        Row::Cursor { tenant, name, value } => {
                            let query = sqlx::query("insert into cursors values ($1, $2, $3)");
                            let query = query.bind(tenant).bind(name).bind(value);
                            query.execute(&mut *transaction).await?;
                        }
                        Row::Blob { tenant, hash, length, sealed } => {
                            let query = sqlx::query("insert into blobs values ($1, $2, $3, $4)");
                            let query = query.bind(tenant).bind(hash).bind(length).bind(sealed);
                            query.execute(&mut *beside).await?;
                        }
                        Row::Record { tenant, kind, name, version, ends_at, sealed } => {
                            let query = sqlx::query(
                                "insert into records
                                 (tenant, kind, name, version, ends_at, sealed)
                                 values ($1, $2, $3, $4, $5, $6)",
                            );
                            let query = query.bind(tenant).bind(kind).bind(name).bind(version);
                            let query = query.bind(ends_at).bind(sealed);
                            query.execute(&mut *transaction).await?;
                        }
                    }
                }
                transaction.commit().await?;
                beside.commit().await
            }
        }

        #[async_trait]
        impl Contents for $vault {
            async fn rows_after(&self, last: Option<&Row>) -> Result<Vec<Row>, VaultError> {
                let found = $in_time(async {
                    match last {
                        None => self.keys_after(None).await,
                        Some(Row::Key { tenant, purpose, id, .. }) => {
                            self.keys_after(Some((*tenant, purpose, *id))).await
                        }
                        Some(Row::Cursor { tenant, name, .. }) => {
                            self.cursors_after(*tenant, name).await
                        }
                        Some(Row::Blob { tenant, hash, length, .. }) => {
                            self.blobs_after(*tenant, hash, *length).await
                        }
                        Some(Row::Record { .. }) => Ok(Vec::new()),
                    }
                });
                found.await.map_err(failed("copying what it holds"))
            }

            async fn each_record(
                &self,
                take: &mut (dyn FnMut(Vec<Row>) -> ControlFlow<()> + Send),
            ) -> Result<(), VaultError> {
                self.records_in_one(take).await.map_err(failed("copying its records"))
            }

            async fn is_new(&self) -> Result<bool, VaultError> {
                let query = sqlx::query_scalar("select 1 from keys limit 1");
                let found = $in_time(query.fetch_optional(&self.pool)).await;
                let found: Option<i32> = found.map_err(failed("looking for keys in it"))?;
                Ok(found.is_none())
            }

            async fn take_back(&self, rows: &[Row]) -> Result<(), VaultError> {
                let stored = $in_time(self.store(rows)).await;
                stored.map_err(failed("taking back what a backup holds"))
            }
        }
    };
}

contents!(SqliteVault, blobs, std::convert::identity, "begin");
contents!(PostgresVault, pool, in_copy_time, "begin isolation level repeatable read, read only");

#[cfg(test)]
mod tests;
