//! The event feed: pages that can be waited for, and the same live as server-sent events.
//!
//! Nothing is kept between the log and the reader but one small batch: a reader that is slow
//! slows its own stream and nobody else's. A stream that ends is taken up again after the last
//! sequence that was seen, without a gap.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::problem::cut;
use super::{Door, Problem};
use crate::auth::{self, Session};
use crate::error::ApiError;
use crate::streams::{StreamEvent, TenantStream, Types};
use crate::transport;

/// How many events a page has if nothing is said.
const LIMIT_DEFAULT: usize = 100;

/// The most events a page may have.
const LIMIT_MAX: usize = 1_000;

/// A page ends after the event with which it has this many bytes: 4 MiB.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The longest a caller may wait for the next event. In seconds: 30, less than proxies wait.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// How often a silent stream says that it lives. In seconds: 15.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What is asked for.
struct Asked {
    after: Option<u64>,
    limit: usize,
    types: Types,
    wait: Duration,
}

impl Asked {
    fn read(query: &str, headers: &HeaderMap) -> Result<Self, Problem> {
        let (types, wait) = (Types::default(), Duration::ZERO);
        let mut asked = Self { after: None, limit: LIMIT_DEFAULT, types, wait };
        let mut types = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let number = || whole_number(&name, &value);
            match &*name {
                "after" => asked.after = Some(number()?),
                "limit" => asked.limit = within(&name, number()?, 1..=LIMIT_MAX as u64)?,
                "wait" => {
                    let seconds = within(&name, number()?, 0..=WAIT_MAX.as_secs())?;
                    asked.wait = Duration::from_secs(seconds as u64);
                }
                "types" => {
                    let some = value.split(',').map(str::trim).filter(|it| !it.is_empty());
                    types.extend(some.map(str::to_owned));
                }
                _ => return Err(Problem::bad_field(&*name, "there is no such parameter")),
            }
        }
        asked.types = Types::new(&types).map_err(|it| Problem::bad_field("types", it))?;
        // Sent by a browser that takes up a stream again: it has seen more than the address says.
        if let Some(value) = headers.get("last-event-id") {
            let text = String::from_utf8_lossy(value.as_bytes());
            asked.after = Some(whole_number("Last-Event-ID", &text)?);
        }
        Ok(asked)
    }
}

pub(super) fn whole_number(name: &str, text: &str) -> Result<u64, Problem> {
    let wrong =
        || Problem::bad_field(name, format!("expected a whole number, got `{}`", cut(text)));
    text.parse().map_err(|_| wrong())
}

fn within(name: &str, number: u64, range: std::ops::RangeInclusive<u64>) -> Result<usize, Problem> {
    let (least, most) = (range.start(), range.end());
    let wrong = || {
        let message = format!("expected {least} to {most}, got {number}");
        Problem::bad_field(name, message)
    };
    usize::try_from(number).ok().filter(|_| range.contains(&number)).ok_or_else(wrong)
}

