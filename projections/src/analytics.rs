//! How much a tenant's portal is used, and by how many: one row per day.

use chrono::NaiveDate;
use domain::Principal;

use crate::error::ReadError;
use crate::read_models::ReadModels;

/// One day of a tenant, in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// Which.
    pub date: NaiveDate,
    /// How many entities were in the catalog when it ended (or now).
    pub entities: u64,
    /// How many were registered.
    pub registered: u64,
    /// How many updates were made.
    pub updated: u64,
    /// How many were deregistered.
    pub deregistered: u64,
    /// How many different people and machines changed something. Callboard itself is not one.
    pub active_actors: u64,
    /// How many commands changed something.
    pub commands: u64,
    /// The same by the noun that changed, sorted by noun. A command counts once per noun.
    pub commands_by_noun: Vec<(String, u64)>,
}

/// The days from `from` to `to`, both inclusive, on which something happened.
///
/// # Errors
///
/// [`ReadError`]. A range of more than 1,000 days is refused.
pub async fn days(
    models: &ReadModels,
    principal: &Principal,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<Day>, ReadError> {
    let _ = (models, principal, from, to);
    unimplemented!()
}
