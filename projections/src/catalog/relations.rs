//! Relations, in both directions.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use domain::Principal;
use serde::{Deserialize, Serialize};

use crate::catalog::entities::{self, Columns, Entity};
use crate::catalog::sql::Visible;
use crate::error::ReadError;
use crate::model::Model;
use crate::page::{Page, Take, Window};
use crate::read_models::ReadModels;
use crate::store::{Row, Sql, StoreError};

/// The most types one question may name: 100, several times the types there are.
pub const KINDS_MAX: usize = 100;

/// One end of a relation, seen from the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The type, say `ownedBy`; the far end has the reverse one, `ownerOf`.
    pub kind: String,
    /// The reference at the far end, in lower case.
    pub target: String,
    /// Whether the principal can see an entity there.
    pub resolved: bool,
}

/// A relation with the entity at its far end.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbour {
    /// The relation.
    pub relation: Relation,
    /// The entity; none if there is none that the principal can see, or it was not asked for.
    pub entity: Option<Arc<Entity>>,
}

/// A place among the relations of an entity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RelationCursor {
    /// The type.
    pub kind: String,
    /// The reference at the far end.
    pub target: String,
}

impl Relation {
    fn cursor(&self) -> RelationCursor {
        RelationCursor { kind: self.kind.clone(), target: self.target.clone() }
    }
}

/// Which relations of an entity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// Of these types only, unless that is empty. At most [`KINDS_MAX`].
    pub kinds: Vec<String>,
    /// So many of them.
    pub first: u32,
    /// Only what comes after this place.
    pub after: Option<RelationCursor>,
}

impl Part {
    /// The first `first` of `kinds`.
    #[must_use]
    pub fn first(first: u32, kinds: Vec<String>) -> Self {
        Self { kinds, first, after: None }
    }

    fn window(&self) -> Window<RelationCursor> {
        Window { after: self.after.clone(), before: None, take: Take::First(self.first) }
    }
}

/// `part` of the relations of each of `references`, in order, sorted by type and target, in one
/// query. Of an entity that cannot be seen there are none.
///
/// # Errors
///
/// [`ReadError`].
pub async fn of_many(
    models: &ReadModels,
    principal: &Principal,
    references: &[String],
    part: &Part,
) -> Result<Vec<Page<Relation, RelationCursor>>, ReadError> {
    let Some(visible) = Visible::to(principal)? else {
        return Ok(references.iter().map(|_| Page::empty()).collect());
    };
    of_many_visible(models, &visible, references, part).await
}

pub(in crate::catalog) async fn of_many_visible(
    models: &ReadModels,
    visible: &Visible,
    references: &[String],
    part: &Part,
) -> Result<Vec<Page<Relation, RelationCursor>>, ReadError> {
    let window = part.window();
    let fetch = window.fetch()?;
    let references: Vec<_> = references.iter().map(|it| it.to_lowercase()).collect();
    let Some(write) = stated(visible, &references, &part.kinds)? else { return Ok(Vec::new()) };
    let mut sql = Sql::new("SELECT p.source, p.kind, p.target, CASE WHEN EXISTS (");
    sql.push("SELECT 1 FROM entities t WHERE t.reference = p.target AND ");
    visible.write(&mut sql, "t");
    sql.push(") THEN 1 ELSE 0 END FROM (SELECT source, kind, target,");
    sql.push(" row_number() OVER (PARTITION BY source ORDER BY kind, target) AS place FROM (");
    write(&mut sql);
    sql.push(") AS stated");
    if let Some(RelationCursor { kind, target }) = &part.after {
        sql.push(" WHERE (kind, target) > (").bind(kind.as_str());
        sql.push(", ").bind(target.as_str()).push(")");
    }
    sql.push(") AS p WHERE p.place <= ").bind(fetch).push(" ORDER BY p.source, p.place");
    let mut found: HashMap<String, Vec<Relation>> = HashMap::new();
    for (source, relation) in models.rows(Model::Catalog, visible.scoping(sql), read).await? {
        found.entry(source).or_default().push(relation);
    }
    let page = |it| window.page(found.get(it).cloned().unwrap_or_default(), Relation::cursor);
    Ok(references.iter().map(page).collect())
}

