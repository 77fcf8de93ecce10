//! How far every read model is, for operators.

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::TenantId;
use event_log::{Partition, Position};

use crate::model::Model;

/// One generation of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelStatus {
    /// Which model.
    pub model: Model,
    /// The version of its tables.
    pub schema: u32,
    /// Counts the rebuilds, from 1.
    pub generation: u64,
    /// Whether it answers requests.
    pub state: GenerationState,
    /// How far it is on each partition.
    pub partitions: Vec<PartitionStatus>,
    /// The tenants that wait for somebody to look.
    pub parked: Vec<ParkedTenant>,
}

/// What a generation is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerationState {
    /// It answers requests.
    Live,
    /// It is being filled.
    Building,
}

/// How far a generation is on one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// Which.
    pub partition: Partition,
    /// The last position applied; none before the first.
    pub position: Option<Position>,
    /// Where the log ends.
    pub end: Position,
    /// Positions still to go; at least as many as events.
    pub events_behind: u64,
    /// How long ago the last applied event was recorded; zero when nothing is to go.
    pub time_behind: TimeDelta,
    /// Why its worker stopped, if it did.
    pub stopped: Option<String>,
}

/// A tenant with an event that a model cannot apply. Its later events wait, others go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedTenant {
    /// In which model.
    pub model: Model,
    /// Who.
    pub tenant: TenantId,
    /// The partition it is on.
    pub partition: Partition,
    /// The event that cannot be applied.
    pub position: Position,
    /// Why.
    pub reason: String,
    /// When that event was recorded.
    pub recorded_at: DateTime<Utc>,
}
