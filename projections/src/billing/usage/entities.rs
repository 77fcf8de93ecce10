//! Usage on behalf of entities: the entries whose dimension `entity` names one.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use domain::catalog::reference::{DEFAULT_NAMESPACE, EntityRef};
use domain::id::{EntityId, TenantId};
use domain::meter::MeterKey;
use domain::usage::Entry;
use domain::{Permission, Principal};
use vault::{Keyring, KeyringError, TenantKeys};

use super::{
    METERS_MAX, SPANS_MAX, Step, UsageBucket, UsageReport, applied_sequence, hours_of, minute_of,
};
use crate::billing::exact::{self, Digest};
use crate::error::ReadError;
use crate::model::Model;
use crate::read_models::ReadModels;
use crate::scope;
use crate::store::{self, Sql};

/// The usage of one hour on behalf of one entity. Hours count from 1970.
///
/// An entity is known by the opaque id of its stream, which follows from its reference by a key of
/// the tenant: no name stands here, and it makes no difference whether the entity is there yet.
/// An accepted entry adds one row at most, of a bounded size, and none unless its reference is
/// one that a descriptor could have; so whatever dimensions a source makes up, the rows stay
/// fewer than the entries that were accepted and are kept in the log for ever anyway.
pub(in crate::billing) const USAGE_ENTITY_HOURS: &str = "CREATE TABLE usage_entity_hours (
    tenant UUID NOT NULL,
    entity UUID NOT NULL,
    meter TEXT NOT NULL,
    hour BIGINT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (tenant, entity, meter, hour)
) /* clustered */";

/// The dimension that names the entity on whose behalf something was used.
const DIMENSION: &str = "entity";

/// The most entities one question may name: 500.
pub const ENTITIES_MAX: usize = 500;

/// Which usage of entities.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntityUsageQuery {
    /// Of these meters, at most [`METERS_MAX`]; of all if empty.
    pub meters: Vec<MeterKey>,
    /// Used at or after this instant, which must be the beginning of an hour in UTC.
    pub from: DateTime<Utc>,
    /// Used before this instant, which must be the beginning of an hour in UTC.
    pub to: DateTime<Utc>,
    /// How long the spans are.
    pub step: Step,
}

/// The usage of one meter on behalf of an entity, whoever pays for it. Exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityUsage {
    /// What was used.
    pub meter: MeterKey,
    /// All of it, from the beginning of what was asked for on.
    pub total: UsageBucket,
    /// The spans with usage, in order.
    pub buckets: Vec<UsageBucket>,
}

