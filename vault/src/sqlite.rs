//! The vault in two SQLite files: one for what is small, one for blobs.
//!
//! Commits are synced to the disk before they return. Destroyed keys are overwritten in the
//! file and cut out of its write-ahead log.

mod blobs;
mod cursors;
mod keys;
mod records;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::Connection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::port::{VaultError, failed};

/// How the tables came to be, in order. Never edited: what is new is appended.
const MIGRATIONS: [&str; 4] = [
    "create table keys (
        tenant blob not null,
        purpose text not null,
        id blob not null,
        wrapped blob,
        primary key (tenant, purpose, id)
    )",
    "create table cursors (
        tenant blob not null,
        name text not null,
        value text not null,
        primary key (tenant, name)
    )",
    // When a record ends is told in microseconds since 1970.
    "create table records (
        tenant blob not null,
        kind text not null,
        name blob not null,
        version bigint not null,
        ends_at bigint,
        sealed blob not null,
        primary key (tenant, kind, name)
    )",
    "create index records_by_end on records (ends_at) where ends_at is not null",
];

/// The same for the file of blobs.
const BLOB_MIGRATIONS: [&str; 4] = [
    "create table blobs (
        tenant blob not null,
        hash blob not null,
        length bigint not null,
        sealed blob not null,
        primary key (tenant, hash, length)
    )",
    // Those that were never kept. Beside the blobs, so that keeping one does not write it again.
    "create table loose_blobs (
        tenant blob not null,
        hash blob not null,
        length bigint not null,
        primary key (tenant, hash, length)
    )",
    "create table blob_holds (
        tenant blob not null,
        hold blob not null,
        hash blob not null,
        length bigint not null,
        primary key (tenant, hold, hash, length)
    )",
    "create index blob_holds_by_blob on blob_holds (tenant, hash, length)",
];

/// How many connections each file has: reads go on while one writes.
const CONNECTIONS_MAX: u32 = 4;

/// How long a writer waits for another one. In seconds: 10.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A vault in SQLite files.
#[derive(Clone, Debug)]
pub struct SqliteVault {
    pub(crate) pool: SqlitePool,
    pub(crate) blobs: SqlitePool,
}

impl SqliteVault {
    /// Opens the vault in the file at `path` and in one beside it that ends with `blobs.db`. They
    /// are made on first use, readable and writable by their owner only.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if a file cannot be made or opened or is not a vault.
    pub async fn open(path: &Path) -> Result<Self, VaultError> {
        Self::open_waiting(path, BUSY_TIMEOUT).await
    }

    /// Whether there is one in the file at `path`. Makes none.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the file is missing although what was written to it last is there.
    pub fn is_there(path: &Path) -> Result<bool, VaultError> {
        refuse_half(path).map_err(failed("looking for its file"))?;
        Ok(path.exists())
    }

    async fn open_waiting(path: &Path, busy_timeout: Duration) -> Result<Self, VaultError> {
        let pool = open_file(path, busy_timeout, &MIGRATIONS).await?;
        let beside = path.with_extension("blobs.db");
        let blobs = open_file(&beside, busy_timeout, &BLOB_MIGRATIONS).await?;
        Ok(Self { pool, blobs })
    }

    /// Closes every connection, after running statements have ended.
    pub async fn close(&self) {
        tokio::join!(self.pool.close(), self.blobs.close());
    }
}

/// Opens one file and brings its tables up to date.
async fn open_file(
    path: &Path,
    busy_timeout: Duration,
    migrations: &[&'static str],
) -> Result<SqlitePool, VaultError> {
    refuse_half(path).map_err(failed("opening its file"))?;
    // SQLite gives the files it puts beside this one the same mode.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(failed("creating its file"))?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(busy_timeout)
        .pragma("secure_delete", "on");
    // SQLite ends a transaction by itself where the disk is full, which sqlx does not notice: for it
    // the connection stays in that transaction, and nothing would be committed by it again.
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
        .connect_with(options)
        .await
        .map_err(failed("opening its file"))?;
    migrate(&pool, migrations).await.map_err(failed("bringing its tables up to date"))?;
    Ok(pool)
}

/// Refuses a file that is missing although what was written to it last is still beside it: a new
/// one would take its place there, and keys that are nowhere else would be gone.
fn refuse_half(path: &Path) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push("-wal");
    let beside = Path::new(&beside);
    if path.exists() || !beside.exists() {
        return Ok(());
    }
    let (path, beside) = (path.display(), beside.display());
    let problem = format!(
        "`{path}` is missing, but what was written to it last is in `{beside}`: put it back, or, if \
         it is not needed any more, take that away too"
    );
    Err(std::io::Error::new(std::io::ErrorKind::NotFound, problem))
}

async fn migrate(pool: &SqlitePool, migrations: &[&'static str]) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin_with("begin immediate").await?;
    sqlx::query("create table if not exists migrations (number integer primary key)")
        .execute(&mut *transaction)
        .await?;
    for (number, migration) in (1_i64..).zip(migrations) {
        let done = sqlx::query("insert into migrations values ($1) on conflict do nothing")
            .bind(number)
            .execute(&mut *transaction)
            .await?;
        if done.rows_affected() == 1 {
            sqlx::query(*migration).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await
}

#[cfg(test)]
mod tests;
