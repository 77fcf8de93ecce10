//! Table sets as SQLite files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _};

use super::{Connection, Sql, StoreError, Transaction};

/// How long a statement waits for another process's transaction. In seconds: 30.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Tables can be filled again from the log, so a power cut may cost the last transactions; but
/// never their order, so a checkpoint never runs ahead of its rows.
fn options(path: &Path, access: Access) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(256)
        .pragma("temp_store", "memory");
    match access {
        Access::Write => options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .pragma("cache_size", "-65536")
            .pragma("wal_autocheckpoint", "8000"),
        Access::Read => {
            options.read_only(true).pragma("cache_size", "-16384").pragma("mmap_size", "268435456")
        }
    }
}

/// What a power cut may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The whole file, which is then made again: for one that is being filled.
    Disposable,
    /// The last transactions.
    Ordered,
    /// Nothing.
    Full,
}

/// Chooses what a power cut may cost from now on.
pub(crate) async fn set_durability(
    connection: &mut Connection,
    durability: Durability,
) -> Result<(), StoreError> {
    // What is sorted on the way to an index may be larger than memory.
    let pragmas = match durability {
        Durability::Disposable => ["PRAGMA synchronous = off", "PRAGMA temp_store = file"],
        Durability::Ordered => ["PRAGMA synchronous = normal", "PRAGMA temp_store = memory"],
        Durability::Full => ["PRAGMA synchronous = full", "PRAGMA temp_store = memory"],
    };
    for it in pragmas {
        Sql::new(it).execute(connection).await?;
    }
    Ok(())
}

/// Makes everything that was committed survive a power cut. `last` is a transaction since which
/// [`Durability::Ordered`] was chosen: by it the database has something to sync.
pub(crate) async fn make_durable(connection: &mut Connection, last: Sql) -> Result<(), StoreError> {
    /// How long to wait for readers of older states. In milliseconds: 20.
    const PAUSE: Duration = Duration::from_millis(20);

    last.execute(connection).await?;
    loop {
        let done = Sql::new("PRAGMA wal_checkpoint(passive)").fetch_optional(connection).await?;
        let Some(done) = done else { return Ok(()) };
        if done.integer(0)? == 0 && done.integer(1)? == done.integer(2)? {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One connection.
pub(crate) async fn connect(path: &Path, access: Access) -> Result<Connection, StoreError> {
    Ok(options(path, access).connect().await?)
}

/// Removes the file and what belongs to it. Whoever still has it open can go on reading.
pub(crate) fn remove(path: &Path) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => (),
        }
    }
    Ok(())
}

/// Begins a transaction; dropping it undoes everything.
pub(crate) async fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    Ok(connection.begin().await?)
}

/// Whether there is a table of this name.
pub(crate) async fn has_table(connection: &mut Connection, name: &str) -> Result<bool, StoreError> {
    let mut sql = Sql::new("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ");
    sql.bind(name);
    Ok(sql.fetch_optional(connection).await?.is_some())
}

/// Runs a statement that makes a table or an index.
///
/// A table marked `/* clustered */` is kept in the order of its primary key where the database
/// can do that: it has no rows apart from the key's tree. For tables of small rows.
pub(crate) async fn define(connection: &mut Connection, text: &str) -> Result<(), StoreError> {
    let text = text.replace("/* clustered */", "WITHOUT ROWID");
    Sql::new(&text).execute(connection).await?;
    Ok(())
}