/// The usage of each of `entities`, in order, sorted by meter, all in one snapshot of the tables
/// and one query. Everything that is applied is in it, also what was used on behalf of whatever had
/// the name before: `usage.read` takes no condition, and whoever has it may know of all usage.
///
/// # Errors
///
/// [`ReadError::Invalid`] if the range is empty or not of whole hours, more than
/// [`ENTITIES_MAX`] entities or [`METERS_MAX`] meters are named, or the answer would have more
/// than [`SPANS_MAX`] spans for all of them together.
pub async fn of_many(
    models: &ReadModels,
    principal: &Principal,
    entities: &[EntityId],
    query: &EntityUsageQuery,
) -> Result<Vec<UsageReport<EntityUsage>>, ReadError> {
    let hours = hours_of(query.from, query.to)?;
    ReadError::if_more("entities", entities.len(), ENTITIES_MAX)?;
    ReadError::if_more("meters", query.meters.len(), METERS_MAX)?;
    let nothing = UsageReport { sequence: 0, complete_through: None, rows: Vec::new() };
    let nothing = || entities.iter().map(|_| nothing.clone()).collect();
    let Some(tenant) = scope::tenant(principal, Permission::UsageRead)? else {
        return Ok(nothing());
    };
    if entities.is_empty() {
        return Ok(Vec::new());
    }
    let fault = ReadError::fault(Model::Billing);
    let mut reader = models.reader(Model::Billing, tenant).await?;
    let mut snapshot = store::begin(&mut reader).await.map_err(fault)?;
    let sequence = applied_sequence(&mut snapshot, tenant).await.map_err(fault)?;
    let complete_through = minute_of(&mut snapshot, tenant, sequence).await.map_err(fault)?;
    let sql = select(tenant, entities, query, hours);
    let mut folded: HashMap<EntityId, Spans> = HashMap::new();
    let mut count = 0;
    let folding = sql.each(&mut snapshot, |row| {
        let spans = folded.entry(EntityId(row.uuid(1)?)).or_default();
        let span = query.step.first_hour(row.integer(3)?);
        let slot = spans.entry(row.parsed(2)?).or_default().entry(span).or_default();
        count += usize::from(slot.is_none());
        exact::append(slot, &row.parsed(0)?);
        Ok(if count > SPANS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    folding.await.map_err(fault)?;
    if count > SPANS_MAX {
        return Err(too_many(entities, query));
    }
    drop(snapshot);
    reader.finish();
    let report = |entity| {
        let spans = folded.get(entity).into_iter().flatten();
        let rows = spans.filter_map(|(meter, spans)| usage(query.from, meter, spans)).collect();
        UsageReport { sequence, complete_through, rows }
    };
    Ok(entities.iter().map(report).collect())
}

/// What was used in each span, named by its first hour, of each meter.
type Spans = BTreeMap<MeterKey, BTreeMap<i64, Option<Digest>>>;

fn usage(
    from: DateTime<Utc>,
    meter: &MeterKey,
    spans: &BTreeMap<i64, Option<Digest>>,
) -> Option<EntityUsage> {
    let (mut total, mut buckets) = (None, Vec::new());
    for (hour, digest) in spans {
        let Some(digest) = digest else { continue };
        exact::append(&mut total, digest);
        buckets.extend(UsageBucket::of_hour(*hour, *digest));
    }
    Some(EntityUsage { meter: meter.clone(), total: UsageBucket::of(from, total?), buckets })
}

fn too_many(
    entities: &[EntityId],
    EntityUsageQuery { from, to, .. }: &EntityUsageQuery,
) -> ReadError {
    ReadError::Invalid(format!(
        "expected usage of at most {SPANS_MAX} spans, got more for {} entities `from` {from} `to` \
         {to}; ask for fewer entities or `meters`, a shorter time, or a longer `step`",
        entities.len()
    ))
}

fn select(
    tenant: TenantId,
    entities: &[EntityId],
    query: &EntityUsageQuery,
    hours: (i64, i64),
) -> Sql {
    let mut sql =
        Sql::new("SELECT digest, entity, meter, hour FROM usage_entity_hours WHERE tenant = ");
    sql.bind(tenant.0).push(" AND entity IN ").bind_list(entities.iter().map(|it| it.0));
    if !query.meters.is_empty() {
        sql.push(" AND meter IN ").bind_list(query.meters.iter().map(MeterKey::as_str));
    }
    sql.push(" AND hour >= ").bind(hours.0).push(" AND hour < ").bind(hours.1);
    sql.push(" ORDER BY entity, meter, hour");
    sql
}

/// Says which entities the entries of a batch name, each reference worked out once.
pub(super) struct Named<'a> {
    keyring: &'a Keyring,
    keys: HashMap<TenantId, Option<TenantKeys>>,
    known: HashMap<(TenantId, &'a str), Option<EntityId>>,
}

impl<'a> Named<'a> {
    pub(super) fn new(keyring: &'a Keyring) -> Self {
        Self { keyring, keys: HashMap::new(), known: HashMap::new() }
    }

    /// The entity that `entry` names: `kind:namespace/name` in any case, or `kind:name` in the
    /// namespace `default`; none if that is not what its dimension holds, or if the tenant was
    /// erased.
    pub(super) async fn by(
        &mut self,
        tenant: TenantId,
        entry: &'a Entry,
    ) -> Result<Option<EntityId>, KeyringError> {
        let Some(text) = entry.dimensions.get(DIMENSION) else { return Ok(None) };
        if let Some(known) = self.known.get(&(tenant, &**text)) {
            return Ok(*known);
        }
        let reference = EntityRef::parse(text, None, DEFAULT_NAMESPACE).ok();
        let reference = reference.filter(EntityRef::is_possible);
        let entity = match (reference, self.keys_of(tenant).await?) {
            (Some(reference), Some(keys)) => Some(keys.entity_id(&reference.canonical())),
            _ => None,
        };
        self.known.insert((tenant, text), entity);
        Ok(entity)
    }

    async fn keys_of(&mut self, tenant: TenantId) -> Result<Option<&TenantKeys>, KeyringError> {
        if !self.keys.contains_key(&tenant) {
            let keys = match self.keyring.existing(tenant).await {
                Ok(keys) => Some(keys),
                Err(KeyringError::TenantErased(_)) => None,
                Err(error) => return Err(error),
            };
            self.keys.insert(tenant, keys);
        }
        Ok(self.keys.get(&tenant).and_then(Option::as_ref))
    }
}
