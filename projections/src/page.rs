//! How lists are cut: keyset pages, in both directions.
//!
//! A cursor is the sort key of a row, typed by its list. Whoever hands cursors to the outside
//! seals them and binds them to tenant and query; here they are only a place in an order, and
//! a forged one can at most begin a page elsewhere in what the principal may see anyway.

use crate::error::ReadError;
use crate::store::{Sql, Value};

/// The most rows one page may have: 1,000.
pub const PAGE_ROWS_MAX: u32 = 1_000;

/// Which part of a list is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window<C> {
    /// Only what comes after this place.
    pub after: Option<C>,
    /// Only what comes before this place.
    pub before: Option<C>,
    /// Which end of what is left.
    pub take: Take,
}

/// Which end of a list, and how much of it. Rows come in list order either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// This many from the beginning.
    First(u32),
    /// This many from the end.
    Last(u32),
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The rows in list order, each with its place.
    pub edges: Vec<Edge<T, C>>,
    /// Whether there are rows before the first one here.
    pub has_previous: bool,
    /// Whether there are rows after the last one here.
    pub has_next: bool,
}

/// A row with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge<T, C> {
    /// Its place in the list.
    pub cursor: C,
    /// The row.
    pub node: T,
}

impl<C> Window<C> {
    /// The first `count` rows.
    #[must_use]
    pub fn first(count: u32) -> Self {
        Self { after: None, before: None, take: Take::First(count) }
    }

    /// The last `count` rows.
    #[must_use]
    pub fn last(count: u32) -> Self {
        Self { after: None, before: None, take: Take::Last(count) }
    }

    /// Only what comes after `cursor`.
    #[must_use]
    pub fn after(self, cursor: C) -> Self {
        Self { after: Some(cursor), ..self }
    }

    /// Only what comes before `cursor`.
    #[must_use]
    pub fn before(self, cursor: C) -> Self {
        Self { before: Some(cursor), ..self }
    }

    /// How many rows to fetch: one more than asked for, to see whether there are others.
    pub(crate) fn fetch(&self) -> Result<i64, ReadError> {
        let (Take::First(count) | Take::Last(count)) = self.take;
        if count > PAGE_ROWS_MAX {
            let message = format!("expected a page of at most {PAGE_ROWS_MAX} rows, got {count}");
            return Err(ReadError::Invalid(message));
        }
        Ok(i64::from(count) + 1)
    }

    /// Ends `sql`, whose text so far ends inside a `WHERE` clause, so that it answers this
    /// window of rows sorted by `columns`, which together are unique. `key` takes a cursor apart
    /// into their values.
    pub(crate) fn cut(
        &self,
        sql: &mut Sql,
        columns: &[&str],
        key: impl Fn(&C) -> Vec<Value>,
    ) -> Result<(), ReadError> {
        self.cut_ordered(sql, columns, Direction::Ascending, key)
    }

    /// The same for rows sorted in a direction.
    pub(crate) fn cut_ordered(
        &self,
        sql: &mut Sql,
        columns: &[&str],
        direction: Direction,
        key: impl Fn(&C) -> Vec<Value>,
    ) -> Result<(), ReadError> {
        let fetch = self.fetch()?;
        let (after, before) = match direction {
            Direction::Ascending => (" > (", " < ("),
            Direction::Descending => (" < (", " > ("),
        };
        let list = columns.join(", ");
        for (cursor, operator) in [(&self.after, after), (&self.before, before)] {
            let Some(cursor) = cursor else { continue };
            sql.push(" AND (").push(&list).push(")").push(operator);
            for (index, value) in key(cursor).into_iter().enumerate() {
                sql.push(if index == 0 { "" } else { ", " }).bind(value);
            }
            sql.push(")");
        }
        let order = match (direction, self.take) {
            (Direction::Ascending, Take::First(_)) | (Direction::Descending, Take::Last(_)) => "",
            (Direction::Descending, Take::First(_)) | (Direction::Ascending, Take::Last(_)) => {
                " DESC"
            }
        };
        sql.push(" ORDER BY ").push(&columns.join(&format!("{order}, "))).push(order);
        sql.push(" LIMIT ").bind(fetch);
        Ok(())
    }

    /// Cuts `rows`, which were fetched in the direction of [`Window::take`], to a page.
    pub(crate) fn page<T>(&self, mut rows: Vec<T>, cursor: impl Fn(&T) -> C) -> Page<T, C> {
        let (Take::First(count) | Take::Last(count)) = self.take;
        let more = rows.len() > count as usize;
        rows.truncate(count as usize);
        let (has_previous, has_next) = match self.take {
            Take::First(_) => (self.after.is_some(), more),
            Take::Last(_) => {
                rows.reverse();
                (more, self.before.is_some())
            }
        };
        let edges = rows.into_iter().map(|node| Edge { cursor: cursor(&node), node });
        Page { edges: edges.collect(), has_previous, has_next }
    }
}

/// The direction of a list's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

impl<T, C> Page<T, C> {
    /// A page of nothing.
    pub(crate) fn empty() -> Self {
        Self { edges: Vec::new(), has_previous: false, has_next: false }
    }

    /// The same page with other rows.
    pub fn map<U>(self, mut each: impl FnMut(T) -> U) -> Page<U, C> {
        let Self { edges, has_previous, has_next } = self;
        let edges = edges.into_iter();
        let edges = edges.map(|it| Edge { cursor: it.cursor, node: each(it.node) }).collect();
        Page { edges, has_previous, has_next }
    }

    /// The rows without their places.
    pub fn into_nodes(self) -> impl Iterator<Item = T> {
        self.edges.into_iter().map(|it| it.node)
    }
}
