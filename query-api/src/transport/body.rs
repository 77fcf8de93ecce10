//! The bytes of a request, within bounds of size and time.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use super::Settings;
use super::problem::Problem;

/// How long the body of a request may take to arrive, at every door. In seconds: 25, less than the
/// whole request may take, so that who is slow is told so.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(25);

/// Reads a body to its end.
///
/// # Errors
///
/// 413 if it is too large, 408 if it takes too long, 400 if the connection breaks.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    settings: &Settings,
) -> Result<Bytes, Problem> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|it| it.to_str().ok())
        .and_then(|it| it.parse::<u64>().ok())
        .unwrap_or(0);
    if usize::try_from(announced).map_or(true, |it| it > settings.body_bytes_max) {
        return Err(too_large(settings));
    }
    tokio::time::timeout(settings.body_wait_max, collect(body, settings)).await.unwrap_or_else(
        |_elapsed| {
            let mut problem = Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "REQUEST_TIMEOUT",
                format!("the body did not arrive within {:?}", settings.body_wait_max),
            );
            problem.headers.push((header::CONNECTION, HeaderValue::from_static("close")));
            Err(problem)
        },
    )
}

async fn collect(body: Body, settings: &Settings) -> Result<Bytes, Problem> {
    let mut chunks = body.into_data_stream();
    let mut collected = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::bad_request("the body ended before its time"))?;
        if collected.len() + chunk.len() > settings.body_bytes_max {
            return Err(too_large(settings));
        }
        collected.extend_from_slice(&chunk);
    }
    Ok(collected.freeze())
}

fn too_large(settings: &Settings) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "PAYLOAD_TOO_LARGE",
        format!("the body has more than {} bytes", settings.body_bytes_max),
    )
}
