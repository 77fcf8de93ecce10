//! Billing accounts.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use domain::customer::{Event, Role};
use domain::id::{CustomerId, TenantId};
use domain::personal::Personal;
use domain::quantity::Currency;
use domain::{Permission, Principal, Stream};
use vault::Keyring;

use super::json;
use crate::engine::fact::{Fact, Unfit};
use crate::engine::fold::ApplyError;
use crate::error::ReadError;
use crate::model::Model;
use crate::page::{Page, Window};
use crate::read_models::ReadModels;
use crate::scope::{self, Scoped};
use crate::sealed;
use crate::store::bulk::Rows;
use crate::store::{Connection, Row, StoreError};

/// Names and contacts stand here in the clear, with whose they are, so that they can be erased.
pub(super) const CUSTOMERS: &str = "CREATE TABLE customers (
    tenant UUID NOT NULL,
    id UUID NOT NULL,
    role TEXT NOT NULL,
    name TEXT,
    contact TEXT,
    subject UUID NOT NULL,
    currency TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    closed_at BIGINT,
    revision BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
)";

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
    let selected = scoped(principal, SELECT)?;
    scope::find_many(selected, ids, |it| it.0, |sql| fetch(models, sql), |it| it.id).await
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
    let Some(mut sql) = scoped(principal, SELECT)? else { return Ok(Page::empty()) };
    window.cut(&mut sql, &["id"], |it| vec![it.0.into()])?;
    let rows = fetch(models, sql).await?;
    Ok(window.page(rows, |it| it.id))
}

/// How many billing accounts there are.
///
/// # Errors
///
/// [`ReadError`].
pub async fn count(models: &ReadModels, principal: &Principal) -> Result<u64, ReadError> {
    let Some(sql) = scoped(principal, "SELECT count(*) FROM customers")? else { return Ok(0) };
    models.count(Model::Billing, sql).await
}

const SELECT: &str = "SELECT id, role, name, contact, currency, time_zone, opened_at, closed_at, \
                      revision, tenant, subject FROM customers";

/// `select`, limited to what the principal may see; none if that is nothing.
fn scoped(principal: &Principal, select: &str) -> Result<Option<Scoped>, ReadError> {
    scope::select(principal, Permission::CustomerRead, select)
}

async fn fetch(models: &ReadModels, sql: Scoped) -> Result<Vec<Customer>, ReadError> {
    models.rows(Model::Billing, sql, read).await
}

fn read(row: &Row) -> Result<Customer, StoreError> {
    Ok(Customer {
        id: CustomerId(row.uuid(0)?),
        role: row.json(1)?,
        name: row.optional_text(2)?,
        contact: row.optional_text(3)?,
        currency: row.currency(4)?,
        time_zone: row.parsed(5)?,
        opened_at: row.time(6)?,
        closed_at: row.optional_time(7)?,
        revision: row.count(8)?,
    })
}

/// A row with what no reader needs.
struct Touched {
    customer: Customer,
    subject: uuid::Uuid,
}

type Key = (TenantId, CustomerId);

pub(super) async fn apply(
    keyring: &Keyring,
    connection: &mut Connection,
    events: &[(&Fact, &Event)],
) -> Result<(), ApplyError> {
    let mut touched = load(connection, events).await?;
    for (fact, event) in events {
        evolve(keyring, &mut touched, fact, event).await?;
    }
    let mut rows = Rows::default();
    for ((tenant, id), Touched { customer, subject }) in touched {
        rows.push([
            tenant.0.into(),
            id.0.into(),
            json(&customer.role),
            customer.name.into(),
            customer.contact.into(),
            subject.into(),
            customer.currency.code().into(),
            customer.time_zone.name().into(),
            customer.opened_at.timestamp_micros().into(),
            customer.closed_at.map(|it| it.timestamp_micros()).into(),
            customer.revision.into(),
        ]);
    }
    let insert = "INSERT INTO customers (tenant, id, role, name, contact, subject, currency,
        time_zone, opened_at, closed_at, revision)";
    let update = "ON CONFLICT (tenant, id) DO UPDATE SET name = excluded.name,
        contact = excluded.contact, subject = excluded.subject, closed_at = excluded.closed_at,
        revision = excluded.revision";
    Ok(rows.insert(connection, insert, update).await?)
}

async fn load(
    connection: &mut Connection,
    events: &[(&Fact, &Event)],
) -> Result<BTreeMap<Key, Touched>, ApplyError> {
    let mut keys = Rows::default();
    let mut seen = BTreeSet::new();
    for (fact, _) in events {
        let key = key(fact)?;
        if seen.insert(key) {
            keys.push([key.0.0.into(), key.1.0.into()]);
        }
    }
    let mut touched = BTreeMap::new();
    for row in keys.fetch(connection, SELECT, ["tenant", "id"]).await? {
        let customer = read(&row)?;
        let key = (TenantId(row.uuid(9)?), customer.id);
        touched.insert(key, Touched { customer, subject: row.uuid(10)? });
    }
    Ok(touched)
}

fn key(fact: &Fact) -> Result<Key, Unfit> {
    match fact.stream {
        Stream::Customer(id) => Ok((fact.tenant, id)),
        _ => Err(fact.unfit("it is not in the stream of a customer")),
    }
}

async fn evolve(
    keyring: &Keyring,
    touched: &mut BTreeMap<Key, Touched>,
    fact: &Fact,
    event: &Event,
) -> Result<(), ApplyError> {
    let key = key(fact)?;
    if let Event::Opened { role, name, contact, currency, time_zone } = event {
        let (name_text, contact) = plain(keyring, fact, name, contact.as_ref()).await?;
        let customer = Customer {
            id: key.1,
            role: *role,
            name: name_text,
            contact,
            currency: *currency,
            time_zone: *time_zone,
            opened_at: fact.at,
            closed_at: None,
            revision: fact.revision,
        };
        touched.insert(key, Touched { customer, subject: name.subject.0 });
        return Ok(());
    }
    let unknown = || fact.unfit("the customer was never opened");
    let Touched { customer, subject } = touched.get_mut(&key).ok_or_else(unknown)?;
    customer.revision = fact.revision;
    match event {
        Event::Opened { .. } => (),
        Event::Changed { name, contact } => {
            (customer.name, customer.contact) =
                plain(keyring, fact, name, contact.as_ref()).await?;
            *subject = name.subject.0;
        }
        Event::Closed {} => customer.closed_at = Some(fact.at),
    }
    Ok(())
}

/// The texts of a customer; none where its subject was erased.
async fn plain(
    keyring: &Keyring,
    fact: &Fact,
    name: &Personal,
    contact: Option<&Personal>,
) -> Result<(Option<String>, Option<String>), ApplyError> {
    let personal: Vec<_> = std::iter::once(name).chain(contact).collect();
    let mut texts = sealed::open(keyring, fact, &personal).await?.into_iter();
    Ok((texts.next().flatten(), texts.next().flatten()))
}
