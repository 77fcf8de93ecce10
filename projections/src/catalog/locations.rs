//! Locations: where entities come from.

use chrono::{DateTime, Utc};
use domain::Principal;
use domain::id::LocationId;
use domain::location::LocationKind;

use crate::error::ReadError;
use crate::page::{Page, Window};
use crate::read_models::ReadModels;

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
    let _ = (models, principal, ids);
    unimplemented!()
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
    let _ = (models, principal, window);
    unimplemented!()
}

/// How many locations there are.
///
/// # Errors
///
/// [`ReadError`].
pub async fn count(models: &ReadModels, principal: &Principal) -> Result<u64, ReadError> {
    let _ = (models, principal);
    unimplemented!()
}
