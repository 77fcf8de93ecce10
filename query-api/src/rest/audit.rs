//! What auditors take away: exports that prove themselves, and the keys that verify them.
//!
//! An export goes out as the log is read, and nothing of it is kept here. Where it breaks off is for its reader to
//! see: it ends with a signed statement that it is the end.

use std::io;

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use commands::Request;
use domain::operation::Operation;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt, stream};

use super::events::{ended, too_many_streams, whole_number};
use super::problem::cut;
use super::{Door, Problem};
use crate::streams::{AuditExport, AuditKeys, Bound, Selection, Types, audit_keys};

/// The media type of an export.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.callboard.audit-export");

/// What is asked for, and what the caller has of it.
fn asked(query: &str) -> Result<(Selection, u64), Problem> {
    let (mut selection, mut after) = (Selection::default(), 0);
    let mut types: Option<Vec<String>> = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "from" => selection.from = Some(bound(&name, &value)?),
            "to" => selection.to = Some(bound(&name, &value)?),
            "actor" => {
                let actor = value.parse();
                selection.actor = Some(actor.map_err(|it| Problem::bad_field(&*name, it))?);
            }
            "types" => {
                let some = value.split(',').map(str::trim).filter(|it| !it.is_empty());
                types.get_or_insert_default().extend(some.map(str::to_owned));
            }
            "after" => after = whole_number(&name, &value)?,
            _ => return Err(Problem::bad_field(&*name, "there is no such parameter")),
        }
    }
    if types.as_ref().is_some_and(Vec::is_empty) {
        return Err(Problem::bad_field("types", "expected at least one type"));
    }
    let types = Types::new(&types.unwrap_or_default());
    selection.types = types.map_err(|it| Problem::bad_field("types", it))?;
    Ok((selection, after))
}

fn bound(name: &str, text: &str) -> Result<Bound, Problem> {
    let sequence = text.parse().map(Bound::Sequence);
    let bound = sequence.or_else(|_| text.parse().map(Bound::Instant));
    bound.map_err(|_: chrono::ParseError| {
        let got = cut(text);
        let message =
            format!("expected a sequence or an instant like `2026-11-30T08:00:00Z`, got `{got}`");
        Problem::bad_field(name, message)
    })
}

/// The tenant's history, or a part of it, as a file that proves itself: the stored bytes of events, and what a
/// filter leaves out as leaves of the tree over all.
#[utoipa::path(
    get,
    path = "/api/v1/audit/export",
    security(("token" = []), ("session" = [])),
    params(
        ("from" = Option<String>, Query, description = "From this sequence or instant (RFC 3339) on."),
        ("to" = Option<String>, Query, description = "Up to this sequence, or before this instant."),
        ("actor" = Option<String>, Query, description = "Show what this actor did, `usr_…`."),
        ("types" = Option<String>, Query, description = "Show events of these types or beginnings of \
            types, with commas between; at most 100."),
        ("after" = Option<u64>, Query, description = "The caller has the same export up to its \
            checkpoint after this sequence, and goes on from there."),
    ),
    responses(
        (status = 200, content((String = "application/vnd.callboard.audit-export")),
            description = "It is whole if it ends with a signed statement that it is the end."),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn export(
    State(door): State<Door>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let session = door.session(&headers).await?;
    let (selection, after) = asked(query.as_deref().unwrap_or_default())?;
    let permit = door.streams.open(&session.name()).ok_or_else(too_many_streams)?;
    let request = door.request(&session, &headers);
    request.check_active()?;
    let asked = Operation::ExportAudit { part: selection.part(after) };
    let mut export = AuditExport::open(&request, selection, after).await?;
    // Before the first piece: nothing of the trail leaves it without standing in it.
    door.context.submit(&session, Request::new(asked)).await?;
    let mut ended = ended(&door, &session).boxed();
    // The first piece decides whether there is anything to answer with. All before it is read for it.
    let first = tokio::select! {
        first = export.next() => first?,
        () = &mut ended => return Err(ended_early()),
    };
    let body = pieces(first, export, ended).map(move |it| {
        let _held = &permit;
        it
    });
    let mut response = Response::new(Body::from_stream(body));
    response.headers_mut().insert(header::CONTENT_TYPE, MEDIA_TYPE);
    Ok(response)
}

fn ended_early() -> Problem {
    let detail = "the credential ended, or this process does, before the first event that is asked for was \
                  reached; ask again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "EXPORT_ENDED", detail)
}

/// All pieces of an export. The connection breaks with the one that could not be made, or that the caller may
/// have no longer: so no part of an export looks whole.
fn pieces(
    first: Option<Bytes>,
    export: AuditExport,
    ended: BoxFuture<'static, ()>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let broken = |why: String| Some((Err(io::Error::other(why)), None));
    let rest = stream::unfold(Some((export, ended)), move |state| async move {
        let (mut export, mut ended) = state?;
        tokio::select! {
            biased;
            () = &mut ended => broken(ended_early().detail.to_string()),
            next = export.next() => match next {
                Ok(piece) => Some((Ok(piece?), Some((export, ended)))),
                Err(error) => broken(Problem::from(error).detail.to_string()),
            },
        }
    });
    stream::iter(first.map(Ok)).chain(rest)
}

/// The keys that verify exports of the tenant.
#[utoipa::path(
    get,
    path = "/api/v1/audit/keys",
    security(("token" = []), ("session" = [])),
    responses(
        (status = 200, body = AuditKeys),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn keys(
    State(door): State<Door>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let session = door.session(&headers).await?;
    let request = door.request(&session, &headers);
    Ok(Json(audit_keys(&request).await?))
}
