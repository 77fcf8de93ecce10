//! Tenants: as each sees itself, and as the directory lists them for operators.

use chrono::{DateTime, Utc};
use domain::Principal;
use domain::directory::{Host, Slug};
use domain::id::TenantId;
use domain::tenant::{Name, Settings, SuspensionReason};

use crate::error::ReadError;
use crate::page::{Page, Window};
use crate::read_models::ReadModels;

/// A tenant as it sees itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its identity.
    pub id: TenantId,
    /// The slug it was created under.
    pub slug: Slug,
    /// Its display name.
    pub name: Name,
    /// Its settings.
    pub settings: Settings,
    /// Whether it may change things.
    pub standing: Standing,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// The stream's revision.
    pub revision: u64,
}

/// Whether a tenant may change things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Active,
    /// It may only read.
    Suspended(SuspensionReason),
    /// It is closed for good.
    Closed,
}

/// A tenant as the directory lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its identity.
    pub tenant: TenantId,
    /// Its present slug; also its cursor.
    pub slug: Slug,
    /// The display name it was registered with.
    pub name: Name,
    /// The partition that holds it.
    pub partition: u32,
    /// The host names that select it, sorted.
    pub hosts: Vec<Host>,
    /// What the operator wants it to be.
    pub standing: Standing,
    /// When it was registered.
    pub registered_at: DateTime<Utc>,
}

/// The principal's own tenant.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find(models: &ReadModels, principal: &Principal) -> Result<Option<Tenant>, ReadError> {
    let _ = (models, principal);
    unimplemented!()
}

/// The directory's entries of these tenants, in order, in one query. For operators.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find_registrations(
    models: &ReadModels,
    principal: &Principal,
    tenants: &[TenantId],
) -> Result<Vec<Option<Registration>>, ReadError> {
    let _ = (models, principal, tenants);
    unimplemented!()
}

/// The directory's entry of the tenant with this present slug. For operators.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find_registration_by_slug(
    models: &ReadModels,
    principal: &Principal,
    slug: &Slug,
) -> Result<Option<Registration>, ReadError> {
    let _ = (models, principal, slug);
    unimplemented!()
}

/// A page of the directory, by slug. For operators.
///
/// # Errors
///
/// [`ReadError`].
pub async fn list_registrations(
    models: &ReadModels,
    principal: &Principal,
    window: &Window<String>,
) -> Result<Page<Registration, String>, ReadError> {
    let _ = (models, principal, window);
    unimplemented!()
}

/// How many tenants the directory has. For operators.
///
/// # Errors
///
/// [`ReadError`].
pub async fn count_registrations(
    models: &ReadModels,
    principal: &Principal,
) -> Result<u64, ReadError> {
    let _ = (models, principal);
    unimplemented!()
}
