//! Many rows in few statements.
//!
//! This is where databases differ most in speed, so models say *what* to write and this module
//! says how. On SQLite, multi-row `VALUES` of a few fixed sizes is fastest: the statements stay
//! prepared, and nothing has to be parsed as JSON.

use super::{Connection, Row, Sql, StoreError, Value};

/// The most values one statement binds: 4,096, far below every database's limit; beyond it
/// larger statements gain nothing.
const VALUES_MAX: usize = 4_096;

/// Rows of one width, to be written together.
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

    /// Runs `before` `VALUES (…),(…)` `after` for all rows.
    ///
    /// For an insert that is `INSERT INTO t (a, b)` and perhaps `ON CONFLICT …`; for a delete
    /// `DELETE FROM t WHERE (a, b) IN (` and `)`.
    pub(crate) async fn execute(
        self,
        connection: &mut Connection,
        before: &str,
        after: &str,
    ) -> Result<(), StoreError> {
        for sql in self.statements(before, after) {
            sql.execute(connection).await?;
        }
        Ok(())
    }

    /// The same for a query: all rows that are answered, in no order.
    pub(crate) async fn fetch(
        self,
        connection: &mut Connection,
        before: &str,
        after: &str,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        for sql in self.statements(before, after) {
            rows.extend(sql.fetch(connection).await?);
        }
        Ok(rows)
    }

    fn statements(self, before: &str, after: &str) -> impl Iterator<Item = Sql> {
        let mut left = self.0.into_iter();
        let (before, after) = (before.to_owned(), after.to_owned());
        std::iter::from_fn(move || {
            let rows = size(left.len(), WIDTH)?;
            let mut sql = Sql::new(&before);
            sql.push(&placeholders(rows, WIDTH)).push(&after);
            left.by_ref().take(rows).flatten().for_each(|it| sql.add(it));
            Some(sql)
        })
    }
}

/// How many of `left` rows the next statement takes: a power of two, so that few different
/// statements are ever prepared.
fn size(left: usize, width: usize) -> Option<usize> {
    let most = (VALUES_MAX / width).max(1);
    let rows = left.min(most);
    (rows > 0).then(|| 1 << rows.ilog2())
}

/// ` VALUES (?,?),(?,?)…`: unlike elsewhere not `$1`, since SQLite takes those for names, and
/// looks through all names of a statement for each that is bound.
fn placeholders(rows: usize, width: usize) -> String {
    let row = format!("({})", vec!["?"; width].join(","));
    format!(" VALUES {} ", vec![row; rows].join(","))
}
