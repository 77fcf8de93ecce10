//! What somebody who may change some entities only is asked about before they do.

use std::collections::HashMap;

use domain::{Permission, Principal};

use crate::catalog::sql::Visible;
use crate::error::ReadError;
use crate::model::Model;
use crate::read_models::ReadModels;
use crate::store::{LIST_MAX, Row, Sql};

/// Of those of `references` that are in the catalog: the revision, and whether `principal` may do
/// what `permission` says to the entity as it is. For decisions, not for whoever asks: it tells that
/// something is there.
///
/// # Errors
///
/// [`ReadError`].
pub async fn sights(
    models: &ReadModels,
    principal: &Principal,
    permission: Permission,
    references: &[String],
) -> Result<HashMap<String, (u64, bool)>, ReadError> {
    let Some(visible) = Visible::within(principal, permission)? else {
        return Ok(HashMap::new());
    };
    let mut seen: HashMap<String, (u64, bool)> = HashMap::new();
    for some in references.chunks(LIST_MAX) {
        let mut sql = Sql::new("SELECT e.reference, e.revision, CASE WHEN ");
        visible.write(&mut sql, "e");
        sql.push(" THEN 1 ELSE 0 END FROM entities e WHERE e.tenant = ").bind(visible.tenant.0);
        sql.push(" AND e.reference IN ").bind_list(some.iter().map(String::as_str));
        let read = |row: &Row| Ok((row.text(0)?, (row.count(1)?, row.count(2)? > 0)));
        seen.extend(models.rows(Model::Catalog, visible.scoping(sql), read).await?);
    }
    Ok(seen)
}
