//! The only place that speaks to the database: statements, rows, bulk writes, where tables are.
//!
//! Models write portable SQL (`$1` placeholders, no features of one database) and hand over
//! [`Value`]s; everything that differs between databases is in this module, `file` for SQLite
//! and [`postgres`] for PostgreSQL. It does *not* know what any table means.

pub(crate) mod bulk;
mod connection;
mod file;
mod meaning;
mod place;
pub(crate) mod postgres;
mod readers;
mod row;
mod sql;

pub(crate) use connection::{
    Connection, Durability, Patience, begin, define, gather_statistics, has_column, has_table,
    hold, make_durable, over_tables, set_durability, sync_at_commit, take_turns, write_back,
};
pub(crate) use meaning::Meaning;
pub(crate) use place::{Access, Database, Place};
pub(crate) use postgres::HOLD_EVERY;
pub(crate) use readers::{Bounds, Reader, Readers};
pub(crate) use row::Row;
pub(crate) use sql::{LIST_MAX, Sql, Value};

/// The database failed, or holds what no version of a model wrote.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The folder of the tables cannot be used.
    #[error(transparent)]
    Folder(#[from] std::io::Error),
    /// The database is not fit for tables; the text says what has to be done.
    #[error("{problem}")]
    Unfit {
        /// What is wrong with it, and the remedy.
        problem: String,
        /// The cause, where there is one.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// Another process holds what is needed to make or use tables.
    #[error(
        "another process holds these tables, or is making or removing some, and is paused or slow; \
         trying again helps once it goes on, or has ended"
    )]
    Held(#[source] sqlx::Error),
    /// A read took longer than it may.
    #[error("the read was stopped, since it took too long")]
    OutOfTime,
    /// A stored value is not what its column holds.
    #[error("column {column} of the answer does not hold {expected}")]
    Value {
        /// Its place in the answer, from 0.
        column: usize,
        /// What was expected.
        expected: &'static str,
        /// The cause, where there is one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl StoreError {
    /// A stored text is not the JSON document that it should be.
    pub(crate) fn document(source: serde_json::Error) -> Self {
        Self::Value { column: 0, expected: "a document", source: Some(Box::new(source)) }
    }

    /// The same, said as what it is if it is that a lock was not to be had in time.
    pub(crate) fn or_held(self) -> Self {
        const LOCK_NOT_AVAILABLE: &str = "55P03";
        match self {
            Self::Database(sqlx::Error::Database(error))
                if error.code().is_some_and(|it| it == LOCK_NOT_AVAILABLE) =>
            {
                Self::Held(sqlx::Error::Database(error))
            }
            other => other,
        }
    }

    /// Whether the statement was interrupted.
    pub(crate) fn is_interrupted(&self) -> bool {
        const SQLITE_INTERRUPT: &str = "9";
        const POSTGRES_QUERY_CANCELED: &str = "57014";
        match self {
            Self::OutOfTime => true,
            Self::Database(sqlx::Error::Database(error)) => error
                .code()
                .is_some_and(|it| it == SQLITE_INTERRUPT || it == POSTGRES_QUERY_CANCELED),
            _ => false,
        }
    }
}
