//! Many rows in few statements.
//!
//! This is where databases differ most in speed, so models say *what* to write and this module
//! says how: [`sqlite`] and [`postgres`].

mod postgres;
mod sqlite;

use super::{Connection, Row, StoreError, Value};

/// Rows of one width, to be written together, or keys.
#[derive(Debug)]
pub(crate) struct Rows<const WIDTH: usize>(Vec<[Value; WIDTH]>);

impl<const WIDTH: usize> Default for Rows<WIDTH> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<const WIDTH: usize> Rows<WIDTH> {
    pub(crate) fn push(&mut self, row: [Value; WIDTH]) {
        self.0.push(row);
    }

    /// Runs `insert`, say `INSERT INTO t (a, b)`, for all rows, with what is to be done `after`
    /// them, say `ON CONFLICT …`. No two rows may have the same key. Neighbours in an index are
    /// written together.
    pub(crate) async fn insert(
        self,
        connection: &mut Connection,
        insert: &str,
        after: &str,
    ) -> Result<(), StoreError> {
        match connection {
            Connection::Sqlite(session) => {
                sqlite::insert(self, session.ready().await?, insert, after).await
            }
            Connection::Postgres(session) => postgres::insert(self, session, insert, after).await,
        }
    }

    /// Removes from `table` what has these values in `columns`.
    pub(crate) async fn delete(
        self,
        connection: &mut Connection,
        table: &str,
        columns: [&str; WIDTH],
    ) -> Result<(), StoreError> {
        let condition = whole(&columns);
        match connection {
            Connection::Sqlite(session) => {
                sqlite::delete(self, session.ready().await?, table, &condition).await
            }
            Connection::Postgres(session) => {
                postgres::delete(self, session, table, &condition).await
            }
        }
    }

    /// Runs `select` for what has these values in `columns`; all that is found, in no order. No
    /// two of these rows may be the same.
    pub(crate) async fn fetch(
        self,
        connection: &mut Connection,
        select: &str,
        columns: [&str; WIDTH],
    ) -> Result<Vec<Row>, StoreError> {
        self.fetch_where(connection, select, &whole(&columns)).await
    }

    /// Runs `select` for what satisfies `condition` with one of these rows in place of its
    /// `?`; all that is found, in no order. No row may satisfy it twice.
    pub(crate) async fn fetch_where(
        self,
        connection: &mut Connection,
        select: &str,
        condition: &str,
    ) -> Result<Vec<Row>, StoreError> {
        match connection {
            Connection::Sqlite(session) => {
                sqlite::fetch(self, session.ready().await?, select, condition).await
            }
            Connection::Postgres(session) => {
                postgres::fetch(self, session, select, condition).await
            }
        }
    }

    /// The rows, neighbours in an index next to each other.
    ///
    /// What is compared is copied together first: rows are wide, and a row has most of its
    /// beginning in common with its neighbours, whose values are all over the memory.
    fn sorted(self) -> impl ExactSizeIterator<Item = [Value; WIDTH]> {
        let mut bytes = Vec::with_capacity(self.0.len() * KEY_BYTES_MAX / 2);
        let mut places = Vec::with_capacity(self.0.len());
        for (index, row) in self.0.iter().enumerate() {
            let begin = bytes.len();
            write_key(row, &mut bytes);
            places.push((begin, bytes.len(), index));
        }
        places.sort_unstable_by(|one, other| bytes[one.0..one.1].cmp(&bytes[other.0..other.1]));
        let mut rows: Vec<_> = self.0.into_iter().map(Some).collect();
        places
            .into_iter()
            .map(move |(_, _, index)| rows[index].take().expect("a row has one place"))
    }
}

/// How much of a row is compared to put it in its place. In bytes: 96, two ids and a name.
const KEY_BYTES_MAX: usize = 96;

/// Writes the beginning of `row` so that it compares as an index does. Only which rows are near
/// each other depends on it.
fn write_key(row: &[Value], bytes: &mut Vec<u8>) {
    let end = bytes.len() + KEY_BYTES_MAX;
    for value in row {
        match value {
            Value::Id(it) | Value::OptionalId(Some(it)) => bytes.extend_from_slice(it.as_bytes()),
            Value::Integer(it) | Value::OptionalInteger(Some(it)) => {
                bytes.extend_from_slice(&(it.cast_unsigned() ^ (1 << 63)).to_be_bytes());
            }
            Value::Text(it) | Value::OptionalText(Some(it)) => write_text(it, bytes),
            Value::Shared(it) => write_text(it, bytes),
            Value::OptionalId(None) | Value::OptionalText(None) | Value::OptionalInteger(None) => {}
        }
        if bytes.len() >= end {
            return;
        }
    }
}

fn write_text(text: &str, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&text.as_bytes()[..text.len().min(KEY_BYTES_MAX)]);
    bytes.push(0);
}

/// `(a = ? AND b = ?)`: one whole key.
fn whole(columns: &[&str]) -> String {
    format!("({} = ?)", columns.join(" = ? AND "))
}

#[cfg(test)]
mod tests;
