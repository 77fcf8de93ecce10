//! Which of the accepted forms a body has, and its entries.
//!
//! A good body is read in one pass. Only when that fails is it read again, to name the entry and
//! the field that are wrong.

use axum::http::{HeaderMap, StatusCode, header};
use domain::operation::UsageEntry;
use domain::quantity::Quantity;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::Problem;
use super::cloud_event::{self, CloudEvent};
use super::plain::Plain;

/// The forms that are accepted.
const FORMS: &str = "`application/json`, `application/cloudevents+json` or \
                     `application/cloudevents-batch+json`";

/// What is wrong with an entry: the field, and how.
pub(super) type Malformed = (&'static str, String);

/// An entry as it is written in one of the forms.
pub(super) trait Written<'a>: Deserialize<'a> {
    /// The entry, if every text in it can be read.
    fn read(self) -> Result<UsageEntry, Malformed>;
}

/// The entries of a request.
///
/// # Errors
///
/// 415 for another media type; 400 naming the entry and the field that cannot be read.
pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Vec<UsageEntry>, Problem> {
    match media_type(headers)?.as_str() {
        "application/cloudevents+json" => Ok(vec![one::<CloudEvent<'_>>(body)?]),
        "application/cloudevents-batch+json" => many::<CloudEvent<'_>>(body),
        "application/json" if cloud_event::is_binary(headers) => {
            Ok(vec![cloud_event::from_headers(headers, body)?])
        }
        "application/json" if is_array(body) => many::<Plain<'_>>(body),
        "application/json" => Ok(vec![one::<Plain<'_>>(body)?]),
        other => Err(unsupported(&format!("expected {FORMS}, got `{other}`"))),
    }
}

fn is_array(body: &[u8]) -> bool {
    body.iter().find(|it| !it.is_ascii_whitespace()) == Some(&b'[')
}

/// The media type without its parameters, of which only a charset that is UTF-8 is known.
fn media_type(headers: &HeaderMap) -> Result<String, Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let value = value.ok_or_else(|| unsupported(&format!("expected a `Content-Type`: {FORMS}")))?;
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    for parameter in parts {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        let utf8 = value.trim_matches('"').eq_ignore_ascii_case("utf-8");
        if name.eq_ignore_ascii_case("charset") && !utf8 {
            return Err(unsupported(&format!("expected the charset `utf-8`, got `{value}`")));
        }
    }
    Ok(essence)
}

fn unsupported(detail: &str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", detail)
}

/// The entries of an array.
fn many<'a, T: Written<'a>>(body: &'a [u8]) -> Result<Vec<UsageEntry>, Problem> {
    let written: Vec<T> = parse(body)?;
    let mut entries = Vec::with_capacity(written.len());
    for (index, entry) in written.into_iter().enumerate() {
        entries.push(entry.read().map_err(|it| malformed(&format!("[{index}]"), &it))?);
    }
    Ok(entries)
}

/// The entry of an object.
fn one<'a, T: Written<'a>>(body: &'a [u8]) -> Result<UsageEntry, Problem> {
    parse::<T>(body)?.read().map_err(|it| malformed("", &it))
}

/// What the body says. Where it cannot be read it is read once more, watching the path.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let mut again = serde_json::Deserializer::from_slice(body);
        match serde_path_to_error::deserialize::<_, T>(&mut again) {
            Err(error) => unreadable(&error.path().to_string(), error.inner()),
            // Whatever is wrong comes after the value.
            Ok(_) => unreadable(".", &error),
        }
    })
}

/// What the parser says, at the place it speaks of. What is missing it only names in its text.
fn unreadable(path: &str, error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let missing = text.strip_prefix("missing field `").and_then(|it| it.split('`').next());
    match (path, missing) {
        (".", None) => Problem::bad_request(format!("the body cannot be read: {text}")),
        (".", Some(field)) => Problem::bad_field(field, &text),
        (path, None) => Problem::bad_field(path, &text),
        (path, Some(field)) => Problem::bad_field(format!("{path}.{field}"), &text),
    }
}

pub(super) fn malformed(place: &str, (field, detail): &Malformed) -> Problem {
    let dot = if place.is_empty() { "" } else { "." };
    Problem::bad_field(format!("{place}{dot}{field}"), detail)
}

/// A quantity from the very text of a JSON string or number; it never is a binary float.
pub(super) fn quantity(raw: &RawValue) -> Result<Quantity, String> {
    let text = raw.get();
    if !text.starts_with('"') {
        return text.parse().map_err(|it: domain::quantity::AmountError| it.to_string());
    }
    serde_json::from_str(text).map_err(|it| it.to_string())
}
