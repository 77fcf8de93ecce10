//! A statement under construction: its text and the values it binds.

use std::ops::ControlFlow;
use std::sync::Arc;

use futures::TryStreamExt;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, SqlSafeStr};
use uuid::Uuid;

use super::{Connection, Row, StoreError};

/// The most values of one list: 8,192. SQLite binds at most 32,766 in one statement, and a list
/// is not alone in it.
pub(crate) const LIST_MAX: usize = 8_192;

/// A value to bind. Times are microseconds since 1970, positions and counts integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Id(Uuid),
    OptionalId(Option<Uuid>),
    Text(String),
    /// A text that many rows have, or that was copied from somewhere.
    Shared(Arc<str>),
    OptionalText(Option<String>),
    Integer(i64),
    OptionalInteger(Option<i64>),
}

impl From<Uuid> for Value {
    fn from(value: Uuid) -> Self {
        Self::Id(value)
    }
}

impl From<Option<Uuid>> for Value {
    fn from(value: Option<Uuid>) -> Self {
        Self::OptionalId(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Shared(value.into())
    }
}

impl From<Arc<str>> for Value {
    fn from(value: Arc<str>) -> Self {
        Self::Shared(value)
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::OptionalText(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::OptionalInteger(value)
    }
}

/// Positions, sequences, revisions and counts stay far below 2⁶³, so whoever asks for what lies
/// beyond it asks for what lies beyond all of them: the greatest integer says the same.
impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

/// A statement under construction. Which database it is for is known when it runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sql {
    text: String,
    /// What the placeholders stand for, from `$1` on. That of a list stands for its first value.
    pub(super) values: Vec<Value>,
    pub(super) lists: Vec<List>,
}

/// A list of values. SQLite has it written out, PostgreSQL takes it as one.
#[derive(Clone, Debug)]
pub(super) struct List {
    /// Where it stands in the text, right behind `IN `.
    pub at: usize,
    /// The number of its placeholder; none if it is empty.
    pub number: Option<usize>,
    /// All but the first.
    pub rest: Vec<Value>,
}

impl Sql {
    /// A statement that begins with `text`, which is never made of anything a caller said.
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// Goes on with `text`, which is never made of anything a caller said.
    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Goes on with a placeholder for `value`.
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.add(value.into());
        let number = self.values.len();
        self.push(&format!("${number}"))
    }

    /// Goes on with a list of `values`, right behind `IN `. Whoever calls sees to it that there
    /// are at most [`LIST_MAX`].
    pub(crate) fn bind_list<V: Into<Value>>(
        &mut self,
        values: impl IntoIterator<Item = V>,
    ) -> &mut Self {
        debug_assert!(self.text.ends_with(IN), "{}", self.text);
        let mut values = values.into_iter().map(Into::into);
        let number = values.next().map(|first| {
            self.add(first);
            self.values.len()
        });
        self.lists.push(List { at: self.text.len(), number, rest: values.collect() });
        self
    }

    /// Binds `value` without writing its placeholder.
    pub(crate) fn add(&mut self, value: Value) {
        self.values.push(value);
    }

    /// As SQLite takes it. The length of a list is padded to a power of two by repeating its last
    /// value, so that few different statements have to be prepared.
    pub(super) fn for_sqlite(self) -> (String, SqliteArguments) {
        let Self { mut text, values, lists } = self;
        let mut arguments = SqliteArguments::default();
        let lengths = lists.iter().map(|it| List::padded(it.rest.len()));
        arguments.reserve(values.len() + lengths.sum::<usize>(), 0);
        let mut bound = values.len();
        values.into_iter().for_each(|it| add(&mut arguments, it));
        let (mut written, mut whole) = (0, String::new());
        for List { at, number, mut rest } in lists {
            if let Some(last) = rest.last().cloned() {
                rest.resize(List::padded(rest.len()), last);
            }
            whole.push_str(&text[written..at]);
            whole.push('(');
            written = at;
            if let Some(number) = number {
                whole.push_str(&format!("${number}"));
            }
            for it in rest {
                bound += 1;
                whole.push_str(&format!(",${bound}"));
                add(&mut arguments, it);
            }
            whole.push(')');
        }
        if written > 0 {
            whole.push_str(&text[written..]);
            text = whole;
        }
        (text, arguments)
    }

