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

/// A statement under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sql {
    text: String,
    arguments: SqliteArguments,
    bound: usize,
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
        let placeholder = self.reserve(value);
        self.text.push_str(&placeholder);
        self
    }

    /// Binds `value` and returns its placeholder, to be pushed any number of times.
    pub(crate) fn reserve(&mut self, value: impl Into<Value>) -> String {
        self.add(value.into());
        format!("${}", self.bound)
    }

    /// Goes on with a parenthesised list of `values`. Its length is padded to a power of two by
    /// repeating the last, so that few different statements have to be prepared. Whoever calls
    /// sees to it that there are at most [`LIST_MAX`]; a longer list is not padded.
    pub(crate) fn bind_list<V: Into<Value>>(
        &mut self,
        values: impl IntoIterator<Item = V>,
    ) -> &mut Self {
        let mut values: Vec<Value> = values.into_iter().map(Into::into).collect();
        if let Some(last) = values.last().cloned() {
            let padded = values.len().next_power_of_two().min(LIST_MAX);
            values.resize(padded.max(values.len()), last);
        }
        self.text.push('(');
        for (index, value) in values.into_iter().enumerate() {
            self.text.push_str(if index == 0 { "" } else { "," });
            self.bind(value);
        }
        self.text.push(')');
        self
    }

    /// Makes room for so many values.
    pub(crate) fn expect(&mut self, count: usize) {
        self.arguments.reserve(count, 0);
    }

    /// Binds `value` without writing its placeholder.
    pub(crate) fn add(&mut self, value: Value) {
        let arguments = &mut self.arguments;
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
        self.bound += 1;
    }

    /// Runs it and returns the rows it answers.
    pub(crate) async fn fetch(self, connection: &mut Connection) -> Result<Vec<Row>, StoreError> {
        self.trace();
        let text = AssertSqlSafe(self.text).into_sql_str();
        let rows = sqlx::query_with(text, self.arguments).fetch_all(connection).await?;
        Ok(rows.into_iter().map(Row::new).collect())
    }

    /// Runs it and returns the row it answers, if any.
    pub(crate) async fn fetch_optional(
        self,
        connection: &mut Connection,
    ) -> Result<Option<Row>, StoreError> {
        self.trace();
        let text = AssertSqlSafe(self.text).into_sql_str();
        Ok(sqlx::query_with(text, self.arguments).fetch_optional(connection).await?.map(Row::new))
    }

    /// Runs it and hands over each row as it comes, until that is enough.
    pub(crate) async fn each(
        self,
        connection: &mut Connection,
        mut take: impl FnMut(&Row) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        self.trace();
        let text = AssertSqlSafe(self.text).into_sql_str();
        let mut rows = sqlx::query_with(text, self.arguments).fetch(connection);
        while let Some(row) = rows.try_next().await? {
            if take(&Row::new(row))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Tells whoever listens that a statement reads, so that they can be counted.
    fn trace(&self) {
        tracing::trace!(target: "projections::statement", text = %self.text, "reading");
    }

    /// Runs it and returns how many rows it changed.
    pub(crate) async fn execute(self, connection: &mut Connection) -> Result<u64, StoreError> {
        let text = AssertSqlSafe(self.text).into_sql_str();
        let done = sqlx::query_with(text, self.arguments).execute(connection).await?;
        Ok(done.rows_affected())
    }
}

#[cfg(test)]
mod tests;
