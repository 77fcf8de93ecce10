//! Usage for machines: recording it, the hot path of this door, and reading it back.

mod body;
mod cloud_event;
mod plain;
pub(super) mod report;

use axum::Json;
use axum::extract::{self, State};
use axum::http::HeaderMap;
use commands::{IdempotencyKey, Outcome, Request};
use domain::Permission;
use domain::operation::Operation;
use domain::usage::Verdict;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Door, Problem};
use crate::opaque::Place;

/// The header that makes a repetition safe.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What became of a request.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Recorded {
    /// The tenant's last sequence after the request.
    sequence: u64,
    /// Send it back in the header `Callboard-Position`, and an answer will have seen this.
    position: String,
    counts: Counts,
    /// What became of each entry, in the order of the request.
    results: Vec<EntryResult>,
}

/// How many entries of each kind.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Counts {
    accepted: u32,
    duplicate: u32,
    conflict: u32,
    rejected: u32,
}

/// What became of an entry.
#[derive(Debug, Serialize, ToSchema)]
struct EntryResult {
    id: String,
    result: ResultKind,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ResultKind {
    /// It counts.
    Accepted,
    /// It counted already.
    Duplicate,
    /// Its identity counted with other content.
    Conflict,
    /// It cannot count; `reason` says why.
    Rejected,
}

/// Records usage: plain JSON, or CloudEvents one by one, in a batch or in headers.
#[utoipa::path(
    post,
    path = "/api/v1/usage",
    security(("token" = []), ("session" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")),
    request_body(
        description = "At most 1,000 entries. With `ce-*` headers the body of \
                       `application/json` is the data of one CloudEvent.",
        content(
            (Vec<plain::Plain<'_>> = "application/json"),
            (cloud_event::CloudEvent<'_> = "application/cloudevents+json"),
            (Vec<cloud_event::CloudEvent<'_>> = "application/cloudevents-batch+json"),
        ),
    ),
    responses(
        (status = 200, body = Recorded),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn record(
    State(door): State<Door>,
    request: extract::Request,
) -> Result<Json<Recorded>, Problem> {
    let headers = request.headers().clone();
    let session = door.session(&headers).await?;
    door.context.permit(&session.principal, Permission::UsageWrite).await?;
    let body = super::read_body(request).await?;
    let entries = body::read(&headers, &body)?;
    let ids = entries.iter().map(|it| it.id.clone()).collect();
    let request = Request {
        idempotency_key: idempotency_key(&headers)?,
        traceparent: crate::trace::of(&headers),
        ..Request::new(Operation::RecordUsage { entries })
    };
    let outcome = door.context.submit(&session, request).await?;
    let place = Place { partition: outcome.partition, position: outcome.position };
    let position = door.context.position_token(&session.principal, &place);
    Ok(Json(recorded(ids, &outcome, position)))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    text.parse().map(Some).map_err(|error| Problem::bad_field("Idempotency-Key", error))
}

fn recorded(ids: Vec<String>, outcome: &Outcome, position: String) -> Recorded {
    let mut counts = Counts::default();
    let mut results = Vec::with_capacity(ids.len());
    for (id, verdict) in ids.into_iter().zip(&outcome.verdicts) {
        let (result, reason) = judged(*verdict);
        let count = match result {
            ResultKind::Accepted => &mut counts.accepted,
            ResultKind::Duplicate => &mut counts.duplicate,
            ResultKind::Conflict => &mut counts.conflict,
            ResultKind::Rejected => &mut counts.rejected,
        };
        *count += 1;
        results.push(EntryResult { id, result, reason });
    }
    Recorded { sequence: outcome.sequence, position, counts, results }
}

fn judged(verdict: Verdict) -> (ResultKind, Option<&'static str>) {
    match verdict {
        Verdict::Accepted => (ResultKind::Accepted, None),
        Verdict::Duplicate => (ResultKind::Duplicate, None),
        Verdict::Conflict => (ResultKind::Conflict, None),
        Verdict::UnknownMeter => (ResultKind::Rejected, Some("UNKNOWN_METER")),
        Verdict::ArchivedMeter => (ResultKind::Rejected, Some("ARCHIVED_METER")),
        Verdict::UnknownCustomer => (ResultKind::Rejected, Some("UNKNOWN_CUSTOMER")),
        Verdict::ClosedCustomer => (ResultKind::Rejected, Some("CLOSED_CUSTOMER")),
        Verdict::TooFarAhead => (ResultKind::Rejected, Some("TOO_FAR_AHEAD")),
    }
}
