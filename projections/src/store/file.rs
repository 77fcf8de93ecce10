//! Table sets as SQLite files in a folder.

mod session;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use super::{Access, Connection, Durability, Sql, StoreError};

pub(crate) use session::Session;

/// How long a statement waits for another process's transaction. In seconds: 30.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// A folder of table sets, one file each.
#[derive(Clone, Debug)]
pub(crate) struct Folder(Arc<Path>);

impl Folder {
    /// Makes it, if it is not there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        Ok(Self(path.into()))
    }

    /// The file of a set.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.db"))
    }

    pub(super) async fn connect(&self, name: &str, access: Access) -> Result<Session, StoreError> {
        Session::connect(options(&self.path(name), access)).await
    }

    /// Removes the file and what belongs to it. Whoever still has it open can go on reading.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        remove(&self.path(name))
    }

    pub(super) fn remove_others(&self, beginning: &str, kept: Option<&str>) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.0)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|it| it.to_str());
            let Some(name) = name.and_then(|it| it.strip_suffix(".db")) else { continue };
            if name.starts_with(beginning) && Some(name) != kept {
                remove(&path)?;
            }
        }
        Ok(())
    }
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
            .pragma("wal_autocheckpoint", PAGES_BESIDE_MAX),
        Access::Read => {
            options.read_only(true).pragma("cache_size", "-16384").pragma("mmap_size", "268435456")
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => (),
        }
    }
    Ok(())
}

/// How a connection is told what a power cut may cost.
fn durability(durability: Durability) -> [String; 3] {
    // What is sorted on the way to an index may be larger than memory.
    let (synchronous, sorted_in, pages) = match durability {
        Durability::Disposable => ("off", "file", PAGES_MAX),
        Durability::Ordered => ("normal", "memory", PAGES_BESIDE_MAX),
        Durability::Full => ("full", "memory", PAGES_MAX),
    };
    [
        format!("PRAGMA synchronous = {synchronous}"),
        format!("PRAGMA temp_store = {sorted_in}"),
        format!("PRAGMA wal_autocheckpoint = {pages}"),
    ]
}

/// After how many pages in SQLite's log a commit copies them into the file: 8,000 of 4 KiB, 32 MB.
const PAGES_MAX: &str = "8000";

/// The same where [`write_back`] is called meanwhile: 16,000, so that little is left to copy when a
/// commit has the log begin anew, which only a commit does.
const PAGES_BESIDE_MAX: &str = "16000";

/// Makes everything that was committed survive a power cut.
pub(super) async fn make_durable(connection: &mut Connection, last: Sql) -> Result<(), StoreError> {
    /// How long to wait for readers of older states. In milliseconds: 20.
    const PAUSE: Duration = Duration::from_millis(20);

    last.execute(connection).await?;
    while !write_back(connection).await? {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Copies what was committed into the file, as far as readers let it; whether that is all.
pub(super) async fn write_back(connection: &mut Connection) -> Result<bool, StoreError> {
    let done = Sql::new("PRAGMA wal_checkpoint(passive)").fetch_optional(connection).await?;
    let Some(done) = done else { return Ok(true) };
    Ok(done.integer(0)? == 0 && done.integer(1)? == done.integer(2)?)
}

/// The statement that makes a table or an index.
pub(super) fn definition(text: &str) -> String {
    text.replace("/* clustered */", "WITHOUT ROWID")
}

#[cfg(test)]
mod tests;
