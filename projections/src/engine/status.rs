//! How far every read model is, for operators.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::TenantId;
use event_log::{EventLog, Partition, Position};

use crate::engine::EngineError;
use crate::engine::checkpoint::Stage;
use crate::engine::table_set::TableSet;
use crate::model::Model;

/// How long the log may take to say where it ends. In seconds: 2; who asks is often a probe.
const END_TIME_MAX: Duration = Duration::from_secs(2);

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
    /// Whether it ever had all that the log had. Until then nothing is read from it.
    pub complete: bool,
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
    /// Where the log ends; none if it does not say.
    pub end: Option<Position>,
    /// Positions still to go, as far as is known; at least as many as events.
    pub events_behind: u64,
    /// How long ago the last applied event was recorded; zero when nothing is to go.
    pub time_behind: TimeDelta,
    /// Why nothing more is applied, if that is so: its worker has stopped, or tries again.
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

/// Where each partition of `log` ends, or why it does not say. All are asked at the same time: who
/// asks how far everything is wants to hear of it when the log is away, too.
pub(crate) async fn ends(log: &dyn EventLog) -> Vec<Result<Position, String>> {
    let asked = (0..log.partitions()).map(async |partition| {
        match tokio::time::timeout(END_TIME_MAX, log.end(Partition(partition))).await {
            Ok(end) => end.map_err(|it| it.to_string()),
            Err(_elapsed) => Err("the log does not say where it ends".to_owned()),
        }
    });
    futures::future::join_all(asked).await
}

/// How far `set` is on each partition of a log that ends there.
pub(crate) async fn of(
    set: &TableSet,
    ends: &[Result<Position, String>],
) -> Result<ModelStatus, EngineError> {
    let progress = set.progress().borrow().clone();
    let now = Utc::now();
    let mut partitions = Vec::with_capacity(progress.len());
    for ((partition, it), end) in (0..).map(Partition).zip(progress).zip(ends) {
        let reached = it.applied.as_ref().map_or(Position::START, |it| it.position.next());
        // A log that cannot be asked stops whoever follows it.
        let unknown = end.as_ref().err().cloned();
        let end = end.as_ref().ok().copied();
        let events_behind = end.unwrap_or(reached).0.saturating_sub(reached.0);
        let since = it.applied.as_ref().filter(|_| events_behind > 0);
        partitions.push(PartitionStatus {
            partition,
            position: it.applied.as_ref().map(|it| it.position),
            end,
            events_behind,
            time_behind: since.map_or(TimeDelta::zero(), |it| now - it.at),
            stopped: it.stopped.map(|it| it.reason()).or(unknown),
        });
    }
    let parked = set.parked().await.map_err(|it| EngineError::storage(set.model, it))?;
    let state = if set.is_live() { GenerationState::Live } else { GenerationState::Building };
    Ok(ModelStatus {
        model: set.model,
        schema: set.model.schema().version,
        generation: set.generation,
        state,
        complete: set.stage() == Stage::Filled,
        partitions,
        parked,
    })
}

/// Shows the status in the metrics.
pub(crate) fn measure(status: &ModelStatus) {
    let model = status.model.name();
    let parked = u32::try_from(status.parked.len()).unwrap_or(u32::MAX);
    metrics::gauge!("projection_parked_tenants", "model" => model).set(parked);
    for it in &status.partitions {
        let partition = it.partition.to_string();
        let behind = u32::try_from(it.events_behind).unwrap_or(u32::MAX);
        let generation = status.generation.to_string();
        metrics::gauge!(
            "projection_lag_events",
            "model" => model, "partition" => partition, "generation" => generation
        )
        .set(behind);
    }
}
