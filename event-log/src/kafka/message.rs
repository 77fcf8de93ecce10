//! How a record lies in a message: `CloudEvents` in binary mode. The value is stored as it was
//! hashed; the attributes are headers, from which the canonical bytes are put together again.

use chrono::DateTime;
use rdkafka::Message as _;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Header, Headers as _, OwnedHeaders};

use crate::chain::Link;
use crate::record::{Attribute, Draft, Record};

/// The header that carries the record's link.
const CHAIN: &str = "ce_chain";

/// The header of the trace context.
const TRACEPARENT: &str = "traceparent";

/// The headers of `record`: every attribute in canonical order, its link, its trace context.
pub(super) fn headers(record: &Record) -> OwnedHeaders {
    let attributes = Attribute::ALL.iter().map(|it| (it.header(), record.attribute(*it)));
    let room = OwnedHeaders::new_with_capacity(Attribute::ALL.len() + 2);
    let headers = attributes
        .fold(room, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
    let link = record.link().to_string();
    let headers = headers.insert(Header { key: CHAIN, value: Some(&link) });
    match record.traceparent() {
        Some(trace) => headers.insert(Header { key: TRACEPARENT, value: Some(trace) }),
        None => headers,
    }
}

/// When `record` was recorded, in milliseconds since 1970; now if it does not say.
pub(super) fn timestamp(record: &Record) -> Option<i64> {
    let time = DateTime::parse_from_rfc3339(record.attribute(Attribute::Time)).ok()?;
    Some(time.timestamp_millis())
}

/// The record in `message`, or what is wrong with it.
pub(super) fn record(message: &BorrowedMessage<'_>) -> Result<Record, String> {
    let headers = message.headers().ok_or("it has no headers")?;
    let mut attributes = [""; Attribute::ALL.len()];
    for (index, (text, attribute)) in attributes.iter_mut().zip(Attribute::ALL).enumerate() {
        let name = attribute.header();
        *text = find(headers, index, name)?.ok_or_else(|| format!("it has no header `{name}`"))?;
    }
    let link = find(headers, Attribute::ALL.len(), CHAIN)?.and_then(parse_link);
    let link = link.ok_or_else(|| format!("its header `{CHAIN}` is not 64 hex digits"))?;
    let traceparent = find(headers, Attribute::ALL.len() + 1, TRACEPARENT)?;
    let draft = Draft { attributes, value: message.payload().unwrap_or_default() };
    Record::rebuilt(&draft, link, traceparent).map_err(|it| it.to_string())
}

/// The header called `name`, which our own messages have at `index`.
fn find<'a>(
    headers: &'a BorrowedHeaders,
    index: usize,
    name: &str,
) -> Result<Option<&'a str>, String> {
    let found = headers.try_get(index).filter(|it| it.key == name);
    let found = found.or_else(|| headers.iter().find(|it| it.key == name));
    let value = found.and_then(|it| it.value);
    let text = value.map(std::str::from_utf8).transpose();
    text.map_err(|_| format!("its header `{name}` is not UTF-8"))
}

fn parse_link(text: &str) -> Option<Link> {
    let mut link = [0; 32];
    if text.len() != 2 * link.len() || !text.is_ascii() {
        return None;
    }
    for (index, byte) in link.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(Link(link))
}
