//! One array per column is what is fastest on PostgreSQL: one statement, whatever the number of
//! rows, and its text is always the same.

use sqlx::Arguments;
use sqlx::postgres::PgArguments;
use uuid::Uuid;

use super::Rows;
use crate::store::postgres::{Session, clean};
use crate::store::{Row, StoreError, Value};

pub(super) async fn insert<const WIDTH: usize>(
    rows: Rows<WIDTH>,
    session: &mut Session,
    insert: &str,
    after: &str,
) -> Result<(), StoreError> {
    if rows.0.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = rows.sorted().collect();
    let text = format!("{insert} SELECT * FROM {} {after}", unnest(WIDTH));
    session.execute((text, columns(&rows))).await?;
    Ok(())
}

pub(super) async fn delete<const WIDTH: usize>(
    rows: Rows<WIDTH>,
    session: &mut Session,
    table: &str,
    condition: &str,
) -> Result<(), StoreError> {
    if rows.0.is_empty() {
        return Ok(());
    }
    let (keys, condition) = (keys(WIDTH), with_keys(condition));
    let text = format!("DELETE FROM {table} USING {keys} WHERE {condition}");
    session.execute((text, columns(&rows.0))).await?;
    Ok(())
}

pub(super) async fn fetch<const WIDTH: usize>(
    rows: Rows<WIDTH>,
    session: &mut Session,
    select: &str,
    condition: &str,
) -> Result<Vec<Row>, StoreError> {
    if rows.0.is_empty() {
        return Ok(Vec::new());
    }
    let (keys, condition) = (keys(WIDTH), with_keys(condition));
    let text = format!("{select} JOIN {keys} ON {condition}");
    session.fetch((text, columns(&rows.0))).await
}

/// `unnest($1,$2)`.
fn unnest(width: usize) -> String {
    let placeholders: Vec<_> = (1..=width).map(|it| format!("${it}")).collect();
    format!("unnest({})", placeholders.join(","))
}

/// `unnest($1,$2) AS wanted (k1,k2)`: no table has columns of such names.
fn keys(width: usize) -> String {
    let names: Vec<_> = (1..=width).map(|it| format!("k{it}")).collect();
    format!("{} AS wanted ({})", unnest(width), names.join(","))
}

/// `condition` with the columns of [`keys`] in place of its `?`.
fn with_keys(condition: &str) -> String {
    let mut parts = condition.split('?');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for (index, part) in parts.enumerate() {
        whole.push_str(&format!("wanted.k{}{part}", index + 1));
    }
    whole
}

/// The columns of `rows`, which has one at least, as arrays.
fn columns<const WIDTH: usize>(rows: &[[Value; WIDTH]]) -> PgArguments {
    let mut arguments = PgArguments::default();
    for column in 0..WIDTH {
        let values = rows.iter().map(|it| &it[column]);
        let added = match &rows[0][column] {
            Value::Id(_) | Value::OptionalId(_) => {
                arguments.add(values.map(id).collect::<Vec<_>>())
            }
            Value::Text(_) | Value::Shared(_) | Value::OptionalText(_) => {
                arguments.add(values.map(text).collect::<Vec<_>>())
            }
            Value::Integer(_) | Value::OptionalInteger(_) => {
                arguments.add(values.map(integer).collect::<Vec<_>>())
            }
        };
        added.expect("texts, ids and integers can always be bound");
    }
    arguments
}

fn id(value: &Value) -> Option<Uuid> {
    match value {
        Value::Id(it) => Some(*it),
        Value::OptionalId(it) => *it,
        other => unreachable!("a column of ids has {other:?}"),
    }
}

fn text(value: &Value) -> Option<std::borrow::Cow<'_, str>> {
    match value {
        Value::Text(it) => Some(clean(it)),
        Value::Shared(it) => Some(clean(it)),
        Value::OptionalText(it) => it.as_deref().map(clean),
        other => unreachable!("a column of texts has {other:?}"),
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(it) => Some(*it),
        Value::OptionalInteger(it) => *it,
        other => unreachable!("a column of integers has {other:?}"),
    }
}
