//! Who sends a request, by the address it comes from: that of the connection, or what a trusted proxy
//! says. What a proxy passes on counts here towards what its client may have at a time, since the
//! connections are the proxy's.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt as _;

use super::connections::{Addresses, Malformed, Place, Proxies};
use crate::doors::ClientAddress;
use crate::rest::Problem;

/// When a refused client may try again. In seconds: 1.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How a request has come here, as an extension of it.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    /// Who has connected.
    pub(super) peer: IpAddr,
    /// The proxies whose word counts.
    pub(super) proxies: Proxies,
    /// What each address has.
    pub(super) addresses: Addresses,
    /// The place of what goes on over the connection after the request, kept as long as that.
    pub(super) lasting: Arc<OnceLock<Place>>,
}

/// Says who sends a request, and refuses it if they have as many as they may.
pub(super) async fn tell(mut request: Request, next: Next) -> Response {
    let Some(arrival) = request.extensions_mut().remove::<Arrival>() else {
        return next.run(request).await;
    };
    let Ok(client) = client(&arrival, request.headers()) else {
        let detail = "expected `X-Forwarded-For` to be a list of addresses, and a short one";
        return Problem::bad_request(detail).into_response();
    };
    request.extensions_mut().insert(client);
    // A connection of its own was counted when it was made.
    if !arrival.proxies.contain(arrival.peer) {
        return next.run(request).await;
    }
    let Some(place) = arrival.addresses.enter(client) else {
        let detail = "too many requests of this address are being served; try again";
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", detail);
        return problem.retry_after(Some(RETRY_AFTER)).into_response();
    };
    let response = next.run(request).await;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Nothing else can be asked over it, so there is no other.
        arrival.lasting.get_or_init(|| place);
        return response;
    }
    response.map(|body| {
        Body::new(body.map_err(move |error| {
            let _until_it_is_sent = &place;
            error
        }))
    })
}

/// Who asks. Proxies that pass on nobody's requests, or do not say whose, tell nobody from another.
fn client(arrival: &Arrival, headers: &HeaderMap) -> Result<ClientAddress, Malformed> {
    let client = arrival.proxies.client(arrival.peer, headers)?;
    let is_known = !arrival.proxies.contain(client);
    Ok(if is_known { ClientAddress::of(client) } else { ClientAddress(None) })
}

#[cfg(test)]
mod tests;
