//! Plans and their versions.

use chrono::{DateTime, Utc};
use domain::Principal;
use domain::id::PlanId;
use domain::plan::Terms;

use crate::error::ReadError;
use crate::page::{Page, Window};
use crate::read_models::ReadModels;

/// Whose plans are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seller {
    /// The principal's own tenant.
    Itself,
    /// The operator of the installation, whose catalogue every tenant may read.
    Operator,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its identity; also its cursor.
    pub id: PlanId,
    /// The name in its newest version.
    pub name: String,
    /// Whether new subscriptions can be sold.
    pub retired: bool,
    /// Its versions, the newest first.
    pub versions: Vec<PlanVersion>,
    /// The stream's revision.
    pub revision: u64,
}

/// A version of a plan; it never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanVersion {
    /// Counts from 1.
    pub version: u32,
    /// What it says.
    pub terms: Terms,
    /// When it was published.
    pub published_at: DateTime<Utc>,
}

/// The plans of `seller` with these identities, in order.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find_many(
    models: &ReadModels,
    principal: &Principal,
    seller: Seller,
    ids: &[PlanId],
) -> Result<Vec<Option<Plan>>, ReadError> {
    let _ = (models, principal, seller, ids);
    unimplemented!()
}

/// A page of the plans of `seller`, by identity.
///
/// # Errors
///
/// [`ReadError`].
pub async fn list(
    models: &ReadModels,
    principal: &Principal,
    seller: Seller,
    window: &Window<PlanId>,
) -> Result<Page<Plan, PlanId>, ReadError> {
    let _ = (models, principal, seller, window);
    unimplemented!()
}

/// How many plans `seller` has.
///
/// # Errors
///
/// [`ReadError`].
pub async fn count(
    models: &ReadModels,
    principal: &Principal,
    seller: Seller,
) -> Result<u64, ReadError> {
    let _ = (models, principal, seller);
    unimplemented!()
}
