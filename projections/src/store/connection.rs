//! A connection to either database, and what is asked of one beside statements.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::{Sql, StoreError, file, postgres};

/// A connection of the database in use.
pub(crate) enum Connection {
    Sqlite(Box<file::Session>),
    Postgres(Box<postgres::Session>),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

/// A transaction; dropping it undoes everything.
pub(crate) struct Transaction<'c> {
    connection: &'c mut Connection,
    /// Whether it is still to be ended here. One inside of a read ends with the read.
    open: bool,
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection
    }
}

/// Begins a transaction; dropping it undoes everything.
pub(crate) async fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    let open = match connection {
        Connection::Sqlite(session) => {
            session.begin().await?;
            true
        }
        Connection::Postgres(session) => session.begin().await?,
    };
    Ok(Transaction { connection, open })
}

impl Transaction<'_> {
    /// Makes everything since its beginning visible, at once.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        match &mut *self.connection {
            Connection::Sqlite(session) => session.commit().await?,
            Connection::Postgres(session) => session.commit().await?,
        }
        self.open = false;
        Ok(())
    }

    /// Undoes everything since its beginning.
    pub(crate) async fn rollback(mut self) -> Result<(), StoreError> {
        match &mut *self.connection {
            Connection::Sqlite(session) => session.rollback().await?,
            Connection::Postgres(session) => session.rollback().await?,
        }
        self.open = false;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        match &mut *self.connection {
            _ if !self.open => (),
            Connection::Sqlite(session) => session.start_rollback(),
            Connection::Postgres(session) => session.start_rollback(),
        }
    }
}

/// What a power cut may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The whole set, which is then made again: for one that is being filled.
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
    match connection {
        Connection::Sqlite(session) => session.set_durability(durability).await,
        Connection::Postgres(session) => session.set_durability(durability).await,
    }
}

/// What statements are about, by which it is known for how long to wait for a database that says
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Some rows.
    Rows,
    /// Whole tables: all that is in them is derived, sorted, looked at or removed.
    Tables,
}

/// A connection whose statements are about whole tables, until this is dropped: also where whoever
/// waits for one goes away.
pub(crate) struct OverTables<'c> {
    connection: &'c mut Connection,
    before: Patience,
}

/// Has statements be about whole tables. Where there is no network nothing changes.
pub(crate) fn over_tables(connection: &mut Connection) -> OverTables<'_> {
    let before = set_patience(connection, Patience::Tables);
    OverTables { connection, before }
}

impl Deref for OverTables<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl DerefMut for OverTables<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection
    }
}

impl Drop for OverTables<'_> {
    fn drop(&mut self) {
        set_patience(self.connection, self.before);
    }
}

fn set_patience(connection: &mut Connection, patience: Patience) -> Patience {
    match connection {
        Connection::Sqlite(_) => Patience::Rows,
        Connection::Postgres(session) => session.set_patience(patience),
    }
}

#[cfg(test)]
impl Connection {
    /// What its statements are about.
    pub(crate) fn patience(&self) -> Patience {
        match self {
            Self::Sqlite(_) => Patience::Rows,
            Self::Postgres(session) => session.patience(),
        }
    }
}

/// Makes everything that was committed survive a power cut. `last` is a transaction since which
/// [`Durability::Ordered`] was chosen: by it the database has something to sync.
pub(crate) async fn make_durable(connection: &mut Connection, last: Sql) -> Result<(), StoreError> {
    match connection {
        Connection::Sqlite(_) => file::make_durable(connection, last).await,
        Connection::Postgres(_) => postgres::make_durable(connection, last).await,
    }
}

/// Copies what was committed to where it stays, as far as readers let it, and keeps nobody waiting.
/// Nothing where the database does so by itself.
pub(crate) async fn write_back(connection: &mut Connection) -> Result<(), StoreError> {
    match connection {
        Connection::Sqlite(_) => file::write_back(connection).await.map(drop),
        Connection::Postgres(_) => Ok(()),
    }
}

/// Has the end of a transaction survive a power cut, where that is not so anyway.
pub(crate) async fn sync_at_commit(transaction: &mut Connection) -> Result<(), StoreError> {
    match transaction {
        Connection::Sqlite(_) => Ok(()),
        Connection::Postgres(_) => postgres::sync_at_commit(transaction).await,
    }
}

/// Lets the database look at the tables, which have just been filled, so that it can plan.
pub(crate) async fn gather_statistics(connection: &mut Connection) -> Result<(), StoreError> {
    match connection {
        Connection::Sqlite(_) => Ok(()),
        Connection::Postgres(_) => postgres::gather_statistics(connection).await,
    }
}

/// Has the database know that this process uses the tables, also if it has forgotten since: it
/// knows by the connection, which is made again if it was lost. Answers how often that was so.
pub(crate) async fn hold(connection: &mut Connection) -> Result<u64, StoreError> {
    let touch = || Sql::new("SELECT 1");
    if touch().fetch(connection).await.is_err() {
        touch().fetch(connection).await?;
    }
    match connection {
        Connection::Sqlite(_) => Ok(0),
        Connection::Postgres(session) => Ok(session.remade()),
    }
}

/// Waits until no other process is making tables; until the end of the transaction none will.
pub(crate) async fn take_turns(transaction: &mut Connection) -> Result<(), StoreError> {
    match transaction {
        // A file has one writer at a time anyway.
        Connection::Sqlite(_) => Ok(()),
        Connection::Postgres(_) => postgres::take_turns(transaction).await,
    }
}

/// Whether there is a table of this name.
pub(crate) async fn has_table(connection: &mut Connection, name: &str) -> Result<bool, StoreError> {
    let mut sql = Sql::new(match connection {
        Connection::Sqlite(_) => "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ",
        Connection::Postgres(_) => {
            "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = "
        }
    });
    sql.bind(name);
    Ok(sql.fetch_optional(connection).await?.is_some())
}

/// Whether a table has a column of this name.
pub(crate) async fn has_column(
    connection: &mut Connection,
    table: &str,
    column: &str,
) -> Result<bool, StoreError> {
    let mut sql = Sql::new(match connection {
        Connection::Sqlite(_) => "SELECT 1 FROM pragma_table_info($1) WHERE name = $2",
        Connection::Postgres(_) => {
            "SELECT 1 FROM information_schema.columns
            WHERE table_schema = current_schema() AND table_name = $1 AND column_name = $2"
        }
    });
    sql.add(table.into());
    sql.add(column.into());
    Ok(sql.fetch_optional(connection).await?.is_some())
}

/// Runs a statement that makes or changes a table, or makes an index.
///
/// A table marked `/* clustered */` is kept in the order of its primary key where the database
/// can do that: it has no rows apart from the key's tree. For tables of small rows. Where the
/// database knows who reads, a table with a column `tenant` shows each tenant its own rows only,
/// and one marked `/* operators */` shows them to operators only.
pub(crate) async fn define(connection: &mut Connection, text: &str) -> Result<(), StoreError> {
    match connection {
        Connection::Sqlite(_) => {
            Sql::new(&file::definition(text)).execute(connection).await?;
        }
        Connection::Postgres(session) => {
            for text in session.definition(text) {
                Sql::new(&text).execute(connection).await?;
            }
        }
    }
    Ok(())
}
