//! Folds recorded usage into the index and the hour buckets.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use domain::id::{CustomerId, EntityId, TenantId};
use domain::meter::MeterKey;
use domain::usage::Event;
use uuid::Uuid;
use vault::Keyring;

use super::{MICROS_PER_HOUR, MICROS_PER_MINUTE, digest_at};
use crate::billing::exact::{self, Digest};
use crate::billing::usage::entities::Named;
use crate::engine::fact::Fact;
use crate::engine::fold::ApplyError;
use crate::store::bulk::Rows;
use crate::store::{Connection, StoreError, Value};

/// What usage is counted under: in which tenant, for whom or what, of what, in which hour since
/// 1970.
type Bucket<'a, K> = (TenantId, K, &'a MeterKey, i64);

/// What a batch adds to a table of hours.
type Added<'a, K> = HashMap<Bucket<'a, K>, Option<Digest>>;

pub(in crate::billing) async fn apply(
    keyring: &Keyring,
    connection: &mut Connection,
    facts: &[Fact],
    events: &[(&Fact, &Event)],
) -> Result<(), ApplyError> {
    let mut index = Rows::default();
    let mut by_customer: Added<'_, CustomerId> = HashMap::new();
    let mut by_entity: Added<'_, EntityId> = HashMap::new();
    let mut named = Named::new(keyring);
    for (fact, event) in events {
        let Event::Recorded { entries, .. } = event;
        let mut parts: BTreeMap<Bucket<'_, CustomerId>, Option<Digest>> = BTreeMap::new();
        for it in entries {
            let at = it.at.timestamp_micros();
            let (meter, hour) = (&it.meter, at.div_euclid(MICROS_PER_HOUR));
            let digest = Digest::of(it.value.get(), at);
            let bucket = (fact.tenant, it.customer, meter, hour);
            exact::append(parts.entry(bucket).or_default(), &digest);
            if let Some(entity) = named.by(fact.tenant, it).await? {
                let bucket = (fact.tenant, entity, meter, hour);
                exact::append(by_entity.entry(bucket).or_default(), &digest);
            }
        }
        for (bucket, digest) in parts {
            let Some(digest) = digest else { continue };
            index.push(index_row(bucket, fact, &digest));
            exact::append(by_customer.entry(bucket).or_default(), &digest);
        }
    }
    let insert = "INSERT INTO usage_index (tenant, customer, meter, hour, sequence, position,
        entries, total, least, most, latest, latest_at)";
    index.insert(connection, insert, "").await?;
    BY_CUSTOMER.add(connection, by_customer).await?;
    BY_ENTITY.add(connection, by_entity).await?;
    Ok(advance(connection, facts).await?)
}

fn index_row(bucket: Bucket<'_, CustomerId>, fact: &Fact, digest: &Digest) -> [Value; 12] {
    let [tenant, customer, meter, hour] = BY_CUSTOMER.key(bucket);
    let [entries, total, least, most, latest, latest_at] = digest_values(digest);
    let place = [fact.sequence.into(), fact.position.0.into()];
    let [sequence, position] = place;
    [
        tenant, customer, meter, hour, sequence, position, entries, total, least, most, latest,
        latest_at,
    ]
}

fn digest_values(digest: &Digest) -> [Value; 6] {
    [
        digest.count.into(),
        digest.sum.to_string().into(),
        digest.min.to_string().into(),
        digest.max.to_string().into(),
        digest.latest.to_string().into(),
        digest.latest_at.into(),
    ]
}

/// A table of hours, by the kind of identity in its second column.
struct Hours<K> {
    table: &'static str,
    column: &'static str,
    value: fn(K) -> Uuid,
}

const BY_CUSTOMER: Hours<CustomerId> =
    Hours { table: "usage_hours", column: "customer", value: |it| it.0 };

const BY_ENTITY: Hours<EntityId> =
    Hours { table: "usage_entity_hours", column: "entity", value: |it| it.0 };

impl<K: Copy + Eq + std::hash::Hash> Hours<K> {
    fn key(&self, (tenant, of, meter, hour): Bucket<'_, K>) -> [Value; 4] {
        [tenant.0.into(), (self.value)(of).into(), meter.as_str().into(), hour.into()]
    }

