//! The values that keys have, with counts.

use domain::Principal;

use super::{Facet, FacetValue, Selection};
use crate::catalog::sql::{Visible, relation_of};
use crate::error::ReadError;
use crate::model::Model;
use crate::read_models::ReadModels;
use crate::store::{self, Connection, Sql, StoreError};

/// The most keys of one question: 32.
const KEYS_MAX: usize = 32;

/// The values that `keys` have among the entities of `selection`, in order of `keys`. An
/// unknown key has none. The order and the search text of `selection` do not matter here.
///
/// # Errors
///
/// [`ReadError`].
pub async fn facets(
    models: &ReadModels,
    principal: &Principal,
    selection: &Selection,
    keys: &[String],
) -> Result<Vec<Facet>, ReadError> {
    if keys.len() > KEYS_MAX {
        let message = format!("expected at most {KEYS_MAX} facets, got {}", keys.len());
        return Err(ReadError::Invalid(message));
    }
    let Some(visible) = Visible::to(principal)? else {
        let nothing = |key: &String| Facet { key: key.clone(), values: Vec::new() };
        return Ok(keys.iter().map(nothing).collect());
    };
    let fault = ReadError::fault(Model::Catalog);
    let mut reader = models.reader(Model::Catalog).await?;
    let mut snapshot = store::begin(&mut reader).await.map_err(fault)?;
    let mut facets = Vec::with_capacity(keys.len());
    for key in keys {
        let values = values(&mut snapshot, &visible, selection, key).await.map_err(fault)?;
        facets.push(Facet { key: key.clone(), values });
    }
    Ok(facets)
}

async fn values(
    snapshot: &mut Connection,
    visible: &Visible,
    selection: &Selection,
    key: &str,
) -> Result<Vec<FacetValue>, StoreError> {
    let key = key.to_lowercase();
    let mut sql = match relation_of(&key) {
        Some(kind) => {
            let mut sql = Sql::new(
                "SELECT s.target, count(DISTINCT s.source) FROM relations s
                 JOIN entities e ON e.tenant = s.tenant AND e.reference = s.source
                 WHERE s.tenant = ",
            );
            sql.bind(visible.tenant.0).push(" AND s.kind_key = ").bind(kind);
            sql
        }
        None => {
            let mut sql = Sql::new(
                "SELECT s.original, count(*) FROM search s
                 JOIN entities e ON e.tenant = s.tenant AND e.reference = s.reference
                 WHERE s.tenant = ",
            );
            sql.bind(visible.tenant.0).push(" AND s.key = ").bind(key.as_str());
            sql.push(" AND s.known = 1");
            sql
        }
    };
    sql.push(" AND ");
    visible.write_with(&mut sql, "e", &selection.filter);
    sql.push(" GROUP BY 1 ORDER BY 1");
    let rows = sql.fetch(snapshot).await?;
    rows.iter().map(|it| Ok(FacetValue { value: it.text(0)?, count: it.count(1)? })).collect()
}
