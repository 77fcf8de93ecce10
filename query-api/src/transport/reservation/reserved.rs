//! One reserved stream: runs its operations and passes their results on, in order.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::super::answer::Answer;
use super::super::event_stream;
use super::super::operations::{NotStarted, Operations, Step};
use super::super::settings::EventStreamSettings;

/// What a request wants of a stream.
pub(super) enum Command {
    /// Its client is here; it no longer expires.
    Connected,
    Start {
        id: String,
        results: BoxStream<'static, Answer>,
        /// Completes when the credential ends that asked for it.
        ended: BoxFuture<'static, ()>,
        /// Told why not. Dropped in silence once the operation has ended.
        rejected: oneshot::Sender<Rejection>,
    },
    Stop {
        id: String,
    },
}

/// Why an operation has no results on the stream.
pub(super) enum Rejection {
    NotStarted(NotStarted),
    Invalid(Answer),
}

pub(super) struct Reserved {
    operations: Operations,
    /// Requests that may still learn that their operation is invalid.
    unsure: HashMap<String, oneshot::Sender<Rejection>>,
    wait_max: Duration,
    send_wait_max: Duration,
}

impl Reserved {
    pub(super) fn new(settings: &EventStreamSettings) -> Self {
        Self {
            operations: Operations::new(settings.operations_max),
            unsure: HashMap::new(),
            wait_max: settings.reservation_wait_max,
            send_wait_max: settings.send_wait_max,
        }
    }

    /// Runs until the client has left, did not come in time, or does not take a result in time.
    ///
    /// While a result waits for room in `events` the operations stand still, with all that they hold.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Bytes>,
    ) {
        let expiry = tokio::time::sleep(self.wait_max);
        tokio::pin!(expiry);
        let mut connected = false;
        let mut waiting: Option<Bytes> = None;
        let mut moved = Instant::now();
        loop {
            let late = tokio::time::sleep_until(moved + self.send_wait_max);
            tokio::select! {
                () = events.closed() => return,
                () = &mut expiry, if !connected => return,
                () = late, if connected && waiting.is_some() => return,
                command = commands.recv() => match command {
                    None => return,
                    Some(Command::Connected) => (connected, moved) = (true, Instant::now()),
                    Some(Command::Start { id, results, ended, rejected }) => {
                        match self.operations.admit(&id) {
                            Ok(()) => {
                                self.unsure.insert(id.clone(), rejected);
                                self.operations.start(id, results, ended);
                            }
                            Err(reason) => {
                                // Who asked may have left meanwhile.
                                let _unheard = rejected.send(Rejection::NotStarted(reason));
                            }
                        }
                    }
                    Some(Command::Stop { id }) => self.stop(&id),
                },
                room = events.reserve(), if waiting.is_some() => {
                    if let (Ok(room), Some(event)) = (room, waiting.take()) {
                        room.send(event);
                    }
                }
                (id, step) = self.operations.next(), if waiting.is_none() => {
                    moved = Instant::now();
                    match step {
                        Step::Next(answer) => {
                            self.unsure.remove(&id);
                            let next = json!({ "id": id, "payload": answer });
                            waiting = Some(event_stream::next(&next));
                        }
                        Step::Refused(answer) => waiting = self.refuse(&id, answer),
                        Step::Complete => {
                            self.unsure.remove(&id);
                            waiting = Some(event_stream::complete(&json!({ "id": id })));
                        }
                        Step::Cut => return,
                    }
                }
            }
        }
    }

    /// Tells whoever asked, or if that has been answered already, the stream.
    fn refuse(&mut self, id: &str, answer: Answer) -> Option<Bytes> {
        let rejection = Rejection::Invalid(answer);
        let unheard = match self.unsure.remove(id) {
            Some(rejected) => rejected.send(rejection).err(),
            None => Some(rejection),
        };
        let Some(Rejection::Invalid(answer)) = unheard else { return None };
        let next = event_stream::next(&json!({ "id": id, "payload": answer }));
        Some([next, event_stream::complete(&json!({ "id": id }))].concat().into())
    }

    fn stop(&mut self, id: &str) {
        self.operations.stop(id);
        self.unsure.remove(id);
    }
}

#[cfg(test)]
mod tests;
