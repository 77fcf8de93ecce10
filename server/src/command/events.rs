//! `callboard events`.

use anyhow::{Context, Result};
use domain::id::TenantId;
use futures::StreamExt;
use outbound::Request;
use serde_json::Value;

use super::client::Api;
use crate::cli::Events;
use crate::config::Config;
use crate::output::{self, Format};

/// The largest event of a stream that is read. In bytes: 2 MiB.
const EVENT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Follows a tenant's events until the server or the reader goes away. A stream ends with its
/// token; another one goes on after the last event.
///
/// # Errors
///
/// If the server does not answer, refuses, or breaks off.
pub(crate) async fn run(config: &Config, format: Format, command: &Events) -> Result<()> {
    let Events::Tail { tenant, after } = command;
    let api = Api::open(config).await?;
    let tenant = api.tenant(&tenant.tenant).await?;
    let mut after = match after {
        Some(after) => *after,
        None => newest(&api, tenant).await?,
    };
    loop {
        after = follow(&api, tenant, after, format).await?;
    }
}

/// The sequence of the tenant's last event.
async fn newest(api: &Api, tenant: TenantId) -> Result<u64> {
    let answer: Value =
        api.graphql(tenant, "{ audit(first: 1) { nodes { sequence } } }", Value::Null).await?;
    Ok(answer["audit"]["nodes"][0]["sequence"].as_u64().unwrap_or(0))
}

/// Prints the events after sequence `after` until the stream ends; the last sequence that was
/// printed.
async fn follow(api: &Api, tenant: TenantId, mut after: u64, format: Format) -> Result<u64> {
    let mut url = api.url("/api/v1/events")?;
    url.query_pairs_mut().append_pair("after", &after.to_string());
    let request = Request::get(url).with_header("accept", "text/event-stream");
    let mut pieces = api.stream(tenant, request).await?.body;
    let mut buffer = Vec::new();
    while let Some(piece) = pieces.next().await {
        buffer.extend_from_slice(&piece.context("the stream broke off")?);
        while let Some(end) = find(&buffer, b"\n\n") {
            let message: Vec<u8> = buffer.drain(..end + 2).collect();
            after = print(format, &String::from_utf8_lossy(&message))?.unwrap_or(after);
        }
        anyhow::ensure!(buffer.len() <= EVENT_BYTES_MAX, "an event is larger than expected");
    }
    Ok(after)
}

fn find(buffer: &[u8], what: &[u8]) -> Option<usize> {
    buffer.windows(what.len()).position(|it| it == what)
}

/// Prints the data of one server-sent event, and answers its sequence; comments have none.
fn print(format: Format, message: &str) -> Result<Option<u64>> {
    let is_error = message.lines().any(|it| it == "event: error");
    let lines = message.lines().filter_map(|it| it.strip_prefix("data:"));
    let data: String = lines.map(str::trim_start).collect();
    if data.is_empty() {
        return Ok(None);
    }
    let event: Value = serde_json::from_str(&data).context("the stream holds no JSON")?;
    if is_error {
        anyhow::bail!(
            "the server ended the stream: {}",
            event["detail"].as_str().unwrap_or_default()
        );
    }
    output::result(format, &event, |event| {
        let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let sequence = &event["sequence"];
        format!("{sequence:>8}  {}  {}  {}", text("time"), text("type"), text("stream"))
    })?;
    Ok(event["sequence"].as_u64())
}
