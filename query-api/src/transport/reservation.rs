//! The graphql-sse protocol, one connection for many operations.
//!
//! `PUT` reserves a stream and answers with a token; `GET` with the token opens it; `POST` with the
//! token executes an operation whose results go to the stream; `DELETE` stops one. Whoever reserved a
//! stream is the only one for whom it exists. Each reservation is a task ([`reserved::Reserved`])
//! that lives until its client leaves, or never comes.

mod reserved;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_graphql::Executor;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use self::reserved::{Command, Rejection, Reserved};
use super::caller::Caller;
use super::media::Media;
use super::operation::Operation;
use super::operations::NotStarted;
use super::parameters::{Malformed, Parameters};
use super::problem::Problem;
use super::{Door, event_stream, http};

/// The header that carries the token; the parameter `token` of the URL does too.
const TOKEN_HEADER: &str = "x-graphql-event-stream-token";

/// Commands on their way to a stream. More wait in their requests.
const COMMANDS_WAITING_MAX: usize = 16;

/// All streams that are reserved or open, by token.
#[derive(Clone, Default)]
pub(super) struct Reservations(Arc<Mutex<HashMap<String, Reservation>>>);

struct Reservation {
    caller: Arc<dyn Caller>,
    commands: mpsc::Sender<Command>,
    /// What the stream will carry; taken by who opens it.
    events: Option<mpsc::Receiver<Bytes>>,
}

impl Reservations {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Reservation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where to send commands for the stream under `token`, if it is this caller's.
    fn commands(&self, token: &str, caller: &dyn Caller) -> Result<mpsc::Sender<Command>, Problem> {
        match self.lock().get(token) {
            Some(it) if it.is_of(caller) => Ok(it.commands.clone()),
            _ => Err(unknown()),
        }
    }
}

impl Reservation {
    fn is_of(&self, caller: &dyn Caller) -> bool {
        self.caller.principal() == caller.principal()
    }
}

/// A stream that never was, has gone, or is somebody else's.
fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "STREAM_NOT_FOUND", "there is no such stream")
}

/// The token of a request, if it has one.
pub(super) fn token(head: &Parts) -> Option<String> {
    let header = head.headers.get(TOKEN_HEADER).and_then(|it| it.to_str().ok());
    header.map(str::to_owned).or_else(|| query_parameter(head, "token"))
}

fn query_parameter(head: &Parts, name: &str) -> Option<String> {
    let query = head.uri.query()?.as_bytes();
    form_urlencoded::parse(query).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// `PUT`: reserves a stream. The answer is its token, good for one connection.
///
/// # Errors
///
/// 429 if the caller has as many streams as it may.
pub(super) fn reserve<E>(
    door: &Door<E>,
    caller: Arc<dyn Caller>,
) -> Result<Response<Body>, Problem> {
    let permit = door.streams.open(caller.principal()).ok_or_else(Problem::too_many_streams)?;
    let settings = &door.settings.event_stream;
    let token = Uuid::new_v4().simple().to_string();
    let (commands, inbox) = mpsc::channel(COMMANDS_WAITING_MAX);
    let (outbox, events) = mpsc::channel(settings.results_waiting_max.max(1));
    let ended = event_stream::ended(door, &*caller);
    let reservation = Reservation { caller, commands, events: Some(events) };
    door.reservations.lock().insert(token.clone(), reservation);
    let reserved = Reserved::new(settings);
    let (reservations, mine) = (door.reservations.clone(), token.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = ended => {}
            () = reserved.run(inbox, outbox) => {}
        }
        reservations.lock().remove(&mine);
        drop(permit);
    });
    let mut response = Response::new(Body::from(token));
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `GET`: opens a reserved stream.
///
/// The token is enough, since a browser's `EventSource` can send nothing else; a credential that is
/// sent all the same must be of who reserved it.
///
/// # Errors
///
/// 404 if there is no such stream for this caller, 409 if it is open already.
pub(super) async fn connect<E>(
    door: &Door<E>,
    caller: Option<&dyn Caller>,
    token: &str,
) -> Result<Response<Body>, Problem> {
    let (owner, commands, events) = match door.reservations.lock().get_mut(token) {
        Some(it) if caller.is_none_or(|caller| it.is_of(caller)) => {
            (Arc::clone(&it.caller), it.commands.clone(), it.events.take())
        }
        _ => return Err(unknown()),
    };
    let Some(events) = events else {
        let message = "the stream is open already";
        return Err(Problem::new(StatusCode::CONFLICT, "STREAM_ALREADY_OPEN", message));
    };
    commands.send(Command::Connected).await.map_err(|_| unknown())?;
    // What still waits is not sent either once the credential has ended.
    let events = ReceiverStream::new(events).take_until(event_stream::ended(door, &*owner));
    Ok(event_stream::into_response(door, events))
}

