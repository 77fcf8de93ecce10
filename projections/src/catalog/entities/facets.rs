//! The values that keys have, with counts.

use domain::Principal;

use super::list::write_text;
use super::{Facet, FacetValue, Selection};
use crate::catalog::sql::{Visible, relation_of};
use crate::error::ReadError;
use crate::model::Model;
use crate::read_models::ReadModels;
use crate::store::{self, Row, Sql, StoreError};

/// The most keys of one question: 32.
const KEYS_MAX: usize = 32;

/// The most values that one facet shows: 100, more than anybody reads.
pub const FACET_VALUES_MAX: u32 = 100;

/// The values that `keys` have among the entities of `selection`, in order of `keys`, of each
/// the `most` frequent. An unknown key has none. The order of `selection` does not matter here.
///
/// # Errors
///
/// [`ReadError::Invalid`] if `most` is beyond [`FACET_VALUES_MAX`], or there are too many keys.
pub async fn facets(
    models: &ReadModels,
    principal: &Principal,
    selection: &Selection,
    keys: &[String],
    most: u32,
) -> Result<Vec<Facet>, ReadError> {
    if keys.len() > KEYS_MAX {
        let message = format!("expected at most {KEYS_MAX} facets, got {}", keys.len());
        return Err(ReadError::Invalid(message));
    }
    if most > FACET_VALUES_MAX {
        let message = format!("expected at most {FACET_VALUES_MAX} values of a facet, got {most}");
        return Err(ReadError::Invalid(message));
    }
    let Some(visible) = Visible::to(principal)? else {
        let nothing = |key: &String| Facet { key: key.clone(), values: Vec::new(), more: false };
        return Ok(keys.iter().map(nothing).collect());
    };
    let fault = ReadError::fault(Model::Catalog);
    let mut reader = models.reader(Model::Catalog, visible.tenant).await?;
    let mut snapshot = store::begin(&mut reader).await.map_err(fault)?;
    let mut facets = Vec::with_capacity(keys.len());
    for key in keys {
        let sql = counted(&visible, selection, key, most)?;
        let rows = sql.fetch(&mut snapshot).await.map_err(fault)?;
        let values: Result<Vec<_>, _> = rows.iter().map(read).collect();
        let mut values = values.map_err(fault)?;
        let more = values.len() > most as usize;
        values.truncate(most as usize);
        facets.push(Facet { key: key.clone(), values, more });
    }
    drop(snapshot);
    reader.finish();
    Ok(facets)
}

/// The values of one key, the most frequent first, and one more than `most`, to see whether
/// there are others.
fn counted(
    visible: &Visible,
    selection: &Selection,
    key: &str,
    most: u32,
) -> Result<Sql, ReadError> {
    let key = key.to_lowercase();
    let mut sql = match relation_of(&key) {
        Some(kind) => {
            let mut sql = Sql::new(
                "SELECT s.target, count(DISTINCT s.source) FROM relations s
                 JOIN entities e ON e.tenant = s.tenant AND e.reference = s.source",
            );
            write_text(&mut sql, visible, selection)?;
            sql.push(" WHERE s.tenant = ")
                .bind(visible.tenant.0)
                .push(" AND s.kind_key = ")
                .bind(kind);
            visible.write_stated(&mut sql, "s");
            sql
        }
        None => {
            let mut sql = Sql::new(
                "SELECT s.original, count(*) FROM search s
                 JOIN entities e ON e.tenant = s.tenant AND e.reference = s.reference",
            );
            write_text(&mut sql, visible, selection)?;
            sql.push(" WHERE s.tenant = ")
                .bind(visible.tenant.0)
                .push(" AND s.key = ")
                .bind(key.as_str());
            sql.push(" AND s.known = 1");
            sql
        }
    };
    sql.push(" AND ");
    visible.write_with(&mut sql, "e", &selection.filter);
    sql.push(" GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ").bind(i64::from(most) + 1);
    Ok(sql)
}

fn read(row: &Row) -> Result<FacetValue, StoreError> {
    Ok(FacetValue { value: row.text(0)?, count: row.count(1)? })
}
