//! GraphQL over HTTP, and which of the protocols on our URL a request speaks.

use std::sync::Arc;

use async_graphql::Executor;
use async_graphql::parser::types::OperationType;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, Response, StatusCode, request::Parts};
use serde::Serialize;

use super::answer::Answer;
use super::caller::{Caller, Refusal};
use super::media::{self, Media};
use super::operation::Operation;
use super::parameters::{self, Malformed, Parameters};
use super::problem::{self, Problem};
use super::status::Outcome;
use super::{Door, body, event_stream, reservation, websocket};
use crate::limits::Refused;

/// The methods of our URL; RFC 9110 wants them in a 405.
const ALLOW: &str = "GET, HEAD, POST, PUT, DELETE";

/// Answers any request to the endpoint.
pub(super) async fn serve<E: Executor>(
    State(door): State<Arc<Door<E>>>,
    request: Request,
) -> Response<Body> {
    let edition = door.settings.edition;
    let media = match Media::negotiate(request.headers()) {
        Ok(media) => media,
        Err(problem) => return problem.into_response(edition, Media::GraphqlResponse),
    };
    dispatch(door, media, request)
        .await
        .unwrap_or_else(|problem| problem.into_response(edition, media))
}

async fn dispatch<E: Executor>(
    door: Arc<Door<E>>,
    media: Media,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let (head, body) = request.into_parts();
    let uri_bytes = head.uri.path_and_query().map_or(0, |it| it.as_str().len());
    if uri_bytes > door.settings.uri_bytes_max {
        let message = "the query of the URL is too long, use `POST`";
        return Err(Problem::new(StatusCode::URI_TOO_LONG, "URI_TOO_LONG", message));
    }
    match head.method {
        Method::GET | Method::HEAD if websocket::is_upgrade(&head) => {
            websocket::upgrade(door, head).await
        }
        Method::GET | Method::HEAD => get(&door, media, &head).await,
        Method::POST => post(&door, media, &head, body).await,
        Method::PUT => reservation::reserve(&door, authenticate(&door, &head).await?),
        Method::DELETE => {
            reservation::stop(&door, &*authenticate(&door, &head).await?, &head).await
        }
        _ => Err(Problem::method(ALLOW, "this method is not supported")),
    }
}

async fn authenticate<E>(door: &Door<E>, head: &Parts) -> Result<Arc<dyn Caller>, Problem> {
    let caller = door.authenticator.authenticate(head).await?;
    caller.ok_or_else(|| Refusal::unauthenticated().into())
}

async fn get<E: Executor>(
    door: &Door<E>,
    media: Media,
    head: &Parts,
) -> Result<Response<Body>, Problem> {
    if media == Media::EventStream
        && let Some(token) = reservation::token(head)
    {
        let caller = door.authenticator.authenticate(head).await?;
        return reservation::connect(door, caller.as_deref(), &token).await;
    }
    let caller = authenticate(door, head).await?;
    let parameters = match Parameters::from_query(head.uri.query().unwrap_or_default()) {
        Ok(parameters) => parameters,
        Err(malformed) => return Ok(respond(door, media, &malformed.into())),
    };
    let operation = Operation::prepare(parameters, &*caller, &door.documents);
    if let Ok(operation) = &operation
        && operation.kind == OperationType::Mutation
    {
        return Err(Problem::method("POST", "a mutation must be sent by `POST`"));
    }
    perform(door, media, &*caller, operation).await
}

async fn post<E: Executor>(
    door: &Door<E>,
    media: Media,
    head: &Parts,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let caller = authenticate(door, head).await?;
    media::require_json(&head.headers)?;
    let bytes = body::read(&head.headers, body, &door.settings).await?;
    let body = parameters::Body::from_json(&bytes)
        .map_err(|error| Problem::bad_request(format!("the body is not JSON: {error}")))?;
    let parameters = match body {
        parameters::Body::One(Ok(parameters)) => parameters,
        parameters::Body::One(Err(malformed)) => {
            return Ok(respond(door, media, &malformed.into()));
        }
        parameters::Body::Batch(batch) => {
            return Ok(perform_batch(door, media, &*caller, batch).await);
        }
    };
    if let Some(token) = reservation::token(head) {
        return reservation::execute(door, media, &*caller, &token, parameters).await;
    }
    let operation = Operation::prepare(parameters, &*caller, &door.documents);
    perform(door, media, &*caller, operation).await
}

/// Executes one operation and answers in the media type that was agreed on.
async fn perform<E: Executor>(
    door: &Door<E>,
    media: Media,
    caller: &dyn Caller,
    operation: Result<Operation, Answer>,
) -> Result<Response<Body>, Problem> {
    if media == Media::EventStream {
        return event_stream::respond(door, caller, operation);
    }
    let answer = match operation {
        Ok(operation) => operation.execute(&door.executor).await,
        Err(answer) => answer,
    };
    Ok(respond(door, media, &answer))
}

/// Executes a batch one by one, so that each sees what the mutations before it did.
async fn perform_batch<E: Executor>(
    door: &Door<E>,
    media: Media,
    caller: &dyn Caller,
    batch: Vec<Result<Parameters, Malformed>>,
) -> Response<Body> {
    let (value, maximum) = (batch.len(), door.settings.batch_max);
    if media == Media::EventStream {
        let answer = Answer::invalid("BATCH_NEEDS_JSON", "a batch cannot be an event stream");
        return respond(door, media, &answer);
    }
    if value == 0 {
        return respond(door, media, &Malformed("the batch is empty".to_owned()).into());
    }
    if value > maximum {
        return respond(door, media, &Refused::Exceeded { limit: "batch", value, maximum }.into());
    }
    let mut answers = Vec::with_capacity(value);
    for parameters in batch {
        let operation = parameters
            .map_err(Answer::from)
            .and_then(|it| Operation::prepare(it, caller, &door.documents));
        answers.push(match operation {
            Ok(operation) => operation.execute(&door.executor).await,
            Err(answer) => answer,
        });
    }
    encode(door, media, Outcome::Complete, &answers)
}

/// The answer to one request as an HTTP response.
pub(super) fn respond<E>(door: &Door<E>, media: Media, answer: &Answer) -> Response<Body> {
    let mut response = encode(door, media, answer.outcome, answer);
    response.headers_mut().extend(answer.headers().clone());
    response
}

fn encode<E>(
    door: &Door<E>,
    media: Media,
    outcome: Outcome,
    body: &impl Serialize,
) -> Response<Body> {
    let edition = door.settings.edition;
    let body = serde_json::to_vec(body).expect("a GraphQL result has only strings as keys");
    problem::json_response(edition, media, edition.status(outcome, media), body.into())
}
