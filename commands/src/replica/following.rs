//! How a replica keeps up with the log while another process owns the partition.

use std::time::Duration;

use event_log::{LogError, Reader, Recorded};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::Replica;
use crate::owner::StartError;
use crate::owner::envelope::Read;
use crate::seats::Order;

/// How many records are taken in at once.
const RECORDS_MAX: usize = 4_096;

/// How long to wait after a failure, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));

/// Why a replica no longer follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Followed {
    /// It is to be owned here.
    Take,
    /// It is to be owned here again, and nothing was told.
    Return,
    /// The process stops.
    Stopped,
}

impl Replica {
    /// Takes in what others record, and answers reads, until it is told to own the partition, or is
    /// to own it again when it `returns` and nothing else was told until then.
    pub(crate) async fn follow(
        &mut self,
        orders: &mut UnboundedReceiver<Order>,
        mut returns: Option<Instant>,
    ) -> Followed {
        let inbox = self.inbox.clone();
        let mut reading = Reading::default();
        loop {
            let found = tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Take) => return Followed::Take,
                    // There is nothing to let go of.
                    Some(Order::Give(_) | Order::Lost) => {
                        returns = None;
                        continue;
                    }
                    None => return self.serve_reads().await,
                },
                () = at(returns) => return Followed::Return,
                reads = inbox.next_reads() => {
                    let Some(reads) = reads else { return Followed::Stopped };
                    reads.into_iter().for_each(|Read(read)| read(&self.state));
                    continue;
                }
                found = reading.next(self) => found,
            };
            // Taken in whole, and not beside anything that could cut it short.
            let taken = match found {
                Ok(records) => self.apply(&records, &mut |_, _| ()).await,
                Err(error) => Err(error),
            };
            reading.came_to(&taken, self);
        }
    }

    /// Answers reads until the process stops.
    async fn serve_reads(&mut self) -> Followed {
        while let Some(reads) = self.inbox.next_reads().await {
            reads.into_iter().for_each(|Read(read)| read(&self.state));
        }
        Followed::Stopped
    }
}

/// Completes when `time` has come, if there is one.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Where a follower reads, and how that goes.
#[derive(Debug, Default)]
struct Reading {
    reader: Option<Box<dyn Reader>>,
    failures: u32,
    rests_until: Option<tokio::time::Instant>,
}

impl Reading {
    /// The next records. Dropping the future loses nothing.
    async fn next(&mut self, replica: &Replica) -> Result<Vec<Recorded>, StartError> {
        if let Some(until) = self.rests_until {
            tokio::time::sleep_until(until).await;
        }
        let partition = replica.partition;
        let failed = |source| StartError::Log { partition, source };
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => {
                let reader = replica.parts.log.read(partition, replica.state.next).await;
                none.insert(reader.map_err(failed)?)
            }
        };
        reader.next(RECORDS_MAX).await.map_err(failed)
    }

    /// Notes whether records were taken in. What was not is read again after a while.
    fn came_to(&mut self, taken: &Result<(), StartError>, replica: &Replica) {
        let Err(error) = taken else {
            (self.failures, self.rests_until) = (0, None);
            return;
        };
        if !matches!(error, StartError::Log { source: LogError::Closed, .. }) {
            let error = error as &dyn std::error::Error;
            tracing::error!(partition = replica.partition.0, error, "following the log waits");
        }
        let pause = PAUSE.0.saturating_mul(1 << self.failures.min(10)).min(PAUSE.1);
        self.reader = None;
        self.failures += 1;
        self.rests_until = Some(tokio::time::Instant::now() + pause);
    }
}
