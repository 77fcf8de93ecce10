//! Folds recorded usage into the index and the hour buckets.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::id::{CustomerId, TenantId};
use domain::meter::MeterKey;
use domain::usage::Event;
use uuid::Uuid;
use vault::Keyring;

use super::{MICROS_PER_HOUR, MICROS_PER_MINUTE};
use crate::billing::exact::{self, Digest};
use crate::billing::usage::entities::Named;
use crate::engine::fact::Fact;
use crate::engine::fold::ApplyError;
use crate::store::bulk::Rows;
use crate::store::{Connection, StoreError, Value};

/// Of what and in which hour since 1970, for one customer of a tenant.
type Part<'a> = (CustomerId, &'a MeterKey, i64);

pub(in crate::billing) async fn apply(
    keyring: &Keyring,
    connection: &mut Connection,
    facts: &[Fact],
    events: &[(&Fact, &Event)],
) -> Result<(), ApplyError> {
    let mut index = Rows::default();
    let (mut by_customer, mut by_entity) = (Added::default(), Added::default());
    let mut named = Named::new(keyring);
    let mut parts: BTreeMap<Part<'_>, Option<Digest>> = BTreeMap::new();
    for (fact, event) in events {
        let Event::Recorded { entries, .. } = event;
        for it in entries {
            let at = it.at.timestamp_micros();
            let (meter, hour) = (&it.meter, at.div_euclid(MICROS_PER_HOUR));
            let digest = Digest::of(it.value.get(), at);
            exact::append(parts.entry((it.customer, meter, hour)).or_default(), &digest);
            if let Some(entity) = named.by(fact.tenant, it).await? {
                by_entity.append((fact.tenant, entity.0), (meter, hour), &digest);
            }
        }
        while let Some(((customer, meter, hour), digest)) = parts.pop_first() {
            let Some(digest) = digest else { continue };
            let place = [hour.into(), fact.sequence.into(), fact.position.0.into()];
            let [hour_value, sequence, position] = place;
            let (tenant, of) = (fact.tenant.0.into(), customer.0.into());
            let (meter_value, text) = (meter.as_str().into(), digest.to_string().into());
            index.push([tenant, of, meter_value, hour_value, sequence, position, text]);
            by_customer.append((fact.tenant, customer.0), (meter, hour), &digest);
        }
    }
    let insert = "INSERT INTO usage_index
        (tenant, customer, meter, hour, sequence, position, digest)";
    index.insert(connection, insert, "").await?;
    by_customer.write(connection, "usage_hours", "customer").await?;
    by_entity.write(connection, "usage_entity_hours", "entity").await?;
    Ok(advance(connection, facts).await?)
}

/// The usage of one meter, by hour.
type Hours = BTreeMap<i64, Option<Digest>>;

/// What a batch adds to a table of hours: in which tenant, for which customer or entity, of what.
#[derive(Default)]
struct Added<'a>(HashMap<(TenantId, Uuid), BTreeMap<&'a str, Hours>>);

/// How far two hours of a series may be apart to be looked up with those in between. In hours: a
/// day, most of which a batch that fills tables touches anyway.
const GAP_MAX: i64 = 24;

impl<'a> Added<'a> {
    fn append(&mut self, of: (TenantId, Uuid), (meter, hour): (&'a MeterKey, i64), it: &Digest) {
        let hours = self.0.entry(of).or_default().entry(meter.as_str()).or_default();
        exact::append(hours.entry(hour).or_default(), it);
    }

    /// The hours of each tenant, customer or entity, and meter.
    fn series(&self) -> impl Iterator<Item = (TenantId, Uuid, &'a str, &Hours)> {
        self.0.iter().flat_map(|((tenant, of), meters)| {
            meters.iter().map(|(meter, hours)| (*tenant, *of, *meter, hours))
        })
    }

    /// Adds this to what `table` has; its second column is `of`.
    async fn write(
        mut self,
        connection: &mut Connection,
        table: &str,
        of: &str,
    ) -> Result<(), StoreError> {
        let before = format!("SELECT digest, tenant, {of}, meter, hour FROM {table}");
        let condition = format!("(tenant = ? AND {of} = ? AND meter = ? AND hour BETWEEN ? AND ?)");
        for row in self.ranges().fetch_where(connection, &before, &condition).await? {
            let (meter, hour) = (row.text(3)?, row.integer(4)?);
            let meters = self.0.get_mut(&(TenantId(row.uuid(1)?), row.uuid(2)?));
            let hours = meters.and_then(|it| it.get_mut(meter.as_str()));
            let Some(added) = hours.and_then(|it| it.get_mut(&hour)) else { continue };
            let mut digest = Some(row.parsed(0)?);
            if let Some(later) = added {
                exact::append(&mut digest, later);
            }
            *added = digest;
        }
        let mut rows = Rows::default();
        for (tenant, id, meter, hours) in self.series() {
            let meter: Arc<str> = meter.into();
            for (hour, digest) in hours {
                let Some(digest) = digest else { continue };
                let (hour, digest) = ((*hour).into(), digest.to_string().into());
                rows.push([tenant.0.into(), id.into(), meter.clone().into(), hour, digest]);
            }
        }
        let insert = format!("INSERT INTO {table} (tenant, {of}, meter, hour, digest)");
        let update = format!(
            "ON CONFLICT (tenant, {of}, meter, hour) DO UPDATE SET digest = excluded.digest"
        );
        rows.insert(connection, &insert, &update).await
    }

    /// The hours of each series, from and to, those near each other in one range.
    fn ranges(&self) -> Rows<5> {
        let mut ranges = Rows::default();
        for (tenant, of, meter, hours) in self.series() {
            let hours: Vec<i64> = hours.keys().copied().collect();
            for near in hours.chunk_by(|one, next| next - one <= GAP_MAX) {
                let (Some(first), Some(last)) = (near.first(), near.last()) else { continue };
                let (first, last): (Value, Value) = ((*first).into(), (*last).into());
                ranges.push([tenant.0.into(), of.into(), meter.into(), first, last]);
            }
        }
        ranges
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
