//! The cookie that holds a session, and what else a request with it must show.
//!
//! A browser adds a cookie to whatever any site makes it ask, so a cookie proves nothing alone: the
//! request must say that it comes from a page of the same host, and carry a header that no page of
//! another site can add. Forwarded headers do not count: a page is served over `https`, or over `http`
//! from loopback, where browsers keep such a cookie too.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use domain::member::Lifetime;

use super::host;
use super::refusal::{bad_request, refusal};
use crate::transport::Refusal;

/// What the cookie is called. Its prefix makes browsers bind it to one host, and to `https`.
pub(crate) const NAME: &str = "__Host-callboard";

/// The header that requests with the cookie carry, whatever it says.
pub const REQUEST_HEADER: &str = "callboard-request";

/// The text in the cookie, if there is one.
///
/// # Errors
///
/// [`Refusal`] if there is more than one.
pub(super) fn of(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let sent = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
    let pairs = sent.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
    let mut ours = pairs.filter(|(name, _)| *name == NAME).map(|(_, text)| text);
    let found = ours.next();
    match ours.next() {
        Some(_) => Err(bad_request(&format!("expected one cookie `{NAME}`, got two"))),
        None => Ok(found),
    }
}

/// Fails unless a request that carries the cookie was made by a page of the host it is for.
///
/// # Errors
///
/// [`Refusal`] with 403.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Refusal> {
    check_origin(headers)?;
    // No page can add a header to the handshake of a WebSocket.
    if is_handshake(headers) || headers.contains_key(REQUEST_HEADER) {
        return Ok(());
    }
    let message = format!("a request with a cookie needs the header `{REQUEST_HEADER}`");
    Err(refusal(StatusCode::FORBIDDEN, "CROSS_ORIGIN", &message))
}

/// Fails unless a request says that it was made by a page of the host it is for: by `Origin` or, since
/// browsers leave that out where they get something from the same origin, by `Sec-Fetch-Site`, which
/// no page can set. For doors that set the cookie, too.
///
/// # Errors
///
/// [`Refusal`] with 403.
pub fn check_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let is_same = match (origins.next(), origins.next()) {
        (Some(origin), None) => is_own(origin, headers)?,
        (None, _) => {
            let site = headers.get("sec-fetch-site");
            !is_handshake(headers) && site.is_some_and(|it| it == "same-origin")
        }
        (Some(_), Some(_)) => false,
    };
    if is_same {
        return Ok(());
    }
    let message = "expected `Origin` to be the host that is asked";
    Err(refusal(StatusCode::FORBIDDEN, "CROSS_ORIGIN", message))
}

fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> Result<bool, Refusal> {
    let own = own_origin(headers)?;
    Ok(own.is_some_and(|own| origin.as_bytes().eq_ignore_ascii_case(own.as_bytes())))
}

/// What pages of the host that is asked come from, if it is named.
///
/// # Errors
///
/// [`Refusal`] if there is more than one host.
pub(crate) fn own_origin(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(authority) = host::authority(headers)? else { return Ok(None) };
    let scheme = if is_loopback(host::name(authority)) { "http" } else { "https" };
    Ok(Some(format!("{scheme}://{authority}")))
}

/// Whether a host leads from a machine to itself.
fn is_loopback(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_name = name == "localhost" || name.ends_with(".localhost");
    is_name || name.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
}

fn is_handshake(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE);
    upgrade.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// What sets the cookie.
pub(super) fn set(text: &str, lifetime: Lifetime) -> HeaderValue {
    written(text, lifetime)
}

/// What makes a browser forget the cookie.
pub(crate) fn clear() -> HeaderValue {
    written("", Lifetime::seconds(0))
}

fn written(text: &str, lifetime: Lifetime) -> HeaderValue {
    let seconds = lifetime.as_seconds();
    let cookie =
        format!("{NAME}={text}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    let mut value = HeaderValue::try_from(cookie).expect("the text of a session is ASCII");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests;
