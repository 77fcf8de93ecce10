//! Locations: where entities come from.

use chrono::{DateTime, Utc};
use domain::id::LocationId;
use domain::location::LocationKind;
use domain::{Permission, Principal};

use crate::catalog::writer::location_kind;
use crate::error::ReadError;
use crate::model::Model;
use crate::page::{Page, Window};
use crate::read_models::ReadModels;
use crate::scope::{self, Scoped};
use crate::store::{Row, StoreError};

/// A location that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Its identity; also its cursor.
    pub id: LocationId,
    /// How its target is read.
    pub kind: LocationKind,
    /// The address or path.
    pub target: String,
    /// The tenant sequence of its registration.
    pub sequence: u64,
    /// When it was registered.
    pub registered_at: DateTime<Utc>,
}

/// The locations with these identities, in order, in one query.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find_many(
    models: &ReadModels,
    principal: &Principal,
    ids: &[LocationId],
) -> Result<Vec<Option<Location>>, ReadError> {
    let selected = scoped(principal, SELECT)?;
    scope::find_many(selected, ids, |it| it.0, |sql| fetch(models, sql), |it| it.id).await
}

/// A page of the locations, by identity.
///
/// # Errors
///
/// [`ReadError`].
pub async fn list(
    models: &ReadModels,
    principal: &Principal,
    window: &Window<LocationId>,
) -> Result<Page<Location, LocationId>, ReadError> {
    let Some(mut sql) = scoped(principal, SELECT)? else { return Ok(Page::empty()) };
    window.cut(&mut sql, &["id"], |it| vec![it.0.into()])?;
    let rows = fetch(models, sql).await?;
    Ok(window.page(rows, |it| it.id))
}

/// How many locations there are.
///
/// # Errors
///
/// [`ReadError`].
pub async fn count(models: &ReadModels, principal: &Principal) -> Result<u64, ReadError> {
    let Some(sql) = scoped(principal, "SELECT count(*) FROM locations")? else { return Ok(0) };
    models.count(Model::Catalog, sql).await
}

const SELECT: &str = "SELECT id, kind, target, sequence, registered_at FROM locations";

/// `select`, limited to what the principal may see; none if that is nothing.
fn scoped(principal: &Principal, select: &str) -> Result<Option<Scoped>, ReadError> {
    scope::select(principal, Permission::LocationRead, select)
}

async fn fetch(models: &ReadModels, sql: Scoped) -> Result<Vec<Location>, ReadError> {
    models.rows(Model::Catalog, sql, read).await
}

fn read(row: &Row) -> Result<Location, StoreError> {
    Ok(Location {
        id: LocationId(row.uuid(0)?),
        kind: location_kind(row, 1)?,
        target: row.text(2)?,
        sequence: row.count(3)?,
        registered_at: row.time(4)?,
    })
}
