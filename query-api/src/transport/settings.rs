//! What an operator may set about the GraphQL endpoint, with defaults for production.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Edition;
use super::body::WAIT_MAX;
use crate::limits::Limits;

/// The bounds and switches of the endpoint.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the endpoint is, beginning with a slash.
    pub path: String,
    /// Which edition of GraphQL over HTTP decides the status codes.
    pub edition: Edition,
    /// What a document may cost. The schema must be guarded by the same.
    pub limits: Limits,
    /// Size of the body of a request. In bytes; more is answered with 413.
    pub body_bytes_max: usize,
    /// How long a request's body may take to arrive; then 408.
    pub body_wait_max: Duration,
    /// Size of the path and query of a request. In bytes; more is answered with 414.
    pub uri_bytes_max: usize,
    /// Requests in one JSON array. 0 switches batches off.
    pub batch_max: usize,
    /// Event streams and WebSockets that one principal may hold open at a time.
    pub streams_per_principal_max: usize,
    /// The WebSocket protocol.
    pub websocket: WebSocketSettings,
    /// The two event stream protocols.
    pub event_stream: EventStreamSettings,
    /// Whether the GraphiQL page is served, at `/graphiql`. For development.
    pub graphiql: bool,
    /// When cancelled, streams and WebSockets end so that the server can stop.
    pub shutdown: CancellationToken,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: "/graphql".to_owned(),
            edition: Edition::default(),
            limits: Limits::default(),
            body_bytes_max: 4 * 1024 * 1024,
            body_wait_max: WAIT_MAX,
            uri_bytes_max: 16 * 1024,
            batch_max: 10,
            streams_per_principal_max: 50,
            websocket: WebSocketSettings::default(),
            event_stream: EventStreamSettings::default(),
            graphiql: false,
            shutdown: CancellationToken::new(),
        }
    }
}

/// The bounds of one WebSocket.
#[derive(Clone, Debug)]
pub struct WebSocketSettings {
    /// How long a client may take to send `connection_init`; then 4408.
    pub connection_init_wait_max: Duration,
    /// Size of one message from the client. In bytes; more closes with 1009.
    pub message_bytes_max: usize,
    /// Operations that may run at a time.
    pub operations_max: usize,
    /// How often a silent client is pinged. One that is silent for two periods is dropped.
    pub keep_alive: Duration,
    /// How long one message may take to leave. A client that reads slower is dropped, so nothing
    /// piles up behind it.
    pub send_wait_max: Duration,
}

impl Default for WebSocketSettings {
    fn default() -> Self {
        Self {
            connection_init_wait_max: Duration::from_secs(3),
            message_bytes_max: 256 * 1024,
            operations_max: 100,
            keep_alive: Duration::from_secs(12),
            send_wait_max: Duration::from_secs(5),
        }
    }
}

/// The bounds of an event stream.
#[derive(Clone, Debug)]
pub struct EventStreamSettings {
    /// How often a comment is sent on a silent stream, so that nobody in between closes it.
    pub heartbeat: Duration,
    /// How long a reserved stream waits for its client to connect.
    pub reservation_wait_max: Duration,
    /// Operations that may run at a time on a single connection.
    pub operations_max: usize,
    /// Results that may wait for the client of a single connection; then its operations wait.
    pub results_waiting_max: usize,
    /// How long they may, and with them what they hold. Then the stream ends.
    pub send_wait_max: Duration,
}

impl Default for EventStreamSettings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(12),
            reservation_wait_max: Duration::from_secs(30),
            operations_max: 100,
            results_waiting_max: 64,
            send_wait_max: Duration::from_secs(5),
        }
    }
}
