//! Relations, in both directions.

use std::collections::{BTreeSet, HashMap};

use domain::Principal;

use crate::catalog::entities::{self, Entity};
use crate::catalog::sql::Visible;
use crate::error::ReadError;
use crate::model::Model;
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
    /// The entity; none if there is none that the principal can see.
    pub entity: Option<Entity>,
}

/// The relations of each of `references`, in order, sorted by type and target; of `kinds` only,
/// unless that is empty. Of an entity that cannot be seen there are none.
///
/// # Errors
///
/// [`ReadError`].
pub async fn of_many(
    models: &ReadModels,
    principal: &Principal,
    references: &[String],
    kinds: &[String],
) -> Result<Vec<Vec<Relation>>, ReadError> {
    let Some(visible) = Visible::to(principal)? else {
        return Ok(vec![Vec::new(); references.len()]);
    };
    of_many_visible(models, &visible, references, kinds).await
}

pub(in crate::catalog) async fn of_many_visible(
    models: &ReadModels,
    visible: &Visible,
    references: &[String],
    kinds: &[String],
) -> Result<Vec<Vec<Relation>>, ReadError> {
    ReadError::if_more("types of relations", kinds.len(), KINDS_MAX)?;
    if references.is_empty() {
        return Ok(Vec::new());
    }
    let references: Vec<_> = references.iter().map(|it| it.to_lowercase()).collect();
    let mut sql = Sql::new("SELECT DISTINCT r.source, r.kind, r.target, CASE WHEN EXISTS (");
    sql.push("SELECT 1 FROM entities t WHERE t.reference = r.target AND ");
    visible.write(&mut sql, "t");
    sql.push(") THEN 1 ELSE 0 END FROM relations r");
    sql.push(" JOIN entities e ON e.reference = r.source WHERE ");
    visible.write(&mut sql, "e");
    sql.push(" AND r.tenant = ").bind(visible.tenant.0);
    sql.push(" AND r.source IN ").bind_list(references.iter().map(String::as_str));
    if !kinds.is_empty() {
        sql.push(" AND r.kind_key IN ").bind_list(kinds.iter().map(|it| it.to_lowercase()));
    }
    sql.push(" ORDER BY r.source, r.kind, r.target");
    let fault = ReadError::fault(Model::Catalog);
    let mut reader = models.reader(Model::Catalog).await?;
    let mut found: HashMap<String, Vec<Relation>> = HashMap::new();
    for row in sql.fetch(&mut reader).await.map_err(fault)? {
        let (source, relation) = read(&row).map_err(fault)?;
        found.entry(source).or_default().push(relation);
    }
    Ok(references.iter().map(|it| found.get(it).cloned().unwrap_or_default()).collect())
}

fn read(row: &Row) -> Result<(String, Relation), StoreError> {
    let (kind, target) = (row.text(1)?, row.text(2)?);
    Ok((row.text(0)?, Relation { kind, target, resolved: row.integer(3)? != 0 }))
}

/// The same with the entities at the far ends, in one query more for every 8,192 of them.
///
/// # Errors
///
/// [`ReadError`].
pub async fn neighbours_of_many(
    models: &ReadModels,
    principal: &Principal,
    references: &[String],
    kinds: &[String],
) -> Result<Vec<Vec<Neighbour>>, ReadError> {
    let relations = of_many(models, principal, references, kinds).await?;
    let resolved = relations.iter().flatten().filter(|it| it.resolved);
    let targets: BTreeSet<String> = resolved.map(|it| it.target.clone()).collect();
    let targets: Vec<String> = targets.into_iter().collect();
    let entities = entities::find_many(models, principal, &targets).await?;
    let entities: HashMap<_, _> = targets.into_iter().zip(entities).collect();
    let neighbour = |mut relation: Relation| {
        let entity = entities.get(&relation.target).cloned().flatten();
        // It may have gone between the two queries.
        relation.resolved = entity.is_some();
        Neighbour { relation, entity }
    };
    let each = |it: Vec<Relation>| it.into_iter().map(neighbour).collect();
    Ok(relations.into_iter().map(each).collect())
}
