//! The log as one tenant may see it: bodies of single events, and the stream of all of them.
//!
//! The only user of the shared log in this crate. Everything else that a reader of the log
//! would see, other tenants' records above all, ends here. Personal texts stay sealed. `export` hands
//! the records themselves out, with what proves them.
//! `records` is how a partition is followed, `tail` what its followers share.

mod export;
mod records;
mod tail;
mod types;

use std::collections::{BTreeSet, HashMap};

use commands::Lookup;
use domain::event::TYPE_PREFIX;
use domain::id::TenantId;
use domain::{Permission, Scope};
use event_log::{Attribute, Partition, Position, Record, Recorded};
use projections::page::Window;
use projections::{Model, audit};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use vault::TenantKeys;
use vault::tenant_keys::SEALED;

use crate::context::RequestContext;
use crate::error::ApiError;
pub(crate) use export::{AuditExport, AuditKeys, Bound, Selection, audit_keys};
use records::Records;
pub(crate) use tail::Tails;
pub(crate) use types::begun;
pub use types::{Types, TypesError};

/// The greatest sequence that can be asked for: 2⁶³ − 1, the greatest the read models can hold.
const SEQUENCE_MAX: u64 = i64::MAX.unsigned_abs();

/// An event with its body, as its tenant sees it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamEvent {
    /// Its place in the tenant's history: gapless, from 1.
    pub sequence: u64,
    /// Its identity, `evt_…`.
    pub id: String,
    /// What happened, `callboard.<noun>.<fact>.v<N>`.
    #[serde(rename = "type")]
    pub full_type: String,
    /// The stream it belongs to.
    pub stream: String,
    /// Its place in that stream.
    pub revision: u64,
    /// When it was recorded.
    #[schema(format = DateTime)]
    pub time: String,
    /// Who did it.
    pub actor: String,
    /// The command that caused it.
    pub command_id: String,
    /// The conversation it belongs to.
    pub correlation_id: String,
    /// What led to it.
    pub causation_id: String,
    /// What it says; personal texts in it are sealed.
    pub data: Value,
}

impl StreamEvent {
    /// The type without the common prefix: `<noun>.<fact>.v<N>`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.full_type.strip_prefix(TYPE_PREFIX).unwrap_or(&self.full_type)
    }
}

/// The bodies of the events at `places`, in order, of those that are of the caller's tenant.
/// What lies close together is read together.
///
/// # Errors
///
/// If the caller may not read the audit trail, or the log cannot be read.
pub async fn bodies(
    request: &RequestContext,
    places: &[(Partition, Position)],
) -> Result<Vec<Option<Value>>, ApiError> {
    let tenant = authorized(request)?;
    let keys = request.keyring().existing(tenant).await?;
    let wanted: BTreeSet<_> = places.iter().copied().collect();
    let mut found = HashMap::new();
    for run in runs(wanted.into_iter().collect()) {
        for (place, recorded) in read_run(request, &run).await? {
            if belongs_to(&recorded.record, tenant) {
                found.insert(place, value(&recorded.record, &keys)?);
            }
        }
    }
    Ok(places.iter().map(|it| found.get(it).cloned()).collect())
}

/// How far apart two places may be to be read in one go: 64 positions, which costs less than to
/// look for the second.
const GAP_MAX: u64 = 64;

/// A place in the log.
type Place = (Partition, Position);

/// `places`, which are sorted, in groups that are read in one go.
fn runs(places: Vec<Place>) -> Vec<Vec<Place>> {
    let mut runs: Vec<Vec<Place>> = Vec::new();
    for place in places {
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|it| are_close(*it, place)) => run.push(place),
            _ => runs.push(vec![place]),
        }
    }
    runs
}

fn are_close(one: Place, next: Place) -> bool {
    one.0 == next.0 && next.1.0 - one.1.0 <= GAP_MAX
}

/// The records at the places of `run`, which lie close together in one partition. A place at
/// which there is none is left out.
async fn read_run(
    request: &RequestContext,
    run: &[Place],
) -> Result<Vec<(Place, Recorded)>, ApiError> {
    let (Some((partition, first)), Some((_, last))) = (run.first(), run.last()) else {
        return Ok(Vec::new());
    };
    let (tenant, lookups) = (request.principal().tenant(), request.shared().commands().lookups());
    tracing::trace!(target: "query_api::log_read", %partition, "reading bodies");
    let mut reader = lookups.read(tenant, *partition, *first, Lookup::Brief).await?;
    let mut found = Vec::with_capacity(run.len());
    // They were recorded, so reading never waits for what is not there yet.
    let mut reached = *first;
    while reached <= *last {
        let most = usize::try_from(last.0 - reached.0).unwrap_or(0).min(tail::RECORDS_MAX - 1) + 1;
        for recorded in reader.next(most).await? {
            let place = (*partition, recorded.position);
            reached = recorded.position.next();
            if run.binary_search(&place).is_ok() {
                found.push((place, recorded));
            }
        }
    }
    Ok(found)
}

/// Follows the events of one tenant, from any sequence on, for as long as it is polled.
pub struct TenantStream {
    tenant: TenantId,
    keys: TenantKeys,
    records: Records,
    /// Events up to this sequence are passed over.
    after: u64,
}

