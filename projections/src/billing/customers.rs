//! Billing accounts.

use chrono::{DateTime, Utc};
use domain::Principal;
use domain::customer::Role;
use domain::id::CustomerId;
use domain::quantity::Currency;

use crate::error::ReadError;
use crate::page::{Page, Window};
use crate::read_models::ReadModels;

/// A billing account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// Its identity; also its cursor.
    pub id: CustomerId,
    /// What it is to the tenant.
    pub role: Role,
    /// What it is called; none once that was erased.
    pub name: Option<String>,
    /// Where invoices go; none if there is none or it was erased.
    pub contact: Option<String>,
    /// The currency it is billed in.
    pub currency: Currency,
    /// The zone of its billing periods.
    pub time_zone: chrono_tz::Tz,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// When it was closed, if it was.
    pub closed_at: Option<DateTime<Utc>>,
    /// The stream's revision.
    pub revision: u64,
}

/// The billing accounts with these identities, in order, in one query.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find_many(
    models: &ReadModels,
    principal: &Principal,
    ids: &[CustomerId],
) -> Result<Vec<Option<Customer>>, ReadError> {
    let _ = (models, principal, ids);
    unimplemented!()
}

/// A page of the billing accounts, by identity: the oldest first.
///
/// # Errors
///
/// [`ReadError`].
pub async fn list(
    models: &ReadModels,
    principal: &Principal,
    window: &Window<CustomerId>,
) -> Result<Page<Customer, CustomerId>, ReadError> {
    let _ = (models, principal, window);
    unimplemented!()
}

/// How many billing accounts there are.
///
/// # Errors
///
/// [`ReadError`].
pub async fn count(models: &ReadModels, principal: &Principal) -> Result<u64, ReadError> {
    let _ = (models, principal);
    unimplemented!()
}
