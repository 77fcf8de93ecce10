//! How far a set of tables is, as its own rows say: one checkpoint per partition.
//!
//! Whoever applies something moves the checkpoint in the same transaction, if it is still where it
//! was thought to be. That is all that keeps two writers of a partition apart.

use chrono::{DateTime, Utc};
use event_log::{Partition, Position};

use crate::store::{self, Connection, Sql, StoreError};

/// What stands for the position of a partition of which nothing was applied yet.
pub(crate) const NOWHERE: i64 = -1;

/// How every checkpoint says what has become of its set. Whoever moves one compares it, since the
/// set may have been settled, or another put in its place, by another process.
pub(crate) const FILLING: i64 = 0;
pub(crate) const FILLED: i64 = 1;
pub(crate) const CLOSED: i64 = 2;

/// The last record that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub position: Position,
    /// The event's id, as the record has it.
    pub event: String,
    pub at: DateTime<Utc>,
}

/// Whether a set was ever complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has no readers' indexes and nothing yet that is derived for them. In a file its rows are
    /// not durable either: if the process ends, it is made again.
    Filling,
    /// It is as durable and as fast to read as it gets.
    Filled,
}

impl Stage {
    /// As checkpoints say it.
    pub(crate) const fn stored(self) -> i64 {
        match self {
            Self::Filling => FILLING,
            Self::Filled => FILLED,
        }
    }
}

/// How far a set is on one partition, and of which log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub incarnation: String,
    pub stage: Stage,
    /// Whether another generation has taken the place of the set: then nobody moves it any more.
    pub closed: bool,
    /// None before the first event.
    pub place: Option<Place>,
}

impl Checkpoint {
    /// The position as it is stored.
    pub(crate) fn stored_position(&self) -> i64 {
        self.place.as_ref().map_or(NOWHERE, |it| stored(it.position))
    }
}

/// A position as it is stored.
pub(crate) fn stored(position: Position) -> i64 {
    i64::try_from(position.0).expect("no log reaches 2^63 positions")
}

/// Reads the checkpoint of `partition`.
pub(crate) async fn read_checkpoint(
    connection: &mut Connection,
    partition: Partition,
) -> Result<Checkpoint, StoreError> {
    let mut sql = Sql::new(
        "SELECT incarnation, position, event, at, filled FROM checkpoints
        WHERE partition = ",
    );
    sql.bind(partition.0);
    let row = sql.fetch_optional(connection).await?;
    let row = row.ok_or(StoreError::Database(sqlx::Error::RowNotFound))?;
    checkpoint(&row, 0)
}

/// Whether `partition` is where others have left it, and nobody is moving it. Only where several
/// processes share the tables: no other database can be asked so.
pub(crate) async fn is_left_at(
    connection: &mut Connection,
    partition: Partition,
    at: Position,
) -> Result<bool, StoreError> {
    let mut sql = Sql::new("SELECT 1 FROM checkpoints WHERE partition = ");
    sql.bind(partition.0).push(" AND position + 1 = ").bind(stored(at));
    // Who is paused within a transaction keeps it for as long; nobody is to wait for that.
    sql.push(" FOR UPDATE SKIP LOCKED");
    Ok(sql.fetch_optional(connection).await?.is_some())
}

/// Reads the columns of a checkpoint, which begin at `first`.
pub(crate) fn checkpoint(row: &store::Row, first: usize) -> Result<Checkpoint, StoreError> {
    let place = match row.integer(first + 1)? {
        NOWHERE => None,
        _ => Some(Place {
            position: Position(row.count(first + 1)?),
            event: row.text(first + 2)?,
            at: row.time(first + 3)?,
        }),
    };
    let (stage, closed) = match row.integer(first + 4)? {
        CLOSED => (Stage::Filled, true),
        FILLED => (Stage::Filled, false),
        _ => (Stage::Filling, false),
    };
    Ok(Checkpoint { incarnation: row.text(first)?, stage, closed, place })
}

/// Says for good what has become of a set, unless another process has said so. Until the end of
/// the transaction nobody moves a checkpoint.
pub(crate) async fn mark(transaction: &mut Connection, filled: i64) -> Result<bool, StoreError> {
    // The first partition alone at first: two that took all in different orders would wait for
    // each other.
    for condition in ["partition = 0", "partition > 0"] {
        let mut sql = Sql::new("UPDATE checkpoints SET filled = ");
        sql.bind(filled).push(" WHERE filled < ").bind(filled).push(" AND ").push(condition);
        if sql.execute(transaction).await? == 0 && condition == "partition = 0" {
            return Ok(false);
        }
    }
    Ok(true)
}