/// `POST`: executes an operation; its results go to the stream.
///
/// Answers once the document is valid, or with what is wrong with it.
///
/// # Errors
///
/// 404 if there is no such stream, 409 if its id is in use there, 429 if too many run there.
pub(super) async fn execute<E: Executor>(
    door: &Door<E>,
    media: Media,
    caller: &dyn Caller,
    token: &str,
    parameters: Parameters,
) -> Result<Response<Body>, Problem> {
    let commands = door.reservations.commands(token, caller)?;
    let id = match parameters.extensions.get("operationId") {
        Some(Value::String(id)) if !id.is_empty() => id.clone(),
        _ => {
            let message = "`extensions.operationId` must be a string that is not empty".to_owned();
            return Ok(http::respond(door, media, &Malformed(message).into()));
        }
    };
    let operation = match Operation::prepare(parameters, caller, &door.documents) {
        Ok(operation) => operation,
        Err(answer) => return Ok(http::respond(door, media, &answer)),
    };
    let passed = operation.passed.clone();
    let results = operation.stream(&door.executor);
    let ended = event_stream::ended(door, caller).boxed();
    let (rejected, rejection) = oneshot::channel();
    let command = Command::Start { id: id.clone(), results, ended, rejected };
    commands.send(command).await.map_err(|_| unknown())?;
    tokio::select! {
        biased;
        rejection = rejection => match rejection {
            Ok(Rejection::Invalid(answer)) => Ok(http::respond(door, media, &answer)),
            Ok(Rejection::NotStarted(reason)) => Err(not_started(reason, &id)),
            Err(_ended) if passed.is_set() => Ok(empty(StatusCode::ACCEPTED)),
            Err(_ended) => Err(unknown()),
        },
        () = passed.wait() => Ok(empty(StatusCode::ACCEPTED)),
    }
}

fn not_started(reason: NotStarted, id: &str) -> Problem {
    match reason {
        NotStarted::IdInUse => {
            let message = format!("an operation `{id}` runs on this stream");
            Problem::new(StatusCode::CONFLICT, "OPERATION_ID_IN_USE", message)
        }
        NotStarted::TooMany => {
            let message = "this stream has too many operations, stop one first";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_OPERATIONS", message)
        }
    }
}

/// `DELETE`: stops an operation, if it still runs.
///
/// # Errors
///
/// 400 if a parameter is missing, 404 if there is no such stream.
pub(super) async fn stop<E>(
    door: &Door<E>,
    caller: &dyn Caller,
    head: &Parts,
) -> Result<Response<Body>, Problem> {
    let token = token(head).ok_or_else(|| Problem::bad_request("the stream token is missing"))?;
    let id = query_parameter(head, "operationId")
        .ok_or_else(|| Problem::bad_request("the parameter `operationId` is missing"))?;
    let commands = door.reservations.commands(&token, caller)?;
    commands.send(Command::Stop { id }).await.map_err(|_| unknown())?;
    Ok(empty(StatusCode::OK))
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
