//! Meters.

use domain::Principal;
use domain::id::MeterId;
use domain::meter::{Aggregation, MeterKey};

use crate::error::ReadError;
use crate::page::{Page, Window};
use crate::read_models::ReadModels;

/// Something that can be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Its identity.
    pub id: MeterId,
    /// Names it in usage and prices; also its cursor.
    pub key: MeterKey,
    /// What people call it.
    pub name: String,
    /// What one of it is called.
    pub unit: String,
    /// How records become one number.
    pub aggregation: Aggregation,
    /// Whether usage of it can be recorded.
    pub archived: bool,
    /// The stream's revision.
    pub revision: u64,
}

/// The meters with these keys, in order, in one query.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find_many(
    models: &ReadModels,
    principal: &Principal,
    keys: &[MeterKey],
) -> Result<Vec<Option<Meter>>, ReadError> {
    let _ = (models, principal, keys);
    unimplemented!()
}

/// A page of the meters, by key.
///
/// # Errors
///
/// [`ReadError`].
pub async fn list(
    models: &ReadModels,
    principal: &Principal,
    window: &Window<String>,
) -> Result<Page<Meter, String>, ReadError> {
    let _ = (models, principal, window);
    unimplemented!()
}

/// How many meters there are.
///
/// # Errors
///
/// [`ReadError`].
pub async fn count(models: &ReadModels, principal: &Principal) -> Result<u64, ReadError> {
    let _ = (models, principal);
    unimplemented!()
}