/// The events of the tenant after a sequence: a page, or a stream for who accepts that.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    security(("token" = []), ("session" = [])),
    params(
        ("after" = Option<u64>, Query, description = "After this sequence; a page begins with the \
            first event if none, a stream with the next one."),
        ("limit" = Option<u64>, Query, description = "The most events of a page, 1 to 1,000."),
        ("types" = Option<String>, Query, description = "Of these types or beginnings of types, \
            with commas between; at most 100."),
        ("wait" = Option<u64>, Query, description = "How long to wait if there is none. In \
            seconds, up to 30. Nobody waits, and no stream is opened, in a tenant that is suspended."),
        ("Last-Event-ID" = Option<u64>, Header, description = "Instead of `after`."),
    ),
    responses(
        (status = 200, content((EventPage = "application/json"), (String = "text/event-stream"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn feed(
    State(door): State<Door>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let session = door.session(&headers).await?;
    let asked = Asked::read(query.as_deref().unwrap_or_default(), &headers)?;
    let permit = door.streams.open(&session.name()).ok_or_else(too_many_streams)?;
    let request = door.request(&session, &headers);
    let ended = ended(&door, &session);
    if accepts_event_stream(&headers) {
        let stream = TenantStream::open(&request, asked.after).await?;
        request.check_active()?;
        let follower = Follower { stream, types: asked.types, waiting: VecDeque::new() };
        let events = follower.events().take_until(ended).map(move |event| {
            let _held = &permit;
            event
        });
        return Ok(transport::event_stream_response(HEARTBEAT, events));
    }
    let stream = TenantStream::open(&request, Some(asked.after.unwrap_or(0))).await?;
    if !asked.wait.is_zero() {
        request.check_active()?;
    }
    let mut page = Page::new(asked.limit, asked.types, asked.after.unwrap_or(0));
    page.fill(stream, asked.wait, ended).await?;
    Ok(page.into_response())
}

pub(super) fn too_many_streams() -> Problem {
    let detail = "this principal has too many streams open, close one first";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_STREAMS", detail)
}

fn accepts_event_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok());
    accepted.flat_map(|it| it.split(',')).any(|it| {
        let essence = it.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("text/event-stream")
    })
}

/// Completes when the session ends or the server stops.
pub(super) fn ended(
    door: &Door,
    session: &Session,
) -> impl Future<Output = ()> + Send + 'static + use<> {
    let session = auth::ended(session, door.context.commands());
    let shutdown = door.shutdown.clone().cancelled_owned();
    async move {
        tokio::select! {
            () = shutdown => {}
            () = session => {}
        }
    }
}

/// A page, as it is described.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is written by hand, event by event")]
struct EventPage {
    /// The events, in order.
    events: Vec<StreamEvent>,
    /// The next page begins after this sequence.
    next: u64,
}

/// A page in the making, as the JSON it will be.
struct Page {
    limit: usize,
    types: Types,
    count: usize,
    /// The last sequence that was looked at: the next page begins after it.
    next: u64,
    json: Vec<u8>,
}

impl Page {
    fn new(limit: usize, types: Types, next: u64) -> Self {
        Self { limit, types, count: 0, next, json: b"{\"events\":[".to_vec() }
    }

    /// Takes what is recorded and, if that is nothing, waits for the first event.
    async fn fill(
        &mut self,
        mut stream: TenantStream,
        wait: Duration,
        ended: impl Future<Output = ()>,
    ) -> Result<(), ApiError> {
        let end = stream.end().await?;
        while let Some(events) = stream.next_before(end).await? {
            if self.add(events) == Room::None {
                return Ok(());
            }
        }
        let deadline = Instant::now() + wait;
        tokio::pin!(ended);
        while self.count == 0 && !wait.is_zero() {
            let events = tokio::select! {
                () = tokio::time::sleep_until(deadline) => return Ok(()),
                () = &mut ended => return Ok(()),
                events = stream.next() => events?,
            };
            self.add(events);
        }
        Ok(())
    }

    fn add(&mut self, events: Vec<StreamEvent>) -> Room {
        for event in events {
            self.next = event.sequence;
            if !self.types.include(&event) {
                continue;
            }
            if self.count > 0 {
                self.json.push(b',');
            }
            serde_json::to_writer(&mut self.json, &event).expect("an event is plain data");
            self.count += 1;
            if self.count == self.limit || self.json.len() >= PAGE_BYTES_MAX {
                return Room::None;
            }
        }
        Room::Left
    }
}

/// Whether a page takes further events.
#[derive(PartialEq, Eq)]
enum Room {
    Left,
    None,
}

impl IntoResponse for Page {
    fn into_response(mut self) -> Response {
        self.json.extend_from_slice(format!("],\"next\":{}}}", self.next).as_bytes());
        let content_type = HeaderValue::from_static("application/json");
        let mut response = Response::new(Body::from(self.json));
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }
}

/// Somebody who follows the events live.
struct Follower {
    stream: TenantStream,
    types: Types,
    waiting: VecDeque<StreamEvent>,
}

impl Follower {
    /// The events as they go over the wire; the last one says so if something failed.
    fn events(self) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::unfold(Some(self), |follower| async {
            let mut follower = follower?;
            match follower.next().await {
                Ok(event) => Some((written(&event), Some(follower))),
                Err(error) => Some((failed(error), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<StreamEvent, ApiError> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(event);
            }
            let events = self.stream.next().await?.into_iter();
            self.waiting.extend(events.filter(|it| self.types.include(it)));
        }
    }
}

/// An event on the wire. JSON has no line breaks of its own.
fn written(event: &StreamEvent) -> Bytes {
    let data = serde_json::to_string(event).expect("an event is plain data");
    format!("id: {}\nevent: {}\ndata: {data}\n\n", event.sequence, event.name()).into()
}

fn failed(error: ApiError) -> Bytes {
    let problem = serde_json::to_string(&Problem::from(error)).expect("a problem is plain data");
    format!("event: error\ndata: {problem}\n\n").into()
}
