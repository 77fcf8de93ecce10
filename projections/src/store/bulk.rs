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
        mut self,
        connection: &mut Connection,
        insert: &str,
        after: &str,
    ) -> Result<(), StoreError> {
        self.0.sort_unstable();
        // A statement that fails fails its transaction anyway. Saying so spares SQLite a journal
        // of every statement.
        let insert = insert.replacen("INSERT INTO", "INSERT OR ROLLBACK INTO", 1);
        let text = |rows| format!("{insert} {} {after}", placeholders(rows, WIDTH));
        for sql in self.statements((VALUES_MAX / WIDTH).max(1), text) {
            sql.execute(connection).await?;
        }
        Ok(())
    }

    /// Removes from `table` what has these values in `columns`.
    pub(crate) async fn delete(
        mut self,
        connection: &mut Connection,
        table: &str,
        columns: [&str; WIDTH],
    ) -> Result<(), StoreError> {
        self.0.sort_unstable();
        let text = |rows| format!("DELETE FROM {table} WHERE {}", alternatives(rows, &columns));
        for sql in self.statements(ALTERNATIVES_MAX, text) {
            sql.execute(connection).await?;
        }
        Ok(())
    }

    /// Runs `select` for what has these values in `columns`; all that is found, in no order.
    pub(crate) async fn fetch(
        mut self,
        connection: &mut Connection,
        select: &str,
        columns: [&str; WIDTH],
    ) -> Result<Vec<Row>, StoreError> {
        self.0.sort_unstable();
        let text = |rows| format!("{select} WHERE {}", alternatives(rows, &columns));
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
        let mut left = self.0.into_iter();
        std::iter::from_fn(move || {
            let rows = size(left.len().min(rows_max))?;
            let mut sql = Sql::new(&text(rows));
            left.by_ref().take(rows).flatten().for_each(|it| sql.add(it));
            Some(sql)
        })
    }
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

/// `(a = ? AND b = ?) OR (a = ? AND b = ?)…`: the one way to ask for many keys that makes SQLite
/// look up each of them whole; a list of row values makes it scan.
fn alternatives(rows: usize, columns: &[&str]) -> String {
    let row = format!("({} = ?)", columns.join(" = ? AND "));
    vec![row; rows].join(" OR ")
}

#[cfg(test)]
mod tests;
