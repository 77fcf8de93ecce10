//! Follows one partition over a consumer that is shared, and hands out whole commands.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaErrorCode;

use super::failure::storage;
use super::readers::Lease;
use super::{Shared, blocking, message, position};
use crate::port::{LogError, Partition, Position, Reader, Recorded};

/// How many messages are taken in one go before other tasks get a turn.
const GO_MAX: usize = 256;

/// How long the rest of a command may take to come before it is asked for.
const REST_MAX: Duration = Duration::from_secs(2);

/// A reader at a place of a partition.
#[derive(Debug)]
pub(super) struct KafkaReader {
    shared: Arc<Shared>,
    partition: Partition,
    lease: Option<Lease>,
    /// What has been read and not been handed out.
    ready: VecDeque<Recorded>,
    /// How many of these make up whole commands.
    whole: usize,
    /// Where it was opened.
    began: Position,
    /// Where to read on if the lease is lost: after the last whole command.
    from: Position,
    /// What the next record has to be in its command, if one has begun.
    due: Option<(u32, u32)>,
    /// Whether the first record may be in the middle of its command.
    anywhere: bool,
}

impl KafkaReader {
    pub(super) fn new(shared: Arc<Shared>, partition: Partition, from: Position) -> Self {
        Self {
            shared,
            partition,
            lease: None,
            ready: VecDeque::new(),
            whole: 0,
            began: from,
            from,
            due: None,
            anywhere: from > Position::START,
        }
    }

    /// Takes what has been fetched, up to `wanted` records or some more in the last command.
    /// Whether there may be more.
    fn take(&mut self, wanted: usize) -> Result<bool, LogError> {
        let there_is_more = self.fetch(wanted);
        // So that nobody has to look for the end where it is followed.
        if let Some(last) = self.ready.back() {
            let offset = i64::try_from(last.position.0).expect("it was an offset");
            self.shared.ends.committed(self.partition, offset + 1);
        }
        there_is_more
    }

    fn fetch(&mut self, wanted: usize) -> Result<bool, LogError> {
        for _ in 0..GO_MAX {
            if self.whole >= wanted {
                return Ok(false);
            }
            let Some(lease) = &self.lease else { return Ok(false) };
            let (offset, record) = match lease.poll() {
                None => return Ok(false),
                Some(Ok(message)) => (message.offset(), message::record(&message)),
                Some(Err(error)) => return Err(self.failed(error)),
            };
            let record = record.map_err(|reason| self.damaged(offset, reason))?;
            self.push(Recorded { position: position(offset), record })?;
        }
        Ok(true)
    }

    fn push(&mut self, recorded: Recorded) -> Result<(), LogError> {
        if recorded.position < self.from {
            return Ok(());
        }
        let place = recorded.record.place();
        let fits = match self.due {
            Some(due) => place == due,
            None => place.0 == 1 || self.anywhere,
        };
        if !fits {
            let (n, m) = self.due.unwrap_or((1, place.1));
            let reason = format!(
                "a command is torn: record {n}/{m} of it is due, and this is {}/{}",
                place.0, place.1
            );
            let offset = i64::try_from(recorded.position.0).expect("it was an offset");
            return Err(self.damaged(offset, reason));
        }
        self.anywhere = false;
        self.due = (place.0 < place.1).then_some((place.0 + 1, place.1));
        let next = recorded.position.next();
        self.ready.push_back(recorded);
        if self.due.is_none() {
            self.whole = self.ready.len();
            self.from = next;
        }
        Ok(())
    }

    fn hand_out(&mut self, records_max: usize) -> Vec<Recorded> {
        let ready = &self.ready.make_contiguous()[..self.whole];
        let count = crate::record::whole_commands(ready, records_max);
        self.whole -= count;
        self.ready.drain(..count).collect()
    }

    /// Begins to fetch, if nothing is being fetched, where the last whole command ended.
    async fn open(&mut self) -> Result<(), LogError> {
        if self.lease.is_some() {
            return Ok(());
        }
        self.ready.truncate(self.whole);
        self.due = None;
        self.anywhere = self.from == self.began && self.from > Position::START;
        let (shared, partition, from) = (self.shared.clone(), self.partition, self.from);
        let lease = blocking(move || shared.readers.lease(partition, from)).await?;
        self.lease = Some(lease);
        Ok(())
    }

    /// Makes sure that there is more of a command that has begun: a command is committed as a
    /// whole, so if the log ends within it, the rest will never come.
    async fn check_rest(&mut self) -> Result<(), LogError> {
        let Some((last, (n, m))) = self.ready.back().map(|it| it.position).zip(self.due) else {
            return Ok(());
        };
        let (shared, partition) = (self.shared.clone(), self.partition);
        let end = blocking(move || shared.find_end(partition)).await?;
        if end > last.next() {
            return Ok(());
        }
        let offset = i64::try_from(last.0).expect("it was an offset");
        let reason = format!("a command is torn: record {n}/{m} of it is due, and the log ends");
        Err(self.damaged(offset, reason))
    }

    fn damaged(&mut self, offset: i64, reason: String) -> LogError {
        self.lease = None;
        let place =
            format!("topic {}, partition {}, offset {offset}", self.shared.events, self.partition);
        LogError::Damaged { place, reason }
    }

    fn failed(&mut self, error: KafkaError) -> LogError {
        let Position(offset) = self.from;
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) {
            let offset = i64::try_from(offset).expect("it was an offset");
            return self.damaged(offset, "it is not there: deleted, or never written".to_owned());
        }
        self.lease = None;
        storage(format!("reading `{}` {} at {offset}", self.shared.events, self.partition), error)
    }
}

#[async_trait]
impl Reader for KafkaReader {
    async fn next(&mut self, records_max: usize) -> Result<Vec<Recorded>, LogError> {
        loop {
            if self.shared.is_closed() {
                return Err(LogError::Closed);
            }
            self.open().await?;
            match self.take(records_max.max(1)) {
                Ok(true) => {
                    tokio::task::yield_now().await;
                    continue;
                }
                // What is wrong comes after what is ready, and will be met again.
                Err(error) if self.whole == 0 => return Err(error),
                Ok(false) | Err(_) => (),
            }
            if self.whole > 0 {
                return Ok(self.hand_out(records_max));
            }
            let lease = self.lease.as_ref().expect("it was opened above");
            tokio::select! {
                () = lease.changed() => (),
                () = self.shared.closed() => (),
                () = tokio::time::sleep(REST_MAX), if self.due.is_some() => {
                    self.check_rest().await?;
                }
            }
        }
    }
}
