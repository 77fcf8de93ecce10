//! The connections of one door: so many at a time, and none that is kept open for nothing.
//!
//! Anybody can connect, and before the head of a request is there nobody has shown a credential.
//! So each head has a time, a longer one passes between requests, and what is sent and not taken has
//! one too; whoever exceeds one makes room for others. No address has all the places, but a proxy that
//! is trusted to say who asks: then its clients are counted (`clients`). What goes on
//! over a connection (a long answer, an event stream, a WebSocket) may last: it is bounded where it
//! begins.

mod addresses;
mod patience;
mod proxies;
mod seat;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::addresses::ClientAddress;
pub(super) use self::addresses::{Addresses, Place};
use self::patience::Patience;
pub(super) use self::proxies::Malformed;
pub use self::proxies::{NoProxies, Proxies};
use self::seat::Seat;
use super::clients::Arrival;

/// Connections of other processes that may be open at a time: 1,024, many times what the largest
/// installation has. Who is none of them has no certificate, and does not get so far.
const PEERS_MAX: usize = 1_024;

/// How long the head of another process's request may take. In seconds: 10; it is sent in one piece.
const PEER_HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a connection of another process may be idle. In seconds: 90, longer than the other
/// one keeps it, so that it is never closed while something is sent over it.
const PEER_IDLE_TIME_MAX: Duration = Duration::from_secs(90);

/// The longest head of a request. In bytes: 64 KiB, four times as much as the longest address. What
/// is longer is answered with 431.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How many connections a door has, and how long each may keep it waiting.
#[derive(Clone, Debug)]
pub struct Connections {
    /// How many may be open at a time. Others wait until one of them is closed.
    pub most: usize,
    /// How many of them one address may have. Those beyond are closed at once. As many requests may a
    /// client have that come through proxies.
    pub most_per_address: usize,
    /// The proxies that are trusted to say who asks.
    pub proxies: Proxies,
    /// How long the head of a request may take: the first from when somebody has connected, each
    /// other from its first byte.
    pub head_time_max: Duration,
    /// How long nothing may be asked between two requests.
    pub idle_time_max: Duration,
    /// How long somebody may take nothing of what is sent.
    pub sent_time_max: Duration,
}

impl Connections {
    /// How long somebody may take nothing of what is sent, unless it is said otherwise. In seconds:
    /// 60, four times as long as a silent stream goes without a sign of life.
    pub const SENT_TIME_MAX: Duration = Duration::from_secs(60);

    /// Those of other processes of the installation.
    #[must_use]
    pub fn of_peers() -> Self {
        Self {
            most: PEERS_MAX,
            // Who has a certificate is trusted not to take them all.
            most_per_address: PEERS_MAX,
            proxies: Proxies::default(),
            head_time_max: PEER_HEAD_TIME_MAX,
            idle_time_max: PEER_IDLE_TIME_MAX,
            sent_time_max: Self::SENT_TIME_MAX,
        }
    }
}

/// Serves `router` on `listener` until `shutdown` is cancelled and open requests have ended.
pub(super) async fn serve<L>(
    mut listener: L,
    router: Router,
    connections: Connections,
    shutdown: CancellationToken,
) where
    L: Listener<Addr = SocketAddr>,
{
    let room = Arc::new(Semaphore::new(connections.most));
    let addresses = Addresses::new(connections.most_per_address);
    let open = TaskTracker::new();
    loop {
        let (seat, arrival) = tokio::select! {
            () = shutdown.cancelled() => break,
            next = next(&mut listener, &room, &addresses, &connections) => next,
        };
        let router = TowerToHyperService::new(router.clone());
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(arrival.clone());
            router.call(request)
        });
        let protocol = protocol(&connections, &seat);
        let connection = protocol.serve_connection(TokioIo::new(seat), service).with_upgrades();
        let shutdown = shutdown.clone();
        open.spawn(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                let cause = &error as &dyn std::error::Error;
                tracing::trace!(error = cause, "a connection ended early");
            }
        });
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// The next connection, once there is room for it, and where it comes from.
async fn next<L>(
    listener: &mut L,
    room: &Arc<Semaphore>,
    addresses: &Addresses,
    connections: &Connections,
) -> (Seat<L::Io>, Arrival)
where
    L: Listener<Addr = SocketAddr>,
{
    let permit = Arc::clone(room).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        let (io, from) = listener.accept().await;
        let (peer, proxies) = (from.ip(), connections.proxies.clone());
        let lasting = Arc::new(OnceLock::new());
        // A proxy brings many; each of them is counted when it asks.
        if !proxies.contain(peer) {
            let Some(place) = addresses.enter(ClientAddress::of(peer)) else { continue };
            lasting.get_or_init(|| place);
        }
        let seat = Seat::new(io, (permit, lasting.clone()), connections.sent_time_max);
        return (seat, Arrival { peer, proxies, addresses: addresses.clone(), lasting });
    }
}

/// How requests are read from `seat`.
fn protocol<I>(connections: &Connections, seat: &Seat<I>) -> http1::Builder {
    let Connections { head_time_max, idle_time_max, .. } = *connections;
    let mut protocol = http1::Builder::new();
    protocol.timer(Patience { heard: seat.heard(), head_time_max });
    protocol.header_read_timeout(idle_time_max).max_header_size(HEAD_BYTES_MAX);
    protocol
}

#[cfg(test)]
mod tests;
