//! Media types: what a caller can read and what it sends.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::problem::Problem;

/// What an answer can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/json`, for clients from before the specification.
    Json,
    /// `application/graphql-response+json`.
    GraphqlResponse,
    /// `text/event-stream`.
    EventStream,
}

impl Media {
    /// In the order we prefer when the caller does not mind.
    const ALL: [Self; 3] = [Self::Json, Self::GraphqlResponse, Self::EventStream];

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Json => ("application", "json"),
            Self::GraphqlResponse => ("application", "graphql-response+json"),
            Self::EventStream => ("text", "event-stream"),
        }
    }

    /// The best media type for a request with these headers.
    ///
    /// Highest quality first, then the more specific range, then the one named first.
    ///
    /// # Errors
    ///
    /// 406 if there is an `Accept` header and nothing in it is ours.
    pub(super) fn negotiate(headers: &HeaderMap) -> Result<Self, Problem> {
        let values: Vec<&str> =
            headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok()).collect();
        let header = values.join(",");
        if header.trim().is_empty() {
            return Ok(Self::Json);
        }
        let ranges: Vec<Range<'_>> =
            header.split(',').enumerate().filter_map(|(at, it)| Range::parse(it, at)).collect();
        let mut best: Option<(Rank, Self)> = None;
        for media in Self::ALL {
            let Some(rank) = media.rank(&ranges) else { continue };
            if best.is_none_or(|(known, _)| rank > known) {
                best = Some((rank, media));
            }
        }
        best.map(|(_, media)| media).ok_or_else(|| {
            Problem::new(
                StatusCode::NOT_ACCEPTABLE,
                "NOT_ACCEPTABLE",
                "nothing in `Accept` can be served, expected `application/graphql-response+json`, \
                 `application/json` or `text/event-stream`",
            )
        })
    }

    /// How much the caller wants this; the most specific range speaks for it.
    fn rank(self, ranges: &[Range<'_>]) -> Option<Rank> {
        let range = ranges
            .iter()
            .filter(|range| range.covers(self))
            .max_by_key(|range| (range.precision(), std::cmp::Reverse(range.position)))?;
        (range.quality > 0).then_some((
            range.quality,
            range.precision(),
            std::cmp::Reverse(range.position),
        ))
    }
}

/// Quality, precision, position: the greater the better.
type Rank = (u16, u8, std::cmp::Reverse<usize>);

/// One element of an `Accept` header.
struct Range<'header> {
    kind: &'header str,
    subtype: &'header str,
    /// In thousandths.
    quality: u16,
    position: usize,
}

impl<'header> Range<'header> {
    /// What is not a media range, or is one for another charset than UTF-8, is not there.
    fn parse(text: &'header str, position: usize) -> Option<Self> {
        let mut parts = text.split(';');
        let (kind, subtype) = parts.next()?.trim().split_once('/')?;
        let mut quality = 1000;
        for parameter in parts {
            let Some((name, value)) = parameter.split_once('=') else { continue };
            let value = value.trim();
            if name.trim().eq_ignore_ascii_case("q") {
                quality = thousandths(value)?;
            } else if name.trim().eq_ignore_ascii_case("charset") && !is_utf8(value) {
                return None;
            }
        }
        Some(Self { kind, subtype, quality, position })
    }

    fn covers(&self, media: Media) -> bool {
        let (kind, subtype) = media.names();
        match self.precision() {
            0 => true,
            1 => self.kind.eq_ignore_ascii_case(kind),
            _ => self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype),
        }
    }

    fn precision(&self) -> u8 {
        match (self.kind, self.subtype) {
            ("*", _) => 0,
            (_, "*") => 1,
            _ => 2,
        }
    }
}

/// A quality of RFC 9110, section 12.4.2: `0`, `1`, or one of them with up to three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{decimals:0<3}").parse().ok()?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

fn is_utf8(charset: &str) -> bool {
    let charset = charset.trim_matches('"');
    charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
}

/// Makes sure that a body is JSON in UTF-8 and nothing has been done to it.
///
/// `application/json` is also what makes browsers ask before another site may send it.
///
/// # Errors
///
/// 415 with what would be accepted.
pub(super) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let unsupported = |message: &str| {
        let mut problem =
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message);
        problem.headers.push((header::ACCEPT, HeaderValue::from_static("application/json")));
        problem
    };
    let encoding = headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|it| !it.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(unsupported("a compressed body is not accepted"));
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Err(unsupported("`Content-Type` is missing, expected `application/json`"));
    };
    let range = value.to_str().ok().and_then(|text| Range::parse(text, 0));
    match range {
        Some(range) if range.precision() == 2 && range.covers(Media::Json) => Ok(()),
        _ => Err(unsupported("the body must be `application/json` in UTF-8")),
    }
}

#[cfg(test)]
mod tests;
