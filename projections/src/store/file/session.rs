//! One connection to SQLite, which is made again where a transaction on it did not end.
//!
//! If there is no room for what is written, SQLite undoes the whole transaction by itself, and then
//! refuses to undo it once more. `sqlx` takes it for open until somebody has: the next one would be
//! a part of it, and what is committed after that, no other connection would ever see.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection as _, Database, Sqlite, SqliteConnection};
use sqlx_core::transaction::TransactionManager;

use super::durability;
use crate::store::{Durability, StoreError};

type Transactions = <Sqlite as Database>::TransactionManager;

/// One connection to SQLite.
pub(crate) struct Session {
    connection: SqliteConnection,
    options: SqliteConnectOptions,
    /// What was chosen since it was opened.
    durability: Option<Durability>,
    /// How many transactions were begun and not ended, each within the one before.
    depth: usize,
    /// Whether one may not have ended as it should have.
    doubtful: bool,
}

impl Session {
    pub(super) async fn connect(options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let connection = options.connect().await?;
        Ok(Self { connection, options, durability: None, depth: 0, doubtful: false })
    }

    /// The connection, which has nothing open that it should not have.
    pub(in crate::store) async fn ready(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        if self.depth == 0 && self.doubtful {
            if !self.has_ended_all().await {
                self.connect_again().await?;
            }
            self.doubtful = false;
        }
        Ok(&mut self.connection)
    }

    /// Whether no transaction is open, once everything that was asked for is done.
    async fn has_ended_all(&mut self) -> bool {
        self.connection.ping().await.is_ok()
            && Transactions::get_transaction_depth(&self.connection) == 0
    }

    async fn connect_again(&mut self) -> Result<(), StoreError> {
        tracing::warn!("a transaction did not end; the connection to its file is made again");
        let connection = self.options.connect().await?;
        let old = std::mem::replace(&mut self.connection, connection);
        // It is of no more use, whatever it says. Nothing it holds is left after that.
        let _ = old.close().await;
        match self.durability {
            Some(durability) => self.choose(durability).await,
            None => Ok(()),
        }
    }

    pub(in crate::store) async fn set_durability(
        &mut self,
        durability: Durability,
    ) -> Result<(), StoreError> {
        self.ready().await?;
        self.choose(durability).await?;
        self.durability = Some(durability);
        Ok(())
    }

    async fn choose(&mut self, chosen: Durability) -> Result<(), StoreError> {
        for text in durability(chosen) {
            sqlx::query(sqlx::AssertSqlSafe(text)).execute(&mut self.connection).await?;
        }
        Ok(())
    }

    pub(in crate::store) async fn begin(&mut self) -> Result<(), StoreError> {
        let begun = Transactions::begin(self.ready().await?, None).await;
        self.doubtful |= begun.is_err();
        begun?;
        self.depth += 1;
        Ok(())
    }

    /// Ends the innermost transaction; if that fails, it is still to be undone.
    pub(in crate::store) async fn commit(&mut self) -> Result<(), StoreError> {
        Transactions::commit(&mut self.connection).await?;
        self.depth -= 1;
        Ok(())
    }

    /// Undoes the innermost transaction; if that fails, it is still to be undone.
    pub(in crate::store) async fn rollback(&mut self) -> Result<(), StoreError> {
        Transactions::rollback(&mut self.connection).await?;
        self.depth -= 1;
        Ok(())
    }

    /// Has the innermost transaction undone. Whether that went well is seen later.
    pub(in crate::store) fn start_rollback(&mut self) {
        Transactions::start_rollback(&mut self.connection);
        self.depth -= 1;
        self.doubtful = true;
    }
}
