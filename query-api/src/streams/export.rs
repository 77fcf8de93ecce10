//! Exports of a tenant's audit trail: its records as they are stored, with what proves that they are all.
//!
//! The tenant's records are followed from the first one on, for the tree over all of them is signed; no more than
//! one step of them is held. How the file is made is for [`event_log::export`] to say.

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use domain::audit::Part;
use domain::event::TYPE_PREFIX;
use domain::id::{ActorId, TenantId};
use event_log::export::{Asked, Exporter};
use event_log::note::{Signer, VerifierKey};
use event_log::{Attribute, Position, Record};
use projections::page::Window;
use projections::{Model, audit};
use serde::Serialize;
use utoipa::ToSchema;
use vault::AuditKey;

use super::records::Records;
use super::{Types, authorized, damaged};
use crate::context::RequestContext;
use crate::error::ApiError;

/// Where the events begin or end that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// With this one.
    Sequence(u64),
    /// At this instant.
    Instant(DateTime<Utc>),
}

impl Bound {
    fn text(self) -> String {
        match self {
            Self::Sequence(sequence) => sequence.to_string(),
            Self::Instant(instant) => instant.to_rfc3339(),
        }
    }
}

/// Which events are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// None before this sequence or instant.
    pub from: Option<Bound>,
    /// None after this sequence, or at or after this instant.
    pub to: Option<Bound>,
    /// Of this actor alone; the others are left out.
    pub actor: Option<ActorId>,
    /// Of these types alone; the others are left out.
    pub types: Types,
}

impl Selection {
    /// The same as an export says it.
    fn asked(&self) -> Asked {
        Asked {
            from: self.from.map(Bound::text),
            to: self.to.map(Bound::text),
            actor: self.actor.map(|it| it.to_string()),
            types: self.types.names().to_vec(),
        }
    }

    /// The same as the trail says it.
    pub(crate) fn part(&self, after: u64) -> Part {
        let Asked { from, to, types, .. } = self.asked();
        Part { from, to, actor: self.actor, types, after: Some(after).filter(|it| *it > 0) }
    }

    fn is_before(&self, record: &Own<'_>) -> bool {
        match self.from {
            None => false,
            Some(Bound::Sequence(from)) => record.sequence < from,
            Some(Bound::Instant(from)) => record.time < from,
        }
    }

    fn is_after(&self, record: &Own<'_>) -> bool {
        match self.to {
            None => false,
            Some(Bound::Sequence(to)) => record.sequence > to,
            Some(Bound::Instant(to)) => record.time >= to,
        }
    }

    fn shows(&self, record: &Record) -> bool {
        let actor = record.attribute(Attribute::Actor);
        let full_type = record.attribute(Attribute::Type);
        let name = full_type.strip_prefix(TYPE_PREFIX).unwrap_or(full_type);
        self.actor.is_none_or(|it| actor.parse() == Ok(it)) && self.types.name(name)
    }
}

/// A record of the tenant, and when it was made.
struct Own<'a> {
    record: &'a Record,
    sequence: u64,
    time: DateTime<Utc>,
}

impl<'a> Own<'a> {
    fn of(record: &'a Record) -> Result<Self, ApiError> {
        let malformed = |it: Attribute| damaged(record, it.header());
        let sequence = record.attribute(Attribute::Sequence).parse();
        let time = record.attribute(Attribute::Time).parse();
        Ok(Self {
            record,
            sequence: sequence.map_err(|_| malformed(Attribute::Sequence))?,
            time: time.map_err(|_| malformed(Attribute::Time))?,
        })
    }
}

/// An export on its way.
pub(crate) struct AuditExport {
    tenant: TenantId,
    records: Records,
    /// The log ended here when it was asked for.
    end: Position,
    selection: Selection,
    /// None once everything was handed out.
    exporter: Option<Exporter>,
}

