//! The `graphql-transport-ws` protocol.
//!
//! One task per connection does everything in turn: it reads a message, or sends the next result of
//! one of its operations. While a result is being sent nothing else is produced, so nothing piles up
//! behind a client that reads slowly; one that does not read at all is dropped.

mod close;
mod message;

use std::sync::Arc;

use async_graphql::Executor;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{Response, header};
use futures::FutureExt;
use futures::future::{self, BoxFuture};
use serde_json::{Map, Value};
use tokio::time::{Instant, interval_at, sleep, timeout};

use self::close::End;
use self::message::{Incoming, Outgoing};
use super::Door;
use super::answer::Answer;
use super::caller::Caller;
use super::operation::Operation;
use super::operations::{NotStarted, Operations, Step};
use super::parameters::Parameters;
use super::problem::Problem;
use super::streams::Permit;

/// The subprotocol, as registered with IANA.
const PROTOCOL: &str = "graphql-transport-ws";

/// Whether a request asks for a WebSocket.
pub(super) fn is_upgrade(head: &Parts) -> bool {
    let upgrade = head.headers.get(header::UPGRADE);
    upgrade.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Answers the handshake and serves the connection.
///
/// A credential is not needed yet, but one that is there must be good.
///
/// # Errors
///
/// What is wrong with the handshake or the credential.
pub(super) async fn upgrade<E: Executor>(
    door: Arc<Door<E>>,
    mut head: Parts,
) -> Result<Response<Body>, Problem> {
    let present = door.authenticator.authenticate(&head).await?;
    let handshake = WebSocketUpgrade::from_request_parts(&mut head, &())
        .await
        .map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let bytes_max = door.settings.websocket.message_bytes_max;
    let handshake =
        handshake.protocols([PROTOCOL]).max_message_size(bytes_max).max_frame_size(bytes_max);
    let agreed = handshake.selected_protocol().is_some();
    Ok(handshake.on_upgrade(move |socket| async move {
        let mut connection = Connection::new(door, head, present, socket);
        let end = if agreed { connection.serve().await } else { Err(End::subprotocol()) };
        connection.finish(end).await;
    }))
}

struct Connection<E> {
    door: Arc<Door<E>>,
    head: Parts,
    /// Who the handshake was from.
    present: Option<Arc<dyn Caller>>,
    socket: WebSocket,
    /// Who speaks, once `connection_init` is acknowledged.
    caller: Option<Speaker>,
    /// Completes when what `caller` proved is no longer so.
    ended: BoxFuture<'static, ()>,
    operations: Operations,
    /// Whether the client has been silent since the last ping.
    silent: bool,
}

/// An acknowledged caller, and its place among its streams.
struct Speaker {
    caller: Arc<dyn Caller>,
    _permit: Permit,
}

/// What a connection waits for.
enum Event {
    Ended,
    Shutdown,
    InitTimeout,
    KeepAlive,
    Message(Option<Result<Message, axum::Error>>),
    Step(String, Step),
}

impl<E: Executor> Connection<E> {
    fn new(
        door: Arc<Door<E>>,
        head: Parts,
        present: Option<Arc<dyn Caller>>,
        socket: WebSocket,
    ) -> Self {
        let operations = Operations::new(door.settings.websocket.operations_max);
        let ended = future::pending().boxed();
        Self { door, head, present, socket, caller: None, ended, operations, silent: false }
    }

    /// Serves until there is a reason to end.
    async fn serve(&mut self) -> Result<(), End> {
        let shutdown = self.door.settings.shutdown.clone().cancelled_owned();
        let init_timeout = sleep(self.door.settings.websocket.connection_init_wait_max);
        let period = self.door.settings.websocket.keep_alive;
        let mut keep_alive = interval_at(Instant::now() + period, period);
        tokio::pin!(shutdown, init_timeout);
        loop {
            // In this order: after the end of a credential not one more result is sent.
            let event = tokio::select! {
                biased;
                () = &mut self.ended => Event::Ended,
                () = &mut shutdown => Event::Shutdown,
                () = &mut init_timeout, if self.caller.is_none() => Event::InitTimeout,
                _ = keep_alive.tick() => Event::KeepAlive,
                message = self.socket.recv() => Event::Message(message),
                (id, step) = self.operations.next() => Event::Step(id, step),
            };
            self.handle(event).await?;
        }
    }

    async fn handle(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Ended => Err(End::forbidden()),
            Event::Shutdown => Err(End::going_away()),
            Event::InitTimeout => Err(End::init_timeout()),
            Event::KeepAlive if self.silent => Err(End::Gone),
            Event::KeepAlive => {
                self.silent = true;
                self.send_message(Message::Ping(bytes::Bytes::new())).await
            }
            Event::Message(message) => {
                self.silent = false;
                match message {
                    None | Some(Ok(Message::Close(_))) => Err(End::Gone),
                    Some(Err(error)) => Err(End::unreadable(&error)),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
                    Some(Ok(Message::Binary(_))) => Err(End::bad_request("expected text")),
                    Some(Ok(Message::Text(text))) => self.receive(&text).await,
                }
            }
            Event::Step(id, Step::Next(answer)) => {
                self.send(&Outgoing::Next { id: &id, payload: &answer }).await
            }
            Event::Step(id, Step::Refused(answer)) => self.refuse(&id, &answer).await,
            Event::Step(_, Step::Cut) => Err(End::forbidden()),
            Event::Step(id, Step::Complete) => self.send(&Outgoing::Complete { id: &id }).await,
        }
    }

    async fn receive(&mut self, text: &str) -> Result<(), End> {
        let incoming: Incoming = serde_json::from_str(text)
            .map_err(|error| End::bad_request(&format!("invalid message: {error}")))?;
        match incoming {
            Incoming::ConnectionInit { payload } => self.initialise(payload.as_ref()).await,
            Incoming::Ping { payload } => self.send(&Outgoing::Pong { payload }).await,
            Incoming::Pong { .. } => Ok(()),
            Incoming::Subscribe { id, payload } => self.subscribe(id, payload).await,
            Incoming::Complete { id } => {
                self.operations.stop(&id);
                Ok(())
            }
        }
    }

    async fn initialise(&mut self, payload: Option<&Map<String, Value>>) -> Result<(), End> {
        if self.caller.is_some() {
            return Err(End::too_many_initialisations());
        }
        let door = Arc::clone(&self.door);
        let caller = door
            .authenticator
            .connection_init(&self.head, self.present.clone(), payload)
            .await
            .map_err(|_refusal| End::forbidden())?;
        let permit = door.streams.open(caller.principal()).ok_or_else(End::too_many_streams)?;
        self.ended = caller.ended();
        self.caller = Some(Speaker { caller, _permit: permit });
        self.send(&Outgoing::ConnectionAck).await
    }

    async fn subscribe(&mut self, id: String, payload: Value) -> Result<(), End> {
        let Some(speaker) = &self.caller else { return Err(End::unauthorized()) };
        if id.is_empty() {
            return Err(End::bad_request("the id must not be empty"));
        }
        let parameters = Parameters::from_json(payload)
            .map_err(|malformed| End::bad_request(&malformed.to_string()))?;
        let caller = speaker.caller.renewed().unwrap_or_else(|| speaker.caller.clone());
        let operation = match self.operations.admit(&id) {
            Err(NotStarted::IdInUse) => return Err(End::subscriber_exists(&id)),
            Err(NotStarted::TooMany) => Err(Answer::invalid(
                "TOO_MANY_OPERATIONS",
                "too many operations run, stop one first",
            )),
            Ok(()) => Operation::prepare(parameters, &*caller, &self.door.documents),
        };
        match operation {
            Ok(operation) => {
                let ended = caller.ended();
                self.operations.start(id, operation.stream(&self.door.executor), ended);
                Ok(())
            }
            Err(answer) => self.refuse(&id, &answer).await,
        }
    }

    async fn refuse(&mut self, id: &str, answer: &Answer) -> Result<(), End> {
        self.send(&Outgoing::Error { id, payload: answer.errors() }).await
    }

    async fn send(&mut self, message: &Outgoing<'_>) -> Result<(), End> {
        let text =
            serde_json::to_string(message).expect("a GraphQL result has only strings as keys");
        self.send_message(Message::Text(text.into())).await
    }

    /// Sends one message; a client that does not take it in time is gone.
    async fn send_message(&mut self, message: Message) -> Result<(), End> {
        let wait_max = self.door.settings.websocket.send_wait_max;
        match timeout(wait_max, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    /// Says why, and waits for the client to hang up: closing first might discard what we said.
    async fn finish(mut self, end: Result<(), End>) {
        let Err(End::Close { code, reason }) = end else { return };
        self.operations = Operations::new(0);
        if self.send_message(close::frame(code, &reason)).await.is_err() {
            return;
        }
        let wait_max = self.door.settings.websocket.send_wait_max;
        let hang_up = async { while let Some(Ok(_)) = self.socket.recv().await {} };
        // Whether it hung up or not, we do now.
        let _outcome = timeout(wait_max, hang_up).await;
    }
}
