//! Pages of entities, in any order, and how many there are.

use domain::Principal;

use super::{Columns, Entity, EntityCursor, Missing, Order, OrderBy, Selection};
use crate::catalog::sql::Visible;
use crate::catalog::words;
use crate::error::ReadError;
use crate::model::Model;
use crate::page::{Direction, Page, Window};
use crate::read_models::ReadModels;
use crate::store::{Sql, StoreError, Value};

/// The most words of one search: 16.
const TERMS_MAX: usize = 16;

/// A page of the entities of `selection`.
///
/// # Errors
///
/// [`ReadError`].
pub async fn list(
    models: &ReadModels,
    principal: &Principal,
    selection: &Selection,
    window: &Window<EntityCursor>,
) -> Result<Page<Entity, EntityCursor>, ReadError> {
    list_columns(models, principal, selection, window, Columns::ALL).await
}

/// The same with these columns only; everything else about the entities is empty.
///
/// # Errors
///
/// [`ReadError`].
pub async fn list_columns(
    models: &ReadModels,
    principal: &Principal,
    selection: &Selection,
    window: &Window<EntityCursor>,
    columns: Columns,
) -> Result<Page<Entity, EntityCursor>, ReadError> {
    let Some(visible) = Visible::to(principal)? else { return Ok(Page::empty()) };
    list_visible(models, &visible, selection, window, columns).await
}

/// How many entities `selection` has. Apart from [`list`], since many callers do not ask.
///
/// # Errors
///
/// [`ReadError`].
pub async fn count(
    models: &ReadModels,
    principal: &Principal,
    selection: &Selection,
) -> Result<u64, ReadError> {
    let Some(visible) = Visible::to(principal)? else { return Ok(0) };
    count_visible(models, &visible, selection).await
}

pub(in crate::catalog) async fn count_visible(
    models: &ReadModels,
    visible: &Visible,
    selection: &Selection,
) -> Result<u64, ReadError> {
    let mut sql = Sql::new("SELECT count(*) FROM ");
    write_from(&mut sql, visible, selection)?;
    models.count(Model::Catalog, visible.scoping(sql)).await
}

pub(in crate::catalog) async fn list_visible(
    models: &ReadModels,
    visible: &Visible,
    selection: &Selection,
    window: &Window<EntityCursor>,
    wanted: Columns,
) -> Result<Page<Entity, EntityCursor>, ReadError> {
    let Order { by, descending } = &selection.order;
    let sort = Sort::of(by, selection.text.is_some());
    let mut sql = Sql::new("SELECT ");
    wanted.write(&mut sql);
    sql.push(", ").push(sort.value).push(" FROM ");
    write_from(&mut sql, visible, selection)?;
    let direction = if *descending { Direction::Descending } else { Direction::Ascending };
    let columns: Vec<&str> = match direction {
        Direction::Ascending => sort.ascending.to_vec(),
        Direction::Descending => sort.descending.to_vec(),
    };
    let key = |cursor: &EntityCursor| sort.key(cursor, direction);
    window.cut_ordered(&mut sql, &columns, direction, key)?;

    let place = |row: &crate::store::Row| -> Result<_, StoreError> {
        let value = match sort.kind {
            SortKind::Nothing => None,
            SortKind::Text => row.optional_text(wanted.count())?,
            SortKind::Number => Some(row.integer(wanted.count())?.to_string()),
        };
        Ok((wanted.read(row)?, value))
    };
    let rows = models.rows(Model::Catalog, visible.scoping(sql), place).await?;
    let cursor = |(entity, value): &(Entity, Option<String>)| EntityCursor {
        value: value.clone(),
        reference: entity.reference.clone(),
    };
    Ok(window.page(rows, cursor).map(|(entity, _)| entity))
}

/// How an order is written: the sort keys end with the reference, which is unique.
struct Sort {
    kind: SortKind,
    /// What goes into the cursor.
    value: &'static str,
    ascending: &'static [&'static str],
    descending: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SortKind {
    Nothing,
    Text,
    Number,
}

impl Sort {
    fn of(by: &OrderBy, searching: bool) -> Self {
        const REFERENCE: &[&str] = &["e.reference"];
        const CHANGED: &[&str] = &["e.sequence", "e.reference"];
        const RANK: &[&str] = &["f.place", "e.reference"];
        const VALUE: &[&str] = &["o.value", "o.reference"];
        // Those without the key come last in either direction.
        const LAST: &[&str] = &[
            "CASE WHEN o.value IS NULL THEN 1 ELSE 0 END",
            "coalesce(o.value, '')",
            "e.reference",
        ];
        const LAST_DESCENDING: &[&str] = &[
            "CASE WHEN o.value IS NULL THEN 0 ELSE 1 END",
            "coalesce(o.value, '')",
            "e.reference",
        ];
        let same =
            |kind, value, columns| Self { kind, value, ascending: columns, descending: columns };
        match by {
            OrderBy::Relevance if searching => same(SortKind::Number, "f.place", RANK),
            OrderBy::Reference | OrderBy::Relevance => same(SortKind::Nothing, "1", REFERENCE),
            OrderBy::Changed => same(SortKind::Number, "e.sequence", CHANGED),
            OrderBy::Key { missing: Missing::Excluded, .. } => {
                same(SortKind::Text, "o.value", VALUE)
            }
            OrderBy::Key { missing: Missing::Last, .. } => Self {
                kind: SortKind::Text,
                value: "o.value",
                ascending: LAST,
                descending: LAST_DESCENDING,
            },
        }
    }

