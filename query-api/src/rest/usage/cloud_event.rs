//! An entry as a CloudEvent 1.0: the type is the meter's key, the subject the customer, the time
//! when it was used, the data `{"value": …, "dimensions": {…}}`.

use std::borrow::Cow;

use axum::http::HeaderMap;
use domain::operation::UsageEntry;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::super::Problem;
use super::body::{Malformed, Written, malformed, parse, quantity};
use super::plain::{Decimal, Dimensions, dimensions};

/// The version of the specification that is spoken.
const VERSION: &str = "1.0";

/// A CloudEvent in JSON. Extension attributes are read over.
#[derive(Deserialize, ToSchema)]
pub(super) struct CloudEvent<'a> {
    /// `1.0`.
    #[serde(borrow)]
    #[schema(value_type = String)]
    specversion: Cow<'a, str>,
    /// The system that observed it.
    source: String,
    /// Names it within the source, for ever.
    id: String,
    /// What was used: a meter's key.
    r#type: String,
    /// Who used it, `cus_…`; the tenant itself if none.
    #[serde(default)]
    subject: Option<String>,
    /// When it was used; when it was received if none.
    #[serde(default)]
    time: Option<String>,
    /// `application/json`.
    #[serde(default)]
    datacontenttype: Option<String>,
    /// How much.
    #[serde(borrow)]
    data: Data<'a>,
}

/// What it is about.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Data<'a> {
    /// A decimal number as a text, or a JSON number of which every digit counts.
    #[serde(borrow)]
    #[schema(value_type = Decimal)]
    value: &'a RawValue,
    /// What it can be grouped by.
    #[serde(default, deserialize_with = "dimensions")]
    #[schema(value_type = BTreeMap<String, String>)]
    dimensions: Dimensions,
}

impl<'a> Written<'a> for CloudEvent<'a> {
    fn read(self) -> Result<UsageEntry, Malformed> {
        if self.specversion != VERSION {
            let message = format!("expected `{VERSION}`, got `{}`", self.specversion);
            return Err(("specversion", message));
        }
        if let Some(content_type) = &self.datacontenttype
            && !is_json(content_type)
        {
            let message = format!("expected `application/json`, got `{content_type}`");
            return Err(("datacontenttype", message));
        }
        let attributes = Attributes {
            source: self.source,
            id: self.id,
            r#type: &self.r#type,
            subject: self.subject.as_deref(),
            time: self.time.as_deref(),
        };
        attributes.entry(self.data, "data.value")
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// The attributes, wherever they were.
struct Attributes<'t> {
    source: String,
    id: String,
    r#type: &'t str,
    subject: Option<&'t str>,
    time: Option<&'t str>,
}

impl Attributes<'_> {
    fn entry(self, data: Data<'_>, value_field: &'static str) -> Result<UsageEntry, Malformed> {
        let customer = self.subject.map(str::parse).transpose();
        let at = self.time.map(super::report::instant).transpose();
        Ok(UsageEntry {
            meter: self.r#type.parse().map_err(|it| ("type", text(it)))?,
            customer: customer.map_err(|it: domain::id::IdError| ("subject", text(it)))?,
            at: at.map_err(|it| ("time", it))?,
            value: quantity(data.value).map_err(|it| (value_field, it))?,
            source: self.source,
            id: self.id,
            dimensions: data.dimensions,
        })
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Whether the attributes are in the headers (binary mode).
pub(super) fn is_binary(headers: &HeaderMap) -> bool {
    headers.contains_key("ce-specversion") || headers.contains_key("ce-id")
}

/// The entry of a request in binary mode.
///
/// # Errors
///
/// 400 naming the header or the field of the body.
pub(super) fn from_headers(headers: &HeaderMap, body: &[u8]) -> Result<UsageEntry, Problem> {
    let attribute = |name: &'static str| match headers.get(name) {
        None => Ok(None),
        Some(value) => decode(value.as_bytes())
            .map(Some)
            .ok_or_else(|| Problem::bad_field(name, "expected percent-encoded UTF-8")),
    };
    let required = |name: &'static str| {
        attribute(name)?.ok_or_else(|| Problem::bad_field(name, "the header is missing"))
    };
    let version = required("ce-specversion")?;
    if version != VERSION {
        let message = format!("expected `{VERSION}`, got `{version}`");
        return Err(Problem::bad_field("ce-specversion", message));
    }
    let data: Data<'_> = parse(body)?;
    let (r#type, subject, time) =
        (required("ce-type")?, attribute("ce-subject")?, attribute("ce-time")?);
    let attributes = Attributes {
        source: required("ce-source")?,
        id: required("ce-id")?,
        r#type: &r#type,
        subject: subject.as_deref(),
        time: time.as_deref(),
    };
    attributes.entry(data, "value").map_err(|wrong| match wrong.0 {
        "value" => malformed("", &wrong),
        field => Problem::bad_field(format!("ce-{field}"), wrong.1),
    })
}

/// The value of a header in binary mode: perhaps quoted, percent-encoded where it is not visible
/// ASCII (CloudEvents HTTP binding, 3.1.3.2).
fn decode(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let text = text.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(text);
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}
