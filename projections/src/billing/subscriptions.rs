//! Subscriptions, with everything that ever happened to them.

mod writer;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::calendar::Period;
use domain::id::{ActorId, CustomerId, PlanId, SubscriptionId};
use domain::subscription::Sold;
use domain::{Permission, Principal};

use crate::error::ReadError;
use crate::model::Model;
use crate::page::{Page, Window};
use crate::read_models::ReadModels;
use crate::scope::{self, Scoped};
use crate::store::{Row, Sql, StoreError};

pub(super) use writer::apply;

pub(super) const SUBSCRIPTIONS: &str = "CREATE TABLE subscriptions (
    tenant UUID NOT NULL,
    id UUID NOT NULL,
    customer UUID NOT NULL,
    plan UUID NOT NULL,
    sold TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    anchor BIGINT NOT NULL,
    trial_end BIGINT,
    started_at BIGINT NOT NULL,
    ending_at BIGINT,
    cancelled_at BIGINT,
    period_start BIGINT NOT NULL,
    period_end BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
)";

pub(super) const SUBSCRIPTIONS_BY_CUSTOMER: &str =
    "CREATE INDEX IF NOT EXISTS subscriptions_by_customer
        ON subscriptions (tenant, customer, id)";

pub(super) const SUBSCRIPTION_STEPS: &str = "CREATE TABLE subscription_steps (
    tenant UUID NOT NULL,
    subscription UUID NOT NULL,
    revision BIGINT NOT NULL,
    name TEXT NOT NULL,
    event TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    actor UUID NOT NULL,
    PRIMARY KEY (tenant, subscription, revision)
)";

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
    /// The running period or trial; the last one, if it is over.
    pub period: Period,
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
    let select = format!("SELECT {COLUMNS} FROM subscriptions");
    let selected = scoped(principal, &select)?;
    scope::find_many(selected, ids, |it| it.0, |sql| fetch(models, sql), |it| it.id).await
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
    let select = format!("SELECT {COLUMNS} FROM subscriptions");
    let Some(mut sql) = scoped(principal, &select)? else { return Ok(Page::empty()) };
    narrow(&mut sql, filter);
    window.cut(&mut sql, &["id"], |it| vec![it.0.into()])?;
    let rows = fetch(models, sql).await?;
    Ok(window.page(rows, |it| it.id))
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
    let select = "SELECT count(*) FROM subscriptions";
    let Some(mut sql) = scoped(principal, select)? else { return Ok(0) };
    narrow(&mut sql, filter);
    models.count(Model::Billing, sql).await
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
    let select = format!(
        "SELECT {COLUMNS} FROM (
            SELECT {COLUMNS}, tenant,
                row_number() OVER (PARTITION BY customer ORDER BY id) AS place
            FROM subscriptions"
    );
    let nothing = || customers.iter().map(|_| Page::empty()).collect();
    let Some(mut sql) = scoped(principal, &select)? else { return Ok(nothing()) };
    if customers.is_empty() {
        return Ok(Vec::new());
    }
    let window = Window::first(count);
    sql.push(" AND customer IN ").bind_list(customers.iter().map(|it| it.0));
    sql.push(") AS numbered WHERE place <= ").bind(window.fetch()?).push(" ORDER BY id");
    let mut found: BTreeMap<CustomerId, Vec<Subscription>> = BTreeMap::new();
    for it in fetch(models, sql).await? {
        found.entry(it.customer).or_default().push(it);
    }
    let page = |it| window.page(found.get(it).cloned().unwrap_or_default(), |row| row.id);
    Ok(customers.iter().map(page).collect())
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
    let select = "SELECT subscription, revision, name, event, sequence, recorded_at, actor \
                  FROM subscription_steps";
    let Some(mut sql) = scoped(principal, select)? else { return Ok(vec![Vec::new(); ids.len()]) };
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    sql.push(" AND subscription IN ").bind_list(ids.iter().map(|it| it.0));
    sql.push(" ORDER BY subscription, revision");
    let read = |row: &Row| Ok((SubscriptionId(row.uuid(0)?), read_step(row)?));
    let mut found: BTreeMap<SubscriptionId, Vec<SubscriptionStep>> = BTreeMap::new();
    for (id, step) in models.rows(Model::Billing, sql, read).await? {
        found.entry(id).or_default().push(step);
    }
    Ok(ids.iter().map(|it| found.get(it).cloned().unwrap_or_default()).collect())
}

const COLUMNS: &str = "id, customer, sold, time_zone, anchor, trial_end, started_at, ending_at, \
                       cancelled_at, period_start, period_end, revision";

/// `select`, limited to what the principal may see; none if that is nothing.
fn scoped(principal: &Principal, select: &str) -> Result<Option<Scoped>, ReadError> {
    scope::select(principal, Permission::SubscriptionRead, select)
}

fn narrow(sql: &mut Sql, filter: &SubscriptionFilter) {
    if let Some(customer) = filter.customer {
        sql.push(" AND customer = ").bind(customer.0);
    }
    if let Some(plan) = filter.plan {
        sql.push(" AND plan = ").bind(plan.0);
    }
    sql.push(match filter.cancelled {
        None => "",
        Some(true) => " AND cancelled_at IS NOT NULL",
        Some(false) => " AND cancelled_at IS NULL",
    });
}

async fn fetch(models: &ReadModels, sql: Scoped) -> Result<Vec<Subscription>, ReadError> {
    models.rows(Model::Billing, sql, read).await
}

fn read(row: &Row) -> Result<Subscription, StoreError> {
    let state = match (row.optional_time(7)?, row.optional_time(8)?) {
        (_, Some(at)) => SubscriptionState::Cancelled(at),
        (Some(at), None) => SubscriptionState::Ending(at),
        (None, None) => SubscriptionState::Active,
    };
    Ok(Subscription {
        id: SubscriptionId(row.uuid(0)?),
        customer: CustomerId(row.uuid(1)?),
        sold: row.json(2)?,
        state,
        time_zone: row.parsed(3)?,
        anchor: row.time(4)?,
        trial_end: row.optional_time(5)?,
        started_at: row.time(6)?,
        period: Period { start: row.time(9)?, end: row.time(10)? },
        revision: row.count(11)?,
    })
}

fn read_step(row: &Row) -> Result<SubscriptionStep, StoreError> {
    let name = format!("{}{}", domain::event::TYPE_PREFIX, row.text(2)?);
    let event = domain::Event::decode(&name, row.text(3)?.as_bytes());
    let unexpected = |source: Option<_>| StoreError::Value {
        column: 3,
        expected: "an event of a subscription",
        source,
    };
    let event = event.map_err(|it| unexpected(Some(it.into())))?;
    let domain::Event::Subscription(change) = event else { return Err(unexpected(None)) };
    Ok(SubscriptionStep {
        revision: row.count(1)?,
        change,
        sequence: row.count(4)?,
        recorded_at: row.time(5)?,
        actor: ActorId(row.uuid(6)?),
    })
}
