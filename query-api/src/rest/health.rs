//! Whether the process lives, and whether it is ready to serve. No credential, no tenant data.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use projections::GenerationState;
use serde::Serialize;
use utoipa::ToSchema;

use super::Door;

/// The process runs.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = String)))]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// How far the node is from serving what it knows.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    ready: bool,
    /// Whether every partition has an owner that this process can ask.
    owned: bool,
    models: Vec<ModelReadiness>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ModelReadiness {
    model: &'static str,
    complete: bool,
    events_behind: u64,
    stopped: bool,
}

/// 200 once every partition has an owner, and every read model is complete and follows the log
/// closely enough; else 503.
#[utoipa::path(
    get,
    path = "/readyz",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)),
)]
pub(super) async fn ready(State(door): State<Door>) -> (StatusCode, Json<Readiness>) {
    let status = door.context.projections().status().await.unwrap_or_default();
    let live = status.iter().filter(|it| it.state == GenerationState::Live);
    let lag_max = chrono::TimeDelta::from_std(door.ready_lag_max).unwrap_or(chrono::TimeDelta::MAX);
    let owned = door.context.all_owned();
    let mut ready = owned && !status.is_empty() && !door.shutdown.is_cancelled();
    let mut models = Vec::new();
    for model in live {
        let stopped = model.partitions.iter().any(|it| it.stopped.is_some());
        let complete = model.complete;
        ready &= complete && !stopped;
        ready &= model.partitions.iter().all(|it| it.time_behind <= lag_max);
        let events_behind = model.partitions.iter().map(|it| it.events_behind).sum();
        let model = model.model.name();
        models.push(ModelReadiness { model, complete, events_behind, stopped });
    }
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(Readiness { ready, owned, models }))
}