    /// Its text without the lists, and where they stand in it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Runs it and returns the rows it answers.
    pub(crate) async fn fetch(self, connection: &mut Connection) -> Result<Vec<Row>, StoreError> {
        self.trace();
        match connection {
            Connection::Sqlite(session) => {
                let (text, arguments) = self.for_sqlite();
                let text = AssertSqlSafe(text).into_sql_str();
                let rows =
                    sqlx::query_with(text, arguments).fetch_all(session.ready().await?).await?;
                Ok(rows.into_iter().map(Row::of_sqlite).collect())
            }
            Connection::Postgres(session) => session.fetch(self.for_postgres()).await,
        }
    }

    /// Runs it and returns the row it answers, if any.
    pub(crate) async fn fetch_optional(
        self,
        connection: &mut Connection,
    ) -> Result<Option<Row>, StoreError> {
        self.trace();
        match connection {
            Connection::Sqlite(session) => {
                let (text, arguments) = self.for_sqlite();
                let text = AssertSqlSafe(text).into_sql_str();
                let row = sqlx::query_with(text, arguments)
                    .fetch_optional(session.ready().await?)
                    .await?;
                Ok(row.map(Row::of_sqlite))
            }
            Connection::Postgres(session) => {
                Ok(session.fetch(self.for_postgres()).await?.into_iter().next())
            }
        }
    }

    /// Runs it and hands over each row as it comes, until that is enough.
    pub(crate) async fn each(
        self,
        connection: &mut Connection,
        mut take: impl FnMut(&Row) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        self.trace();
        match connection {
            Connection::Sqlite(session) => {
                let (text, arguments) = self.for_sqlite();
                let text = AssertSqlSafe(text).into_sql_str();
                let mut rows = sqlx::query_with(text, arguments).fetch(session.ready().await?);
                while let Some(row) = rows.try_next().await? {
                    if take(&Row::of_sqlite(row))?.is_break() {
                        break;
                    }
                }
                Ok(())
            }
            Connection::Postgres(session) => session.each(self.for_postgres(), take).await,
        }
    }

    /// Tells whoever listens that a statement reads, so that they can be counted.
    fn trace(&self) {
        tracing::trace!(target: "projections::statement", text = %self.text, "reading");
    }

    /// Runs it and returns how many rows it changed.
    pub(crate) async fn execute(self, connection: &mut Connection) -> Result<u64, StoreError> {
        match connection {
            Connection::Sqlite(session) => {
                let (text, arguments) = self.for_sqlite();
                let text = AssertSqlSafe(text).into_sql_str();
                let done =
                    sqlx::query_with(text, arguments).execute(session.ready().await?).await?;
                Ok(done.rows_affected())
            }
            Connection::Postgres(session) => session.execute(self.for_postgres()).await,
        }
    }
}

/// What stands before a list.
pub(super) const IN: &str = " IN ";

impl List {
    /// How many values it has behind the first where it is padded and has so many.
    fn padded(rest: usize) -> usize {
        (rest + 1).next_power_of_two().min(LIST_MAX).saturating_sub(1).max(rest)
    }
}

/// Binds a value for SQLite.
pub(super) fn add(arguments: &mut SqliteArguments, value: Value) {
    let added = match value {
        Value::Id(it) => arguments.add(it),
        Value::OptionalId(it) => arguments.add(it),
        Value::Text(it) => arguments.add(it),
        Value::Shared(it) => arguments.add(it),
        Value::OptionalText(it) => arguments.add(it),
        Value::Integer(it) => arguments.add(it),
        Value::OptionalInteger(it) => arguments.add(it),
    };
    added.expect("texts, ids and integers can always be bound");
}

#[cfg(test)]
mod tests;
