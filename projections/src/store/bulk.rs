//! Many rows in few statements.
//!
//! This is where databases differ most in speed, so models say *what* to write and this module
//! says how. On SQLite, multi-row `VALUES` of a few fixed sizes is fastest: the statements stay
//! prepared, and nothing has to be parsed as JSON.

use super::{Connection, Row, Sql, StoreError, Value};

/// The most values one statement binds: 4,096, far below every database's limit; beyond it
/// larger statements gain nothing.
const VALUES_MAX: usize = 4_096;

/// The most keys one statement asks for: 128, below the depth that SQLite allows.
const ALTERNATIVES_MAX: usize = 128;

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
        // A statement that fails fails its transaction anyway. Saying so spares SQLite a journal
        // of every statement.
        let insert = insert.replacen("INSERT INTO", "INSERT OR ROLLBACK INTO", 1);
        let mut left = self.sorted();
        while let Some(rows) = size(left.len().min((VALUES_MAX / WIDTH).max(1))) {
            let rows: Vec<_> = left.by_ref().take(rows).collect();
            statement(&insert, rows, after).execute(connection).await?;
        }
        Ok(())
    }

    /// Removes from `table` what has these values in `columns`.
    pub(crate) async fn delete(
        self,
        connection: &mut Connection,
        table: &str,
        columns: [&str; WIDTH],
    ) -> Result<(), StoreError> {
        let row = whole(&columns);
        let text = |rows| format!("DELETE FROM {table} WHERE {}", alternatives(rows, &row));
        for sql in self.statements(ALTERNATIVES_MAX, text) {
            sql.execute(connection).await?;
        }
        Ok(())
    }

    /// Runs `select` for what has these values in `columns`; all that is found, in no order.
    pub(crate) async fn fetch(
        self,
        connection: &mut Connection,
        select: &str,
        columns: [&str; WIDTH],
    ) -> Result<Vec<Row>, StoreError> {
        self.fetch_where(connection, select, &whole(&columns)).await
    }

    /// Runs `select` for what satisfies `condition` with one of these rows in place of its
    /// `?`; all that is found, in no order.
    pub(crate) async fn fetch_where(
        self,
        connection: &mut Connection,
        select: &str,
        condition: &str,
    ) -> Result<Vec<Row>, StoreError> {
        let text = |rows| format!("{select} WHERE {}", alternatives(rows, condition));
        let mut found = Vec::new();
        for sql in self.statements(ALTERNATIVES_MAX, text) {
            found.extend(sql.fetch(connection).await?);
        }
        Ok(found)
    }

    /// The statements for all rows, each for at most `rows_max` of them.
    fn statements(
        self,
        rows_max: usize,
        text: impl Fn(usize) -> String,
    ) -> impl Iterator<Item = Sql> {
        let mut left = self.sorted();
        std::iter::from_fn(move || {
            let rows = size(left.len().min(rows_max))?;
            let mut sql = Sql::new(&text(rows));
            left.by_ref().take(rows).flatten().for_each(|it| sql.add(it));
            Some(sql)
        })
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

/// The statement that inserts `rows`. An id that they all begin with is bound once.
fn statement<const WIDTH: usize>(insert: &str, rows: Vec<[Value; WIDTH]>, after: &str) -> Sql {
    // They are sorted, so if the ends have it in common, all have.
    let common = match (rows.first().map(|it| &it[0]), rows.last().map(|it| &it[0])) {
        (Some(Value::Id(first)), Some(Value::Id(last))) if first == last => Some(*first),
        _ => None,
    };
    let values = match common {
        Some(_) => placeholders_after(rows.len(), WIDTH),
        None => placeholders(rows.len(), WIDTH),
    };
    let mut sql = Sql::new(&format!("{insert} {values} {after}"));
    sql.expect(rows.len() * WIDTH);
    let skipped = usize::from(common.is_some());
    rows.into_iter().flat_map(|it| it.into_iter().skip(skipped)).for_each(|it| sql.add(it));
    if let Some(common) = common {
        sql.add(common.into());
    }
    sql
}

/// The largest power of two in `rows`, so that few different statements are ever prepared.
fn size(rows: usize) -> Option<usize> {
    (rows > 0).then(|| 1 << rows.ilog2())
}

/// `VALUES (?,?),(?,?)…`: unlike elsewhere not `$1`, since SQLite takes those for names, and
/// looks through all names of a statement for each that is bound.
fn placeholders(rows: usize, width: usize) -> String {
    let row = format!("({})", vec!["?"; width].join(","));
    format!("VALUES {}", vec![row; rows].join(","))
}

/// `VALUES ($6,?,?),($6,?,?)…`, where `$6` is bound last: a single name is quickly found.
fn placeholders_after(rows: usize, width: usize) -> String {
    let last = rows * (width - 1) + 1;
    let row = format!("(${last}{})", ",?".repeat(width - 1));
    format!("VALUES {}", vec![row; rows].join(","))
}

/// `(a = ? AND b = ?)`: one whole key.
fn whole(columns: &[&str]) -> String {
    format!("({} = ?)", columns.join(" = ? AND "))
}

/// `(a = ? AND b = ?) OR (a = ? AND b = ?)…`: the one way to ask for many keys that makes SQLite
/// look up each of them whole; a list of row values makes it scan.
fn alternatives(rows: usize, row: &str) -> String {
    vec![row; rows].join(" OR ")
}

#[cfg(test)]
mod tests;
