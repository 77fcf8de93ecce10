//! What operators ask of and do to the installation.

use axum::Json;
use axum::extract::{self, Path, State};
use axum::http::{HeaderMap, StatusCode};
use domain::Permission;
use domain::id::TenantId;
use projections::{EngineError, GenerationState, Model, ModelStatus, ParkedTenant};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Door, Problem};
use crate::error::UNAVAILABLE_RETRY_AFTER;

/// How far a generation of a model is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModelView {
    model: &'static str,
    schema: u32,
    generation: u64,
    live: bool,
    partitions: Vec<PartitionView>,
    parked: Vec<ParkedView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PartitionView {
    partition: u32,
    position: Option<u64>,
    end: Option<u64>,
    events_behind: u64,
    milliseconds_behind: i64,
    stopped: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ParkedView {
    #[schema(value_type = String)]
    tenant: TenantId,
    partition: u32,
    position: u64,
    reason: String,
    recorded_at: chrono::DateTime<chrono::Utc>,
}

impl From<ModelStatus> for ModelView {
    fn from(status: ModelStatus) -> Self {
        let partitions = status.partitions.into_iter().map(|it| PartitionView {
            partition: it.partition.0,
            position: it.position.map(|it| it.0),
            end: it.end.map(|it| it.0),
            events_behind: it.events_behind,
            milliseconds_behind: it.time_behind.num_milliseconds(),
            stopped: it.stopped,
        });
        Self {
            model: status.model.name(),
            schema: status.schema,
            generation: status.generation,
            live: status.state == GenerationState::Live,
            partitions: partitions.collect(),
            parked: status.parked.into_iter().map(ParkedView::from).collect(),
        }
    }
}

impl From<ParkedTenant> for ParkedView {
    fn from(parked: ParkedTenant) -> Self {
        Self {
            tenant: parked.tenant,
            partition: parked.partition.0,
            position: parked.position.0,
            reason: parked.reason,
            recorded_at: parked.recorded_at,
        }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match &error {
            EngineError::NotParked { .. } => {
                Self::new(StatusCode::CONFLICT, "NOT_PARKED", error.to_string())
            }
            _ if error.is_away() => {
                tracing::error!(error = ?error, "an operation on a read model failed");
                let detail = "the database of a model, or the log, does not answer at present";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", detail)
                    .retry_after(Some(UNAVAILABLE_RETRY_AFTER))
            }
            _ => {
                tracing::error!(error = ?error, "an operation on a read model failed");
                let detail = "internal fault; the operator's log says more";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", detail)
            }
        }
    }
}

async fn authorize(
    door: &Door,
    headers: &HeaderMap,
    permission: Permission,
) -> Result<(), Problem> {
    door.session(headers).await?.principal.authorize(permission)?;
    Ok(())
}

fn model(name: &str) -> Result<Model, Problem> {
    name.parse().map_err(|error| Problem::bad_field("model", error))
}

/// Where every model stands, and which tenants are parked.
#[utoipa::path(
    get,
    path = "/api/v1/projections",
    security(("token" = []), ("session" = [])),
    responses(
        (status = 200, body = Vec<ModelView>),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn status(
    State(door): State<Door>,
    headers: HeaderMap,
) -> Result<Json<Vec<ModelView>>, Problem> {
    authorize(&door, &headers, Permission::DirectoryRead).await?;
    let status = door.context.projections().status().await?;
    Ok(Json(status.into_iter().map(ModelView::from).collect()))
}

/// Builds a model anew beside the live one and switches over; answers after the exchange.
#[utoipa::path(
    post,
    path = "/api/v1/projections/{model}/rebuild",
    security(("token" = []), ("session" = [])),
    params(("model" = String, Path, description = "The model.")),
    responses(
        (status = 200, body = Vec<ModelView>),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn rebuild(
    State(door): State<Door>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Vec<ModelView>>, Problem> {
    authorize(&door, &headers, Permission::DirectoryWrite).await?;
    let model = model(&name)?;
    let context = door.context.clone();
    // Goes on to its end even if the caller goes away.
    let rebuilt = tokio::spawn(async move { context.projections().rebuild(model).await }).await;
    rebuilt.map_err(|error| {
        tracing::error!(error = %error, "a rebuild did not end well");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "the rebuild failed")
    })??;
    status(State(door), headers).await
}

/// The most a request to resume may say, in bytes: 1,024, many times what it needs.
pub(super) const RESUME_BYTES_MAX: usize = 1_024;

/// Which tenant is to be taken up again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Resume {
    /// The tenant, `ten_…`.
    #[schema(value_type = String)]
    tenant: TenantId,
}

/// What became of a parked tenant.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resumed {
    /// Where it is parked again; none if everything could be applied.
    parked: Option<ParkedView>,
}

/// Takes a parked tenant up again from the event it was parked at.
#[utoipa::path(
    post,
    path = "/api/v1/projections/{model}/resume",
    security(("token" = []), ("session" = [])),
    params(("model" = String, Path, description = "The model.")),
    request_body = Resume,
    responses(
        (status = 200, body = Resumed),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn resume(
    State(door): State<Door>,
    Path(name): Path<String>,
    request: extract::Request,
) -> Result<Json<Resumed>, Problem> {
    authorize(&door, request.headers(), Permission::DirectoryWrite).await?;
    let model = model(&name)?;
    let body = super::read_body(request).await?;
    let Resume { tenant } = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("expected {{\"tenant\": …}}: {error}")))?;
    let parked = door.context.projections().resume(model, tenant).await?;
    Ok(Json(Resumed { parked: parked.map(ParkedView::from) }))
}

/// The metrics of the process, for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    security(("token" = []), ("session" = [])),
    responses(
        (status = 200, body = String),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn metrics(
    State(door): State<Door>,
    headers: HeaderMap,
) -> Result<String, Problem> {
    authorize(&door, &headers, Permission::DirectoryRead).await?;
    Ok((door.metrics.0)())
}
