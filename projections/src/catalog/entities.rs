//! Entities as they are now.

mod columns;
mod facets;
mod list;
mod sights;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::Principal;
use domain::id::{ActorId, EntityId, EntityUid, LocationId};
use event_log::Position;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog::filter::Filter;
use crate::catalog::sql::Visible;
use crate::error::ReadError;
use crate::model::Model;
use crate::read_models::ReadModels;
use crate::scope::Scoped;
use crate::store::{LIST_MAX, Sql};

pub use columns::{Column, Columns};
pub use facets::{FACET_VALUES_MAX, facets};
pub use list::{count, list, list_columns};
#[cfg(test)]
pub(in crate::catalog) use list::{count_visible, list_visible};
pub use sights::sights;

/// A catalog entity as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// Its stream.
    pub id: EntityId,
    /// This registration's identity, Backstage's `metadata.uid`.
    pub uid: EntityUid,
    /// `kind:namespace/name` in lower case.
    pub reference: String,
    /// The kind as it was written.
    pub kind: String,
    /// The namespace; `default` if none was given.
    pub namespace: String,
    /// The name as it was written.
    pub name: String,
    /// `metadata.title`.
    pub title: Option<String>,
    /// `metadata.description`.
    pub description: Option<String>,
    /// `spec.type`.
    pub spec_type: Option<String>,
    /// `spec.lifecycle`.
    pub lifecycle: Option<String>,
    /// `metadata.tags`.
    pub tags: Vec<String>,
    /// The location it follows, if any.
    pub location: Option<LocationId>,
    /// Stands for the whole document, Backstage's `metadata.etag`: SHA-256 in hex.
    pub etag: String,
    /// The stream's revision that says so.
    pub revision: u64,
    /// The tenant sequence of that event.
    pub sequence: u64,
    /// The log position of that event.
    pub position: Position,
    /// When this registration began.
    pub registered_at: DateTime<Utc>,
    /// When it last changed.
    pub changed_at: DateTime<Utc>,
    /// Who changed it last.
    pub changed_by: ActorId,
    /// The whole document as JSON text, see [`Entity::document`].
    pub(crate) text: String,
}

impl Entity {
    /// The whole document with defaults, injected annotations, uid and etag; without
    /// relations, which [`super::relations`] has.
    #[must_use]
    pub fn document(&self) -> Value {
        serde_json::from_str(&self.text).expect("the writer stored JSON")
    }

    /// The same as JSON text.
    #[must_use]
    pub fn document_text(&self) -> &str {
        &self.text
    }
}

/// Which entities, and in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// What must hold of them.
    pub filter: Filter,
    /// What must be found in them, if anything.
    pub text: Option<TextSearch>,
    /// Their order.
    pub order: Order,
}

impl Selection {
    /// Those that satisfy `filter`, by reference.
    #[must_use]
    pub fn matching(filter: Filter) -> Self {
        Self { filter, text: None, order: Order::default() }
    }
}

/// A search for words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextSearch {
    /// Words, separated by anything that is not a letter or digit. All must be found, each as
    /// the beginning of a word.
    pub terms: String,
}

/// An order of entities. Ties are broken by reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// What they are compared by.
    pub by: OrderBy,
    /// Whether the largest comes first.
    pub descending: bool,
}

/// What entities are compared by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OrderBy {
    /// Their reference.
    #[default]
    Reference,
    /// How well they match [`Selection::text`], best first unless descending is set.
    Relevance,
    /// When they last changed, in the tenant's sequence.
    Changed,
    /// The value of a key of the flattened descriptor, in lower case.
    Key {
        /// The key, say `metadata.title`.
        key: String,
        /// What becomes of those without it.
        missing: Missing,
    },
}

/// What becomes of entities that lack the key they are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// They are left out, as Backstage's `by-query` does.
    Excluded,
    /// They come last in either direction, as Backstage's `/entities` does.
    Last,
}

/// A place in a list of entities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityCursor {
    /// What the entity is compared by; none if it lacks it.
    pub value: Option<String>,
    /// Its reference.
    pub reference: String,
}