impl AuditExport {
    /// Of the caller's tenant. Whoever has the same export up to its checkpoint `after` that sequence gets the
    /// rest of it.
    ///
    /// # Errors
    ///
    /// If the caller may not read the audit trail, or the log or the keys cannot be read.
    pub(crate) async fn open(
        request: &RequestContext,
        selection: Selection,
        after: u64,
    ) -> Result<Self, ApiError> {
        let tenant = authorized(request)?;
        let Some(partition) = request.shared().commands().partition_of(tenant) else {
            return Err(ApiError::argument("the tenant is not in the directory"));
        };
        let signer = signer(request, tenant).await?;
        let from = first_place(request).await?;
        let shared = request.shared();
        let (lookups, tails) = (shared.commands().lookups().clone(), shared.tails().clone());
        let records = Records::open(lookups, tails, (tenant, partition), Some(from)).await?;
        let end = records.end().await?;
        let exporter = Exporter::new(signer, &tenant.to_string(), selection.asked(), after);
        Ok(Self { tenant, records, end, selection, exporter: Some(exporter) })
    }

    /// The next bytes of it, at least one; none if that was all.
    ///
    /// # Errors
    ///
    /// If the log cannot be read, or its chain is broken: then nothing more is signed.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        while let Some(mut exporter) = self.exporter.take() {
            if self.records.reached() >= self.end {
                return Ok(Some(last(exporter)?));
            }
            let step = self.records.next().await?;
            for owned in step.new_ones().filter(|it| it.tenant == Some(self.tenant)) {
                let own = Own::of(&owned.recorded.record)?;
                let is_over = owned.recorded.position >= self.end || self.selection.is_after(&own);
                if is_over {
                    return Ok(Some(last(exporter)?));
                }
                self.add(&mut exporter, &own)?;
            }
            let written = exporter.take();
            self.exporter = Some(exporter);
            if !written.is_empty() {
                return Ok(Some(written.into()));
            }
        }
        Ok(None)
    }

    fn add(&self, exporter: &mut Exporter, own: &Own<'_>) -> Result<(), ApiError> {
        let is_before = !exporter.has_begun() && self.selection.is_before(own);
        let taken = if is_before {
            exporter.pass(own.record)
        } else {
            if !exporter.has_begun() {
                exporter.begin();
            }
            match self.selection.shows(own.record) {
                true => exporter.show(own.record),
                false => exporter.leave_out(own.record),
            }
        };
        taken.map_err(|broken| {
            tracing::error!(reason = %broken, "an export was given up: the log is not as it was written");
            damaged(own.record, "place in the chain")
        })
    }
}

/// The end of an export.
fn last(mut exporter: Exporter) -> Result<Bytes, ApiError> {
    let reached = exporter.reached();
    if !exporter.has_begun() {
        exporter.begin();
    }
    let beyond =
        || ApiError::argument(format!("there is nothing after sequence {reached} to go on with"));
    let at = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    Ok(exporter.end(&at).ok_or_else(beyond)?.into())
}

/// Where the first record of the tenant is, or any place before it.
async fn first_place(request: &RequestContext) -> Result<Position, ApiError> {
    let models = request.read(Model::Audit).await?;
    let window = Window::first(1).after(2);
    let filter = audit::AuditFilter::default();
    let page = audit::list(&models, request.principal(), &filter, &window).await?;
    Ok(page.into_nodes().next().map_or(Position::START, |it| it.position))
}

/// Under which name the installation signs for a tenant.
fn origin(request: &RequestContext, tenant: TenantId) -> String {
    format!("callboard/{}/{tenant}", request.keyring().installation())
}

fn verifier(origin: &str, key: &AuditKey) -> VerifierKey {
    VerifierKey::new(origin, key.public_key()).expect("ids and slashes are a name")
}

async fn signer(request: &RequestContext, tenant: TenantId) -> Result<Signer, ApiError> {
    let newest = request.keyring().audit_keys().await?.pop();
    let newest = newest.expect("there is always one");
    let key = verifier(&origin(request, tenant), &newest);
    Ok(Signer::new(key, move |text| newest.sign(text)))
}

/// What verifies exports of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct AuditKeys {
    /// Under which name the installation signs for the tenant.
    pub origin: String,
    /// The keys there have been, as verifier keys (C2SP `signed-note`), the oldest first. The last one signs.
    pub keys: Vec<String>,
}

/// What verifies exports of the caller's tenant.
///
/// # Errors
///
/// If the caller may not read the audit trail, or the keys cannot be read.
pub(crate) async fn audit_keys(request: &RequestContext) -> Result<AuditKeys, ApiError> {
    let origin = origin(request, authorized(request)?);
    let keys = request.keyring().audit_keys().await?;
    let keys = keys.iter().map(|it| verifier(&origin, it).to_string()).collect();
    Ok(AuditKeys { origin, keys })
}
