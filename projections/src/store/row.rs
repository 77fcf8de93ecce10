//! One row of an answer, read by place.

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, Utc};
use domain::quantity::Currency;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Postgres, Row as _, Sqlite, Type};
use uuid::Uuid;

use super::StoreError;

/// One row of an answer.
pub(crate) struct Row {
    row: Stored,
    /// What was copied out of it. In bytes.
    copied: AtomicUsize,
}

enum Stored {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(super) fn of_sqlite(row: SqliteRow) -> Self {
        Self { row: Stored::Sqlite(row), copied: AtomicUsize::new(0) }
    }

    pub(super) fn of_postgres(row: PgRow) -> Self {
        Self { row: Stored::Postgres(row), copied: AtomicUsize::new(0) }
    }

    /// How much text was copied out of it so far. In bytes.
    pub(crate) fn copied(&self) -> usize {
        self.copied.load(Ordering::Relaxed)
    }

    fn get<'r, T>(&'r self, column: usize) -> Result<T, StoreError>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        Ok(match &self.row {
            Stored::Sqlite(row) => row.try_get_unchecked(column)?,
            Stored::Postgres(row) => row.try_get_unchecked(column)?,
        })
    }

    pub(crate) fn uuid(&self, column: usize) -> Result<Uuid, StoreError> {
        self.get(column)
    }

    pub(crate) fn optional_uuid(&self, column: usize) -> Result<Option<Uuid>, StoreError> {
        self.get(column)
    }

    pub(crate) fn text(&self, column: usize) -> Result<String, StoreError> {
        let text: String = self.get(column)?;
        self.copied.fetch_add(text.len(), Ordering::Relaxed);
        Ok(text)
    }

    pub(crate) fn optional_text(&self, column: usize) -> Result<Option<String>, StoreError> {
        let text: Option<String> = self.get(column)?;
        self.copied.fetch_add(text.as_ref().map_or(0, String::len), Ordering::Relaxed);
        Ok(text)
    }

    pub(crate) fn integer(&self, column: usize) -> Result<i64, StoreError> {
        self.get(column)
    }

    pub(crate) fn optional_integer(&self, column: usize) -> Result<Option<i64>, StoreError> {
        self.get(column)
    }

    /// A position, sequence, revision or count.
    pub(crate) fn count(&self, column: usize) -> Result<u64, StoreError> {
        let expected = "a number that is not negative";
        self.integer(column)?.try_into().map_err(|it| unexpected(column, expected, it))
    }

    pub(crate) fn number(&self, column: usize) -> Result<u32, StoreError> {
        let expected = "a small number that is not negative";
        self.integer(column)?.try_into().map_err(|it| unexpected(column, expected, it))
    }

    pub(crate) fn time(&self, column: usize) -> Result<DateTime<Utc>, StoreError> {
        self.optional_time(column)?.ok_or(StoreError::Value {
            column,
            expected: "a time",
            source: None,
        })
    }

    pub(crate) fn optional_time(&self, column: usize) -> Result<Option<DateTime<Utc>>, StoreError> {
        let Some(micros) = self.optional_integer(column)? else { return Ok(None) };
        let time = DateTime::from_timestamp_micros(micros);
        let missing = StoreError::Value { column, expected: "a time", source: None };
        time.map(Some).ok_or(missing)
    }

    /// A text that is read by `FromStr`.
    pub(crate) fn parsed<T>(&self, column: usize) -> Result<T, StoreError>
    where
        T: std::str::FromStr<Err: Error + Send + Sync + 'static>,
    {
        self.text(column)?.parse().map_err(|it| unexpected(column, std::any::type_name::<T>(), it))
    }

    /// The code of a currency, which may no longer be in use.
    pub(crate) fn currency(&self, column: usize) -> Result<Currency, StoreError> {
        let code = self.text(column)?;
        Currency::stored(&code).map_err(|it| unexpected(column, "a currency", it))
    }

    /// A text that is JSON.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(
        &self,
        column: usize,
    ) -> Result<T, StoreError> {
        let expected = std::any::type_name::<T>();
        serde_json::from_str(&self.text(column)?).map_err(|it| unexpected(column, expected, it))
    }

    /// The same where there may be none.
    pub(crate) fn optional_json<T: serde::de::DeserializeOwned>(
        &self,
        column: usize,
    ) -> Result<Option<T>, StoreError> {
        let expected = std::any::type_name::<T>();
        let text = self.optional_text(column)?;
        let json = text.map(|it| serde_json::from_str(&it)).transpose();
        json.map_err(|it| unexpected(column, expected, it))
    }
}

fn unexpected(
    column: usize,
    expected: &'static str,
    source: impl Error + Send + Sync + 'static,
) -> StoreError {
    StoreError::Value { column, expected, source: Some(Box::new(source)) }
}