/// The values one key has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facet {
    /// The key.
    pub key: String,
    /// Its values, the most frequent first, of those with the same count in their own order.
    pub values: Vec<FacetValue>,
    /// Whether there are values beyond those.
    pub more: bool,
}

/// One value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacetValue {
    /// The value as it was written.
    pub value: String,
    /// How many entities have it.
    pub count: u64,
}

/// The entity with this reference (`kind:namespace/name`, in any case).
///
/// # Errors
///
/// [`ReadError`].
pub async fn find(
    models: &ReadModels,
    principal: &Principal,
    reference: &str,
) -> Result<Option<Entity>, ReadError> {
    let Some(visible) = Visible::to(principal)? else { return Ok(None) };
    let mut sql = select(&visible);
    sql.push(" AND e.reference = ").bind(reference.to_lowercase());
    Ok(fetch(models, sql).await?.pop())
}

/// The entity with this registration.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find_by_uid(
    models: &ReadModels,
    principal: &Principal,
    uid: EntityUid,
) -> Result<Option<Entity>, ReadError> {
    let Some(visible) = Visible::to(principal)? else { return Ok(None) };
    let mut sql = select(&visible);
    sql.push(" AND e.uid = ").bind(uid.0);
    Ok(fetch(models, sql).await?.pop())
}

/// The entities with these references (in any case), in order, in one query for every 8,192.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find_many(
    models: &ReadModels,
    principal: &Principal,
    references: &[String],
) -> Result<Vec<Option<Arc<Entity>>>, ReadError> {
    find_many_columns(models, principal, references, Columns::ALL).await
}

/// The same with these columns only; everything else about the entities is empty.
pub(in crate::catalog) async fn find_many_columns(
    models: &ReadModels,
    principal: &Principal,
    references: &[String],
    columns: Columns,
) -> Result<Vec<Option<Arc<Entity>>>, ReadError> {
    let Some(visible) = Visible::to(principal)? else { return Ok(vec![None; references.len()]) };
    if references.is_empty() {
        return Ok(Vec::new());
    }
    let references: Vec<_> = references.iter().map(|it| it.to_lowercase()).collect();
    let mut found = HashMap::new();
    for some in references.chunks(LIST_MAX) {
        let mut sql = select_columns(&visible, columns);
        sql.push(" AND e.reference IN ").bind_list(some.iter().map(String::as_str));
        let entities = models.rows(Model::Catalog, sql, |it| columns.read(it)).await?;
        found.extend(entities.into_iter().map(|it| (it.reference.clone(), Arc::new(it))));
    }
    Ok(references.iter().map(|it| found.get(it).cloned()).collect())
}

/// The entities of these streams, in order, in one query.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find_many_by_id(
    models: &ReadModels,
    principal: &Principal,
    ids: &[EntityId],
) -> Result<Vec<Option<Entity>>, ReadError> {
    let Some(visible) = Visible::to(principal)? else { return Ok(vec![None; ids.len()]) };
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = select(&visible);
    sql.push(" AND e.id IN ").bind_list(ids.iter().map(|it| it.0));
    let found = fetch(models, sql).await?;
    let found: HashMap<_, _> = found.into_iter().map(|it| (it.id, it)).collect();
    Ok(ids.iter().map(|it| found.get(it).cloned()).collect())
}

/// All that is visible; its text ends inside the `WHERE` clause.
fn select(visible: &Visible) -> Scoped {
    select_columns(visible, Columns::ALL)
}

fn select_columns(visible: &Visible, columns: Columns) -> Scoped {
    let mut sql = Sql::new("SELECT ");
    columns.write(&mut sql);
    sql.push(" FROM entities e WHERE ");
    visible.write(&mut sql, "e");
    visible.scoping(sql)
}

async fn fetch(models: &ReadModels, sql: Scoped) -> Result<Vec<Entity>, ReadError> {
    models.rows(Model::Catalog, sql, |it| Columns::ALL.read(it)).await
}
