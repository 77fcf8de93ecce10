//! Subscriptions, with everything that ever happened to them.

use chrono::{DateTime, Utc};
use domain::Principal;
use domain::id::{ActorId, CustomerId, PlanId, SubscriptionId};
use domain::subscription::Sold;

use crate::error::ReadError;
use crate::page::{Page, Window};
use crate::read_models::ReadModels;

/// A plan sold to a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its identity; also its cursor.
    pub id: SubscriptionId,
    /// Who bought.
    pub customer: CustomerId,
    /// What holds now.
    pub sold: Sold,
    /// Whether it runs.
    pub state: SubscriptionState,
    /// The zone of its periods.
    pub time_zone: chrono_tz::Tz,
    /// What the periods are counted from.
    pub anchor: DateTime<Utc>,
    /// When nothing is billed before; none without a trial.
    pub trial_end: Option<DateTime<Utc>>,
    /// When it was sold.
    pub started_at: DateTime<Utc>,
    /// The running period as last renewed: first instant and first instant after it. None
    /// before the first renewal.
    pub renewed_period: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// The stream's revision.
    pub revision: u64,
}

/// Whether a subscription runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionState {
    /// It runs.
    Active,
    /// It runs until then.
    Ending(DateTime<Utc>),
    /// It is over since then.
    Cancelled(DateTime<Utc>),
}

/// Which subscriptions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionFilter {
    /// Those of this customer only.
    pub customer: Option<CustomerId>,
    /// Those to this plan only.
    pub plan: Option<PlanId>,
    /// Those that are over, or those that are not.
    pub cancelled: Option<bool>,
}

/// Something that happened to a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionStep {
    /// The stream's revision; also its cursor.
    pub revision: u64,
    /// What.
    pub change: SubscriptionChange,
    /// The tenant sequence of the event.
    pub sequence: u64,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// Who did it.
    pub actor: ActorId,
}

/// What happened to a subscription: the event as it was recorded.
pub type SubscriptionChange = domain::subscription::Event;

/// The subscriptions with these identities, in order, in one query.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find_many(
    models: &ReadModels,
    principal: &Principal,
    ids: &[SubscriptionId],
) -> Result<Vec<Option<Subscription>>, ReadError> {
    let _ = (models, principal, ids);
    unimplemented!()
}

/// A page of the subscriptions of `filter`, by identity: the oldest first.
///
/// # Errors
///
/// [`ReadError`].
pub async fn list(
    models: &ReadModels,
    principal: &Principal,
    filter: &SubscriptionFilter,
    window: &Window<SubscriptionId>,
) -> Result<Page<Subscription, SubscriptionId>, ReadError> {
    let _ = (models, principal, filter, window);
    unimplemented!()
}

/// How many subscriptions `filter` has.
///
/// # Errors
///
/// [`ReadError`].
pub async fn count(
    models: &ReadModels,
    principal: &Principal,
    filter: &SubscriptionFilter,
) -> Result<u64, ReadError> {
    let _ = (models, principal, filter);
    unimplemented!()
}

/// The first `count` subscriptions of each of `customers`, in order, in one query.
///
/// # Errors
///
/// [`ReadError`].
pub async fn of_customers(
    models: &ReadModels,
    principal: &Principal,
    customers: &[CustomerId],
    count: u32,
) -> Result<Vec<Page<Subscription, SubscriptionId>>, ReadError> {
    let _ = (models, principal, customers, count);
    unimplemented!()
}

/// Everything that happened to each of `ids`, in order, oldest first, in one query.
///
/// # Errors
///
/// [`ReadError`].
pub async fn history_of_many(
    models: &ReadModels,
    principal: &Principal,
    ids: &[SubscriptionId],
) -> Result<Vec<Vec<SubscriptionStep>>, ReadError> {
    let _ = (models, principal, ids);
    unimplemented!()
}
