//! Every version an entity ever had.
//!
//! Versions hold descriptors as the log does, personal data sealed: a reader unseals it, so
//! data of then obeys the erasures of now.

use chrono::{DateTime, Utc};
use domain::Principal;
use domain::id::{ActorId, EntityUid};
use event_log::Position;
use serde_json::Value;

use crate::error::ReadError;
use crate::page::{Page, Window};
use crate::read_models::ReadModels;

/// One version of an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// Which registration it belongs to.
    pub uid: EntityUid,
    /// The stream's revision; also its cursor.
    pub revision: u64,
    /// What happened.
    pub kind: VersionKind,
    /// What was said, defaults and injections left out; none when it was deregistered.
    pub descriptor: Option<Value>,
    /// The tenant sequence of the event.
    pub sequence: u64,
    /// The log position of the event.
    pub position: Position,
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub actor: ActorId,
}

/// What made a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionKind {
    /// The entity was registered.
    Registered,
    /// Something else was said about it.
    Updated,
    /// It was deregistered.
    Deregistered,
}

/// A page of the versions of the entity with this reference, newest first. An entity that
/// cannot be seen now has none; for one that is deregistered, a principal that sees everything
/// still has its history.
///
/// # Errors
///
/// [`ReadError`].
pub async fn list(
    models: &ReadModels,
    principal: &Principal,
    reference: &str,
    window: &Window<u64>,
) -> Result<Page<Version, u64>, ReadError> {
    let _ = (models, principal, reference, window);
    unimplemented!()
}

/// The newest `count` versions of each of `references`, in order, in one query.
///
/// # Errors
///
/// [`ReadError`].
pub async fn newest_of_many(
    models: &ReadModels,
    principal: &Principal,
    references: &[String],
    count: u32,
) -> Result<Vec<Page<Version, u64>>, ReadError> {
    let _ = (models, principal, references, count);
    unimplemented!()
}