impl std::fmt::Debug for TenantStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantStream").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl TenantStream {
    /// The events after sequence `after`, or from now on.
    ///
    /// # Errors
    ///
    /// If the caller may not read the audit trail, no sequence can be that great, or the log
    /// cannot be read.
    pub async fn open(request: &RequestContext, after: Option<u64>) -> Result<Self, ApiError> {
        let tenant = authorized(request)?;
        if let Some(after) = after.filter(|it| *it > SEQUENCE_MAX) {
            let message = format!("expected a sequence of at most {SEQUENCE_MAX}, got {after}");
            return Err(ApiError::argument(message));
        }
        let keys = request.keyring().existing(tenant).await?;
        let lookups = request.shared().commands().lookups().clone();
        let Some(partition) = request.shared().commands().partition_of(tenant) else {
            return Err(ApiError::argument("the tenant is not in the directory"));
        };
        let from = match after {
            None => None,
            Some(sequence) => Some(place_of(request, sequence).await?),
        };
        let tails = request.shared().tails().clone();
        let records = Records::open(lookups, tails, (tenant, partition), from).await?;
        Ok(Self { tenant, keys, records, after: after.unwrap_or(0) })
    }

    /// Where the log ends now.
    ///
    /// # Errors
    ///
    /// If the log cannot tell.
    pub fn end(&self) -> impl Future<Output = Result<Position, ApiError>> + Send + use<> {
        let end = self.records.end();
        async move { Ok(end.await?) }
    }

    /// The next events, at least one; waits for it.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    pub async fn next(&mut self) -> Result<Vec<StreamEvent>, ApiError> {
        loop {
            let events = self.step().await?;
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }

    /// The next events, at least one; none if there are none before `end`, a place up to which
    /// the log is recorded.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    pub async fn next_before(
        &mut self,
        end: Position,
    ) -> Result<Option<Vec<StreamEvent>>, ApiError> {
        while self.records.reached() < end {
            let events = self.step().await?;
            if !events.is_empty() {
                return Ok(Some(events));
            }
        }
        Ok(None)
    }

    /// What the tenant sees of the next records, which may be nothing.
    async fn step(&mut self) -> Result<Vec<StreamEvent>, ApiError> {
        let step = self.records.next().await?;
        let own = step.new_ones().filter(|it| it.tenant == Some(self.tenant));
        let events = own.map(|it| self.event(&it.recorded));
        let mut events = events.collect::<Result<Vec<_>, _>>()?;
        events.retain(|it| it.sequence > self.after);
        if let Some(last) = events.last() {
            self.after = last.sequence;
        }
        Ok(events)
    }

    fn event(&self, recorded: &Recorded) -> Result<StreamEvent, ApiError> {
        let record = &recorded.record;
        let text = |it| record.attribute(it).to_owned();
        let number = |it: Attribute| {
            let malformed = || damaged(record, it.header());
            record.attribute(it).parse().map_err(|_| malformed())
        };
        // What follows the command's identity is for the write side.
        let command = record.attribute(Attribute::CommandId).split('.').next();
        Ok(StreamEvent {
            sequence: number(Attribute::Sequence)?,
            id: text(Attribute::Id),
            full_type: text(Attribute::Type),
            stream: text(Attribute::Subject),
            revision: number(Attribute::Revision)?,
            time: text(Attribute::Time),
            actor: text(Attribute::Actor),
            command_id: command.unwrap_or_default().to_owned(),
            correlation_id: text(Attribute::CorrelationId),
            causation_id: text(Attribute::CausationId),
            data: value(record, &self.keys)?,
        })
    }
}

/// The caller's tenant, if it may read the whole of its audit trail.
fn authorized(request: &RequestContext) -> Result<TenantId, ApiError> {
    let principal = request.principal();
    let permission = Permission::AuditRead;
    match principal.authorize(permission)? {
        Scope::All => Ok(principal.tenant()),
        // No condition on entities says which events of other streams may be seen.
        Scope::None | Scope::Where(_) => Err(domain::principal::Denied { permission }.into()),
    }
}

fn belongs_to(record: &Record, tenant: TenantId) -> bool {
    record.attribute(Attribute::Tenant).parse() == Ok(tenant)
}

/// A place at or before the first event after `sequence`.
async fn place_of(request: &RequestContext, sequence: u64) -> Result<Position, ApiError> {
    let window = Window::first(1).after(sequence.saturating_add(1));
    let models = request.read(Model::Audit).await?;
    let filter = audit::AuditFilter::default();
    let page = audit::list(&models, request.principal(), &filter, &window).await?;
    let newest = page.into_nodes().next();
    Ok(newest.map_or(Position::START, |it| it.position.next()))
}

fn value(record: &Record, keys: &TenantKeys) -> Result<Value, ApiError> {
    let stored = record.value();
    let plain = match record.attribute(Attribute::ContentType) {
        SEALED => {
            let sequence = record.attribute(Attribute::Sequence).parse().unwrap_or(0);
            let stream = record.attribute(Attribute::Subject);
            let opened = keys.open_value(stream, sequence, &stored);
            opened.map_err(|_| damaged(record, "value"))?.into()
        }
        _ => stored,
    };
    serde_json::from_slice(&plain).map_err(|_| damaged(record, "value"))
}

fn damaged(record: &Record, part: &str) -> ApiError {
    let place = format!("event {}", record.attribute(Attribute::Id));
    event_log::LogError::Damaged { place, reason: format!("its {part} cannot be read") }.into()
}
