//! The only place that speaks to the database: statements, rows, bulk writes, table files.
//!
//! Models write portable SQL (`$1` placeholders, no features of one database) and hand over
//! [`Value`]s; everything that differs between databases is in this module. It does *not* know
//! what any table means.

pub(crate) mod bulk;
mod file;
mod row;
mod sql;

pub(crate) use file::{Access, begin, connect, define, has_table, pool, remove};
pub(crate) use row::Row;
pub(crate) use sql::{LIST_MAX, Sql, Value};

/// A connection of the database in use.
pub(crate) type Connection = sqlx::SqliteConnection;
/// A pool of the database in use.
pub(crate) type Pool = sqlx::SqlitePool;
/// A connection of a pool.
pub(crate) type PoolConnection = sqlx::pool::PoolConnection<sqlx::Sqlite>;
/// A transaction of the database in use.
pub(crate) type Transaction<'c> = sqlx::SqliteTransaction<'c>;

/// The database failed, or holds what no version of a model wrote.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
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