    /// The values of a cursor, one per sort key. A forged cursor is a place like any other.
    fn key(&self, cursor: &EntityCursor, direction: Direction) -> Vec<Value> {
        let reference = cursor.reference.as_str().into();
        let text = cursor.value.as_deref().unwrap_or_default();
        match (self.kind, self.ascending.len()) {
            (SortKind::Nothing, _) => vec![reference],
            (SortKind::Number, _) => vec![text.parse().unwrap_or(0_i64).into(), reference],
            (SortKind::Text, 3) => {
                let there = cursor.value.is_some();
                let first = match direction {
                    Direction::Ascending => i64::from(!there),
                    Direction::Descending => i64::from(there),
                };
                vec![first.into(), text.into(), reference]
            }
            (SortKind::Text, _) => vec![text.into(), reference],
        }
    }
}

/// Writes `FROM` and `WHERE` of a selection: `entities` called `e`, what it is ordered by called
/// `o`, and what was found in it called `f`.
fn write_from(sql: &mut Sql, visible: &Visible, selection: &Selection) -> Result<(), ReadError> {
    sql.push("entities e");
    write_text(sql, visible, selection)?;
    let key = match &selection.order.by {
        OrderBy::Key { key, missing } => Some((key.to_lowercase(), *missing)),
        OrderBy::Reference | OrderBy::Relevance | OrderBy::Changed => None,
    };
    match &key {
        Some((key, Missing::Last)) => {
            sql.push(" LEFT JOIN (SELECT reference, value FROM search WHERE tenant = ");
            sql.bind(visible.tenant.0).push(" AND key = ").bind(key.as_str());
            sql.push(" AND known = 1 AND leads = 1) o ON o.reference = e.reference");
        }
        Some((_, Missing::Excluded)) => {
            sql.push(" JOIN search o ON o.tenant = e.tenant AND o.reference = e.reference");
        }
        None => (),
    }
    sql.push(" WHERE ");
    visible.write_with(sql, "e", &selection.filter);
    if let Some((key, Missing::Excluded)) = &key {
        sql.push(" AND o.tenant = ").bind(visible.tenant.0).push(" AND o.key = ");
        sql.bind(key.as_str()).push(" AND o.known = 1 AND o.leads = 1");
    }
    Ok(())
}

/// How much of a text to search for is repeated where it is refused. In characters: 64.
const SHOWN_MAX: usize = 64;

/// Joins `entities`, called `e`, with those in which the text of `selection` was found, called
/// `f`, if it has one.
pub(super) fn write_text(
    sql: &mut Sql,
    visible: &Visible,
    selection: &Selection,
) -> Result<(), ReadError> {
    let Some(text) = &selection.text else { return Ok(()) };
    let terms: Vec<_> = words::split(&text.terms).collect();
    if terms.is_empty() || terms.len() > TERMS_MAX {
        let shown: String = text.terms.chars().take(SHOWN_MAX).collect();
        let message = format!("expected 1 to {TERMS_MAX} words to search, got `{shown}`");
        return Err(ReadError::Invalid(message));
    }
    write_found(sql, visible, &terms);
    Ok(())
}

/// Joins the entities in which all of `terms` begin a word, with a place that is the smaller the
/// better they match. A whole word counts twice.
fn write_found(sql: &mut Sql, visible: &Visible, terms: &[String]) {
    sql.push(" JOIN (SELECT reference, CAST(-sum(score) AS BIGINT) AS place FROM (");
    for (index, term) in terms.iter().enumerate() {
        sql.push(if index == 0 { "" } else { " UNION ALL " });
        sql.push("SELECT reference, max(CASE WHEN word = ").bind(term.as_str());
        sql.push(" THEN 2 * weight ELSE weight END) AS score FROM words WHERE tenant = ");
        sql.bind(visible.tenant.0).push(" AND word >= ").bind(term.as_str());
        sql.push(" AND word < ").bind(format!("{term}{}", char::MAX));
        sql.push(" GROUP BY reference");
    }
    let count = i64::try_from(terms.len()).expect("terms are few");
    sql.push(") AS scored GROUP BY reference HAVING count(*) = ").bind(count);
    sql.push(") AS f ON f.reference = e.reference");
}
