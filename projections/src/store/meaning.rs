//! What it means that something failed: whether waiting helps, and who has to act if not. Here it
//! is said of the database; of the rest, `ApplyError` says it in the same words.

use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

use super::StoreError;

/// What follows from a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The same may succeed later: a connection, a lock, a server or its room are not there.
    Passing,
    /// It is one tenant's, and does not succeed until somebody has looked: the database never takes
    /// what one of its events says, say. The text says why, and nothing of the content.
    Refused(String),
    /// It is everybody's, and does not succeed until somebody has looked: the statement is wrong, or
    /// the tables are not those it was written for.
    Wrong,
}

impl StoreError {
    /// What follows from this failure.
    pub(crate) fn meaning(&self) -> Meaning {
        match self {
            Self::Database(sqlx::Error::Database(error)) => meaning_of(error.as_ref()),
            Self::Database(
                sqlx::Error::ColumnIndexOutOfBounds { .. } | sqlx::Error::ColumnNotFound(_),
            ) => Meaning::Wrong,
            Self::Value { expected, .. } => {
                Meaning::Refused(format!("the tables do not hold {expected} where they should"))
            }
            Self::Database(_)
            | Self::Folder(_)
            | Self::Unfit { .. }
            | Self::Held(_)
            | Self::OutOfTime => Meaning::Passing,
        }
    }
}

impl StoreError {
    /// Whether the database is away, so that the same may succeed once it is back.
    pub(crate) fn is_away(&self) -> bool {
        match self {
            Self::Database(error) | Self::Unfit { source: Some(error), .. } => {
                vault::postgres::is_away(error)
            }
            Self::Held(_) => true,
            Self::Folder(_) | Self::Unfit { .. } | Self::OutOfTime | Self::Value { .. } => false,
        }
    }
}

fn meaning_of(error: &dyn DatabaseError) -> Meaning {
    let code = error.code().unwrap_or_default();
    match error.try_downcast_ref::<PgDatabaseError>() {
        Some(_) => of_postgres(&code),
        None => of_sqlite(&code),
    }
}

/// By the class of the code, as "PostgreSQL Error Codes" lists them.
fn of_postgres(code: &str) -> Meaning {
    let refused =
        |why| Meaning::Refused(format!("the database refused it: {why} (SQLSTATE {code})"));
    match code.get(..2).unwrap_or_default() {
        "22" => refused("a value it cannot hold"),
        "23" => refused("a row that breaks a constraint"),
        "54" => refused("more than it has room for in one place"),
        "42" => Meaning::Wrong,
        _ => Meaning::Passing,
    }
}

/// By the last byte of the code, as "Result and Error Codes" lists them.
fn of_sqlite(code: &str) -> Meaning {
    let refused = |why| Meaning::Refused(format!("the database refused it: {why} (SQLite {code})"));
    match code.parse::<u32>().unwrap_or_default() & 0xff {
        18 => refused("more than it has room for in one place"),
        19 => refused("a row that breaks a constraint"),
        20 => refused("a value it cannot hold"),
        // Among them what SQLite says of a table that is not there.
        1 | 21 | 25 => Meaning::Wrong,
        _ => Meaning::Passing,
    }
}

#[cfg(test)]
mod tests;