/// How many relations of `kinds`, or of all if that is empty, each of `references` has, in order,
/// in one query.
///
/// # Errors
///
/// [`ReadError`].
pub async fn count_of_many(
    models: &ReadModels,
    principal: &Principal,
    references: &[String],
    kinds: &[String],
) -> Result<Vec<u64>, ReadError> {
    let Some(visible) = Visible::to(principal)? else { return Ok(vec![0; references.len()]) };
    let references: Vec<_> = references.iter().map(|it| it.to_lowercase()).collect();
    let Some(write) = stated(&visible, &references, kinds)? else { return Ok(Vec::new()) };
    let mut sql = Sql::new("SELECT source, count(*) FROM (");
    write(&mut sql);
    sql.push(") AS stated GROUP BY source");
    let read = |row: &Row| Ok((row.text(0)?, row.count(1)?));
    let counted = models.rows(Model::Catalog, visible.scoping(sql), read).await?;
    let counted: HashMap<String, u64> = counted.into_iter().collect();
    Ok(references.iter().map(|it| counted.get(it).copied().unwrap_or(0)).collect())
}

/// Writes a query of the relations of `references` that are visible, each once, however many
/// entities state it; none if there is nothing to ask.
fn stated<'a>(
    visible: &'a Visible,
    references: &'a [String],
    kinds: &'a [String],
) -> Result<Option<impl FnOnce(&mut Sql) + 'a>, ReadError> {
    ReadError::if_more("types of relations", kinds.len(), KINDS_MAX)?;
    if references.is_empty() {
        return Ok(None);
    }
    Ok(Some(move |sql: &mut Sql| {
        sql.push("SELECT DISTINCT r.source, r.kind, r.target FROM relations r");
        sql.push(" JOIN entities e ON e.reference = r.source WHERE ");
        visible.write(sql, "e");
        sql.push(" AND r.tenant = ").bind(visible.tenant.0);
        sql.push(" AND r.source IN ").bind_list(references.iter().map(String::as_str));
        visible.write_stated(sql, "r");
        if !kinds.is_empty() {
            sql.push(" AND r.kind_key IN ").bind_list(kinds.iter().map(|it| it.to_lowercase()));
        }
    }))
}

fn read(row: &Row) -> Result<(String, Relation), StoreError> {
    let (kind, target) = (row.text(1)?, row.text(2)?);
    Ok((row.text(0)?, Relation { kind, target, resolved: row.integer(3)? != 0 }))
}

/// The same as [`of_many`] with `columns` of the entities at the far ends, if any are asked for,
/// in one query more for every 8,192 of them.
///
/// # Errors
///
/// [`ReadError`].
pub async fn neighbours_of_many(
    models: &ReadModels,
    principal: &Principal,
    references: &[String],
    part: &Part,
    columns: Option<Columns>,
) -> Result<Vec<Page<Neighbour, RelationCursor>>, ReadError> {
    let relations = of_many(models, principal, references, part).await?;
    let Some(columns) = columns else {
        let alone = |relation| Neighbour { relation, entity: None };
        return Ok(relations.into_iter().map(|it| it.map(alone)).collect());
    };
    let all = relations.iter().flat_map(|it| &it.edges).map(|it| &it.node);
    let resolved = all.filter(|it| it.resolved);
    let targets: BTreeSet<String> = resolved.map(|it| it.target.clone()).collect();
    let targets: Vec<String> = targets.into_iter().collect();
    let entities = entities::find_many_columns(models, principal, &targets, columns).await?;
    let entities: HashMap<_, _> = targets.into_iter().zip(entities).collect();
    let neighbour = |mut relation: Relation| {
        let entity = entities.get(&relation.target).cloned().flatten();
        // It may have gone between the two queries.
        relation.resolved = entity.is_some();
        Neighbour { relation, entity }
    };
    Ok(relations.into_iter().map(|it| it.map(neighbour)).collect())
}
