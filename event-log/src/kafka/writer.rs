//! The writer of a partition: a thread that owns the producer and does one thing after the other,
//! and the handles that send it work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use super::Shared;
use super::appending::Appending;
use crate::limits;
use crate::port::{
    AppendError, Batch, ClaimError, LogError, Partition, Position, SnapshotChunk, SnapshotWriter,
    Writer,
};

/// How much may wait for a writer: an append and a slice of a snapshot, and what their callers
/// have given up on.
const WAITING_MAX: usize = 4;

/// What a writer's thread is asked to do.
#[derive(Debug)]
pub(super) enum Request {
    Append { batch: Batch, reply: oneshot::Sender<Result<Vec<Position>, AppendError>> },
    Barrier { reply: Done },
    Announce { address: String, reply: Done },
    LetGo { reply: Done },
    Stage { snapshot: Begun, slice: Vec<SnapshotChunk>, reply: Done },
    Finish { snapshot: Begun, reply: Done },
}

pub(super) type Done = oneshot::Sender<Result<(), AppendError>>;

/// Which snapshot of its writer something is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    /// The how-manieth snapshot that the writer has begun.
    pub(super) count: u64,
    pub(super) upto: Position,
    pub(super) fold: u32,
}

/// Claims `partition` and starts its thread.
pub(super) async fn claim(
    shared: Arc<Shared>,
    partition: Partition,
) -> Result<Box<dyn Writer>, ClaimError> {
    let (requests, todo) = mpsc::channel(WAITING_MAX);
    let (reply, claimed) = oneshot::channel();
    let begun = Arc::<AtomicU64>::default();
    let last = begun.clone();
    std::thread::Builder::new()
        .name(format!("kafka-write-{partition}"))
        .spawn(move || match Appending::claim(shared, partition, last) {
            // If nobody waits for the claim any more, `todo` is closed and the thread ends.
            Ok(appending) => {
                drop(reply.send(Ok(())));
                appending.run(todo);
            }
            Err(error) => drop(reply.send(Err(error))),
        })
        .map_err(|source| LogError::Storage { doing: "starting a thread".to_owned(), source })?;
    claimed.await.map_err(|_| LogError::Closed)??;
    Ok(Box::new(KafkaWriter { partition, requests, begun }))
}

#[derive(Debug)]
struct KafkaWriter {
    partition: Partition,
    requests: mpsc::Sender<Request>,
    /// How many snapshots it has begun.
    begun: Arc<AtomicU64>,
}

#[async_trait]
impl Writer for KafkaWriter {
    async fn append(&mut self, batch: Batch) -> Result<Vec<Position>, AppendError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        limits::check_batch(&batch).map_err(AppendError::Refused)?;
        let span = tracing::debug_span!(
            "append",
            log.partition = self.partition.0,
            log.records = batch.len(),
            log.size_bytes = batch.iter().map(|it| it.canonical().len()).sum::<usize>(),
        );
        ask(&self.requests, |reply| Request::Append { batch, reply }).instrument(span).await
    }

    async fn barrier(&mut self) -> Result<(), AppendError> {
        ask(&self.requests, |reply| Request::Barrier { reply }).await
    }

    async fn announce(&mut self, address: &str) -> Result<(), AppendError> {
        let address = address.to_owned();
        ask(&self.requests, |reply| Request::Announce { address, reply }).await
    }

    async fn let_go(self: Box<Self>) {
        if let Err(error) = ask(&self.requests, |reply| Request::LetGo { reply }).await {
            let (partition, error) = (self.partition.0, &error as &dyn std::error::Error);
            tracing::debug!(partition, error, "the next owner is not told that it need not wait");
        }
    }

    fn begin_snapshot(&mut self, upto: Position, fold: u32) -> Box<dyn SnapshotWriter> {
        let count = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        Box::new(KafkaSnapshot {
            requests: self.requests.clone(),
            snapshot: Begun { count, upto, fold },
            lost: false,
        })
    }
}

#[derive(Debug)]
struct KafkaSnapshot {
    requests: mpsc::Sender<Request>,
    snapshot: Begun,
    /// Whether a slice was lost, or may have been.
    lost: bool,
}

#[async_trait]
impl SnapshotWriter for KafkaSnapshot {
    async fn stage(&mut self, slice: Vec<SnapshotChunk>) -> Result<(), AppendError> {
        if std::mem::replace(&mut self.lost, true) {
            return Err(AppendError::Fenced);
        }
        limits::check_slice(&slice).map_err(AppendError::Refused)?;
        let snapshot = self.snapshot;
        ask(&self.requests, |reply| Request::Stage { snapshot, slice, reply }).await?;
        self.lost = false;
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), AppendError> {
        if self.lost {
            return Err(AppendError::Fenced);
        }
        let snapshot = self.snapshot;
        ask(&self.requests, |reply| Request::Finish { snapshot, reply }).await
    }
}

/// Sends the thread a request and waits for its answer.
async fn ask<T>(
    requests: &mpsc::Sender<Request>,
    request: impl FnOnce(oneshot::Sender<Result<T, AppendError>>) -> Request,
) -> Result<T, AppendError> {
    let (reply, answer) = oneshot::channel();
    let sent = requests.send(request(reply)).await;
    sent.map_err(|_| AppendError::Unknown(LogError::Closed))?;
    answer.await.unwrap_or(Err(AppendError::Unknown(LogError::Closed)))
}
