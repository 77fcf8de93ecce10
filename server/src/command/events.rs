//! `callboard events`.

use anyhow::{Context, Result};
use futures::StreamExt;
use outbound::Request;
use serde_json::Value;

use super::client::Api;
use crate::cli::Events;
use crate::config::Config;
use crate::output::{self, Format};

/// The largest event of a stream that is read. In bytes: 2 MiB.
const EVENT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Follows a tenant's events until the server or the reader goes away.
///
/// # Errors
///
/// If the server does not answer, refuses, or ends the stream.
pub(crate) async fn run(config: &Config, format: Format, command: &Events) -> Result<()> {
    let Events::Tail { tenant, after } = command;
    let api = Api::open(config).await?;
    let tenant = api.tenant(&tenant.tenant).await?;
    let mut url = api.url("/api/v1/events")?;
    if let Some(after) = after {
        url.query_pairs_mut().append_pair("after", &after.to_string());
    }
    let request = Request::get(url).with_header("accept", "text/event-stream");
    let mut pieces = api.stream(tenant, request).await?.body;
    let mut buffer = Vec::new();
    while let Some(piece) = pieces.next().await {
        buffer.extend_from_slice(&piece.context("the stream broke off")?);
        while let Some(end) = find(&buffer, b"\n\n") {
            let message: Vec<u8> = buffer.drain(..end + 2).collect();
            print(format, &String::from_utf8_lossy(&message))?;
        }
        anyhow::ensure!(buffer.len() <= EVENT_BYTES_MAX, "an event is larger than expected");
    }
    Ok(())
}

fn find(buffer: &[u8], what: &[u8]) -> Option<usize> {
    buffer.windows(what.len()).position(|it| it == what)
}

/// Prints the data of one server-sent event; comments have none.
fn print(format: Format, message: &str) -> Result<()> {
    let lines = message.lines().filter_map(|it| it.strip_prefix("data:"));
    let data: String = lines.map(str::trim_start).collect();
    if data.is_empty() {
        return Ok(());
    }
    let event: Value = serde_json::from_str(&data).context("the stream holds no JSON")?;
    output::result(format, &event, |event| {
        let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let sequence = &event["sequence"];
        format!("{sequence:>8}  {}  {}  {}", text("time"), text("type"), text("stream"))
    })
}
