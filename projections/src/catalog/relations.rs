//! Relations, in both directions.

use domain::Principal;

use crate::catalog::entities::Entity;
use crate::error::ReadError;
use crate::read_models::ReadModels;

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
    let _ = (models, principal, references, kinds);
    unimplemented!()
}

/// The same with the entities at the far ends.
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
    let _ = (models, principal, references, kinds);
    unimplemented!()
}

/// Who owns each of `references`: the neighbours at `ownedBy`.
///
/// # Errors
///
/// [`ReadError`].
pub async fn owners_of_many(
    models: &ReadModels,
    principal: &Principal,
    references: &[String],
) -> Result<Vec<Vec<Neighbour>>, ReadError> {
    neighbours_of_many(models, principal, references, &["ownedBy".to_owned()]).await
}
