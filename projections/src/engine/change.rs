//! What became visible, told after the commit that made it so.

use domain::id::{EntityId, TenantId};
use event_log::{Partition, Position};

/// The catalog of a tenant changed, and whoever reads it from now on sees so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose catalog.
    pub tenant: TenantId,
    /// The partition of the tenant.
    pub partition: Partition,
    /// The last position that is visible.
    pub position: Position,
    /// The tenant's sequence at that position.
    pub sequence: u64,
    /// What changed, each entity once, in order of its last change.
    pub entities: Vec<EntityChange>,
}

/// One entity that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityChange {
    /// Which.
    pub id: EntityId,
    /// Its reference, `kind:namespace/name` in lower case.
    pub reference: String,
    /// What became of it.
    pub fate: EntityFate,
    /// The tenant sequence of the event that did it.
    pub sequence: u64,
}

/// What became of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntityFate {
    /// It is in the catalog; it was not before.
    Registered,
    /// Something else is said about it.
    Updated,
    /// It is no longer in the catalog.
    Deregistered,
}
