//! Whether the process lives, and whether it is ready to serve. No credential, no tenant data.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use projections::GenerationState;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::Door;
use crate::context::GONE;

/// The process runs.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = String)))]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// How far the node is from serving what it knows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Readiness {
    ready: bool,
    /// What is away, if that is why it is not ready: the log, or a database.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<&'static str>,
    /// `replicas` if nothing can be recorded at present, although it can be read, since too few
    /// replicas of the log are in sync; `gone` if a part of the log was removed, after which nothing
    /// is recorded until the next start; `clock` if the clock of this process is not that of the log, so
    /// that others decide until it is set right. The process's own log says more.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<&'static str>,
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
    let (status, database) = match door.context.projections().status().await {
        Ok(status) => (status, None),
        Err(error) => {
            tracing::error!(error = ?error, "it is not known how far the read models are");
            (Vec::new(), error.is_away().then_some("the database of the read models"))
        }
    };
    let is_silent = status.iter().flat_map(|it| &it.partitions).any(|it| it.end.is_none());
    let waits_for = database.or(is_silent.then_some("the log"));
    let trouble = door.context.trouble().await;
    let live = status.iter().filter(|it| it.state == GenerationState::Live);
    let lag_max = chrono::TimeDelta::from_std(door.ready_lag_max).unwrap_or(chrono::TimeDelta::MAX);
    let owned = door.context.all_owned();
    let mut ready = owned && !status.is_empty() && !door.shutdown.is_cancelled();
    ready &= trouble != Some(GONE);
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
    (code, Json(Readiness { ready, waits_for, trouble, owned, models }))
}

/// What a node answers that has not started yet.
pub(super) async fn starting(
    State(waits_for): State<watch::Receiver<Option<&'static str>>>,
) -> (StatusCode, Json<Readiness>) {
    let waits_for = *waits_for.borrow();
    let (trouble, models) = (None, Vec::new());
    let readiness = Readiness { ready: false, waits_for, trouble, owned: false, models };
    (StatusCode::SERVICE_UNAVAILABLE, Json(readiness))
}