    /// Adds what a batch has to what the hours had before it.
    async fn add(
        &self,
        connection: &mut Connection,
        mut added: Added<'_, K>,
    ) -> Result<(), StoreError> {
        let Self { table, column, value } = self;
        let mut keys = Rows::default();
        let mut by_text = HashMap::new();
        for bucket in added.keys() {
            keys.push(self.key(*bucket));
            by_text.insert((bucket.0, value(bucket.1), bucket.2.as_str(), bucket.3), *bucket);
        }
        let before = format!(
            "SELECT entries, total, least, most, latest, latest_at, tenant, {column}, meter, hour
            FROM {table}"
        );
        let columns = ["tenant", column, "meter", "hour"];
        for row in keys.fetch(connection, &before, columns).await? {
            let meter = row.text(8)?;
            let key = (TenantId(row.uuid(6)?), row.uuid(7)?, meter.as_str(), row.integer(9)?);
            let Some(slot) = by_text.get(&key).and_then(|it| added.get_mut(it)) else { continue };
            let mut digest = Some(digest_at(&row, 0)?);
            if let Some(later) = slot {
                exact::append(&mut digest, later);
            }
            *slot = digest;
        }
        let mut rows = Rows::default();
        for (bucket, digest) in added {
            let Some(digest) = digest else { continue };
            let [tenant, of, meter, hour] = self.key(bucket);
            let [entries, total, least, most, latest, latest_at] = digest_values(&digest);
            rows.push([tenant, of, meter, hour, entries, total, least, most, latest, latest_at]);
        }
        let insert = format!(
            "INSERT INTO {table}
            (tenant, {column}, meter, hour, entries, total, least, most, latest, latest_at)"
        );
        let update = format!(
            "ON CONFLICT (tenant, {column}, meter, hour) DO UPDATE SET
            entries = excluded.entries, total = excluded.total, least = excluded.least,
            most = excluded.most, latest = excluded.latest, latest_at = excluded.latest_at"
        );
        rows.insert(connection, &insert, &update).await
    }
}

/// Remembers the last event of each tenant, and the first of each minute.
async fn advance(connection: &mut Connection, facts: &[Fact]) -> Result<(), StoreError> {
    let mut last: BTreeMap<TenantId, (u64, DateTime<Utc>)> = BTreeMap::new();
    let mut minutes = load_minutes(connection, facts).await?;
    let mut clock = Rows::default();
    for fact in facts {
        let minute = fact.at.timestamp_micros().div_euclid(MICROS_PER_MINUTE);
        if minutes.get(&fact.tenant).is_none_or(|known| *known < minute) {
            minutes.insert(fact.tenant, minute);
            clock.push([fact.tenant.0.into(), fact.sequence.into(), minute.into()]);
        }
        last.insert(fact.tenant, (fact.sequence, fact.at));
    }
    let insert = "INSERT INTO usage_clock (tenant, sequence, minute)";
    clock.insert(connection, insert, "").await?;
    let mut applied = Rows::default();
    for (tenant, (sequence, at)) in last {
        applied.push([tenant.0.into(), sequence.into(), at.timestamp_micros().into()]);
    }
    let insert = "INSERT INTO usage_applied (tenant, sequence, at)";
    let update = "ON CONFLICT (tenant) DO UPDATE SET
        sequence = excluded.sequence, at = excluded.at";
    applied.insert(connection, insert, update).await
}

async fn load_minutes(
    connection: &mut Connection,
    facts: &[Fact],
) -> Result<HashMap<TenantId, i64>, StoreError> {
    let mut tenants: Vec<_> = facts.iter().map(|it| it.tenant).collect();
    tenants.sort_unstable();
    tenants.dedup();
    let mut keys = Rows::default();
    tenants.into_iter().for_each(|it| keys.push([it.0.into()]));
    let before = "SELECT tenant, at FROM usage_applied";
    let rows = keys.fetch(connection, before, ["tenant"]).await?;
    let minute = |row: &crate::store::Row| {
        Ok((TenantId(row.uuid(0)?), row.integer(1)?.div_euclid(MICROS_PER_MINUTE)))
    };
    rows.iter().map(minute).collect()
}
