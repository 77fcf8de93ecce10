//! The connections of one door: so many at a time, and none that is kept open for nothing.
//!
//! Anybody can connect, and before the head of a request is there nobody has shown a credential.
//! So each head has a time, and so has what is sent and not taken; whoever exceeds one makes room
//! for others. What goes on over a connection (a long answer, an event stream, a WebSocket) may
//! last: it is bounded where it begins.

mod seat;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::seat::Seat;

/// Connections of other processes that may be open at a time: 1,024, many times what the largest
/// installation has. Who is none of them has no certificate, and does not get so far.
const PEERS_MAX: usize = 1_024;

/// How long a connection of another process may be idle. In seconds: 90, longer than the other
/// one keeps it, so that it is never closed while something is sent over it.
const PEER_HEAD_TIME_MAX: Duration = Duration::from_secs(90);

/// How long somebody may take nothing of what is sent. In seconds: 60, four times as long as a
/// silent stream goes without a sign of life.
const SENT_TIME_MAX: Duration = Duration::from_secs(60);

/// The longest head of a request. In bytes: 64 KiB, four times as much as the longest address. What
/// is longer is answered with 431.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How many connections a door has, and how long each may keep it waiting.
#[derive(Clone, Copy, Debug)]
pub struct Connections {
    /// How many may be open at a time. Others wait until one of them is closed.
    most: usize,
    /// How long the head of a request may take, from when it is waited for.
    head_time_max: Duration,
    /// How long somebody may take nothing of what is sent.
    sent_time_max: Duration,
}

impl Connections {
    /// At most `most` at a time, each closed if the head of a request, the first or the next one,
    /// is not there after `head_time_max`.
    #[must_use]
    pub const fn new(most: usize, head_time_max: Duration) -> Self {
        Self { most, head_time_max, sent_time_max: SENT_TIME_MAX }
    }

    /// Those of other processes of the installation.
    #[must_use]
    pub const fn of_peers() -> Self {
        Self::new(PEERS_MAX, PEER_HEAD_TIME_MAX)
    }
}

/// Serves `router` on `listener` until `shutdown` is cancelled and open requests have ended.
pub(super) async fn serve<L>(
    mut listener: L,
    router: Router,
    connections: Connections,
    shutdown: CancellationToken,
) where
    L: Listener,
{
    let room = Arc::new(Semaphore::new(connections.most));
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(connections.head_time_max);
    protocol.max_header_size(HEAD_BYTES_MAX);
    let open = TaskTracker::new();
    loop {
        let seat = tokio::select! {
            () = shutdown.cancelled() => break,
            seat = next(&mut listener, &room, connections.sent_time_max) => seat,
        };
        let service = TowerToHyperService::new(router.clone());
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

/// The next connection, once there is room for it.
async fn next<L>(listener: &mut L, room: &Arc<Semaphore>, sent_time_max: Duration) -> Seat<L::Io>
where
    L: Listener,
{
    let permit = Arc::clone(room).acquire_owned().await.expect("the semaphore is never closed");
    let (io, _) = listener.accept().await;
    Seat::new(io, permit, sent_time_max)
}

#[cfg(test)]
mod tests;
