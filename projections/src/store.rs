//! The only place that speaks to the database: statements, rows, bulk writes, table files.
//!
//! Models write portable SQL (`$1` placeholders, no features of one database) and hand over
//! [`Value`]s; everything that differs between databases is in this module. It does *not* know
//! what any table means.

pub(crate) mod bulk;
mod file;
mod readers;
mod row;
mod sql;

pub(crate) use file::{
    Access, Durability, begin, connect, define, has_table, make_durable, remove, set_durability,
};
pub(crate) use readers::{Bounds, Reader, Readers};
pub(crate) use row::Row;
pub(crate) use sql::{LIST_MAX, Sql, Value};

/// A connection of the database in use.
pub(crate) type Connection = sqlx::SqliteConnection;
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

impl StoreError {
    /// A stored text is not the JSON document that it should be.
    pub(crate) fn document(source: serde_json::Error) -> Self {
        Self::Value { column: 0, expected: "a document", source: Some(Box::new(source)) }
    }

    /// Whether the statement was interrupted.
    pub(crate) fn is_interrupted(&self) -> bool {
        const SQLITE_INTERRUPT: &str = "9";
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        error.code().is_some_and(|it| it == SQLITE_INTERRUPT)
    }
}
