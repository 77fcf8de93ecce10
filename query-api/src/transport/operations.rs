//! The operations that run on one connection, by the id that its client gave them.

use std::future::Future;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio_stream::StreamMap;

use super::answer::Answer;

/// A bounded set of running operations. Removing one, or dropping the set, stops it.
pub(super) struct Operations {
    max: usize,
    running: StreamMap<String, BoxStream<'static, Step>>,
}

/// What an operation did.
pub(super) enum Step {
    /// It has a result.
    Next(Answer),
    /// It was not executed. Nothing follows.
    Refused(Answer),
    /// It has come to its end.
    Complete,
    /// It was cut off before its end.
    Cut,
}

/// Why an operation does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotStarted {
    /// Another one runs under this id.
    IdInUse,
    /// As many run as may.
    TooMany,
}

impl Operations {
    pub(super) fn new(max: usize) -> Self {
        Self { max, running: StreamMap::new() }
    }

    /// Whether one more may start under `id`.
    pub(super) fn admit(&self, id: &str) -> Result<(), NotStarted> {
        if self.running.contains_key(id) {
            return Err(NotStarted::IdInUse);
        }
        if self.running.len() >= self.max {
            return Err(NotStarted::TooMany);
        }
        Ok(())
    }

    /// Starts an operation that was [admitted](Self::admit), to be cut off when `ended` completes.
    pub(super) fn start(
        &mut self,
        id: String,
        results: BoxStream<'static, Answer>,
        ended: impl Future<Output = ()> + Send + 'static,
    ) {
        let step = |answer: Answer| {
            if answer.is_executed() { Step::Next(answer) } else { Step::Refused(answer) }
        };
        let steps = results
            .map(step)
            .chain(stream::iter([Step::Complete]))
            .take_until(ended)
            .chain(stream::iter([Step::Cut]));
        self.running.insert(id, steps.boxed());
    }

    /// Stops an operation, if it runs.
    pub(super) fn stop(&mut self, id: &str) {
        self.running.remove(id);
    }

    /// What happens next; for ever nothing if nothing runs.
    pub(super) async fn next(&mut self) -> (String, Step) {
        let Some((id, step)) = self.running.next().await else {
            return std::future::pending().await;
        };
        if !matches!(step, Step::Next(_)) {
            self.running.remove(&id);
        }
        (id, step)
    }
}
