//! The audit trail, searchable: one row per event, without its body.
//!
//! Bodies stay in the log; a row has the position to read them from.

use chrono::{DateTime, Utc};
use domain::id::{ActorId, CommandId, EventId};
use domain::{Principal, Stream};
use event_log::{Partition, Position};
use uuid::Uuid;

use crate::error::ReadError;
use crate::page::{Page, Window};
use crate::read_models::ReadModels;

/// One event of the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its identity.
    pub id: EventId,
    /// Its place in the tenant's history, gapless from 1; also its cursor.
    pub sequence: u64,
    /// The partition that holds it.
    pub partition: Partition,
    /// Its place there.
    pub position: Position,
    /// What happened, without the common prefix: `<noun>.<fact>.v<N>`.
    pub name: String,
    /// The stream it belongs to.
    pub stream: Stream,
    /// Its place in that stream.
    pub revision: u64,
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub actor: ActorId,
    /// The command that caused it.
    pub command: CommandId,
    /// Its place among the events of that command, `n/m`.
    pub batch_position: String,
    /// The conversation it belongs to.
    pub correlation: Option<Uuid>,
    /// What led to it, as recorded.
    pub causation: Option<String>,
}

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Done by this actor.
    pub actor: Option<ActorId>,
    /// Of these types, each whole (`entity.updated.v1`) or the beginning of one up to a dot
    /// (`entity`); of all if empty.
    pub names: Vec<String>,
    /// Of this stream.
    pub stream: Option<Stream>,
    /// Recorded at or after this instant.
    pub from: Option<DateTime<Utc>>,
    /// Recorded before this instant.
    pub to: Option<DateTime<Utc>>,
    /// Of this conversation.
    pub correlation: Option<Uuid>,
    /// Caused by this command.
    pub command: Option<CommandId>,
}

/// The events with these identities, in order, in one query.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find_many(
    models: &ReadModels,
    principal: &Principal,
    ids: &[EventId],
) -> Result<Vec<Option<AuditRow>>, ReadError> {
    let _ = (models, principal, ids);
    unimplemented!()
}

/// A page of the events of `filter`, newest first.
///
/// # Errors
///
/// [`ReadError`].
pub async fn list(
    models: &ReadModels,
    principal: &Principal,
    filter: &AuditFilter,
    window: &Window<u64>,
) -> Result<Page<AuditRow, u64>, ReadError> {
    let _ = (models, principal, filter, window);
    unimplemented!()
}

/// How many events `filter` has.
///
/// # Errors
///
/// [`ReadError`].
pub async fn count(
    models: &ReadModels,
    principal: &Principal,
    filter: &AuditFilter,
) -> Result<u64, ReadError> {
    let _ = (models, principal, filter);
    unimplemented!()
}
