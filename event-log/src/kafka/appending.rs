//! What the thread of a writer does: one transaction after the other, with a new producer where
//! the rule about lost requests asks for one.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::ends::{lost, number};
use super::owners::Service;
use super::producer::{Message, Producer};
use super::replicas::Shortage;
use super::snapshots::{self, Head, Index};
use super::writer::{Begun, Request};
use super::{Shared, message, owners, position};
use crate::limits;
use crate::port::{AppendError, Batch, LogError, Partition, Position, SnapshotChunk, version_of};
use crate::record::Attribute;

/// How many pieces that count for nothing any more one snapshot removes at most.
const GARBAGE_MAX: usize = 4096;

/// The key of the only record of a barrier.
const BARRIER: &[u8] = b"barrier";

/// The state of a writer's thread.
#[derive(Debug)]
pub(super) struct Appending {
    shared: Arc<Shared>,
    partition: Partition,
    /// None once another writer has come, or may have.
    producer: Option<Producer>,
    /// What keeps the request under way from being done, if that was known when it came.
    short: Option<Shortage>,
    /// Where it has announced that the partition is served.
    announced: Option<String>,
    /// Where the partition ends if nobody else has written since it was claimed. What this process
    /// knows from others is no measure: another writer may be among them.
    end: Position,
    /// How many snapshots the writer has begun.
    begun: Arc<AtomicU64>,
    /// Snapshots up to this count can not be finished any more.
    lost: u64,
    staging: Option<Staging>,
    /// What is stored of snapshots, read when the first one is begun.
    index: Option<Index>,
}

/// A snapshot that is being written.
#[derive(Debug)]
struct Staging {
    begun: Begun,
    number: u64,
    /// The keys that were staged, and whether they have a piece.
    keys: BTreeMap<String, bool>,
}

impl Appending {
    /// Fences every earlier writer. Afterwards the partition ends after what it has written.
    pub(super) fn claim(
        shared: Arc<Shared>,
        partition: Partition,
        begun: Arc<AtomicU64>,
    ) -> Result<Self, LogError> {
        let producer = Some(produce(&shared, partition)?);
        let end = shared.find_end(partition)?;
        let (short, announced, lost, staging, index) = (None, None, 0, None, None);
        Ok(Self { shared, partition, producer, short, announced, end, begun, lost, staging, index })
    }

    /// Works until nobody has anything to ask any more.
    pub(super) fn run(mut self, mut todo: mpsc::Receiver<Request>) {
        while let Some(request) = todo.blocking_recv() {
            self.short = self.shared.replicas.known(&self.shared.events, number(self.partition));
            // Not sooner: after the last request another process may have claimed the partition. And
            // not where its transaction cannot be ended.
            let goes_on = !matches!(request, Request::LetGo { .. });
            if goes_on && self.is_tainted() && self.short.is_none() {
                self.renew();
            }
            // Whoever does not wait for the answer does not need it.
            match request {
                Request::Append { batch, reply } => drop(reply.send(self.append(&batch))),
                Request::Barrier { reply } => drop(reply.send(self.barrier())),
                Request::Announce { address, reply } => {
                    drop(reply.send(self.announce(&address)));
                }
                Request::LetGo { reply } => drop(reply.send(self.let_go())),
                Request::Stage { snapshot, slice, reply } => {
                    drop(reply.send(self.stage(snapshot, &slice)));
                }
                Request::Finish { snapshot, reply } => drop(reply.send(self.finish(snapshot))),
            }
        }
    }

    fn append(&mut self, batch: &Batch) -> Result<Vec<Position>, AppendError> {
        let (shared, partition) = (self.shared.clone(), self.partition);
        let messages = batch.iter().map(|record| Message {
            topic: &shared.events,
            partition: number(partition),
            key: record.attribute(Attribute::Tenant).as_bytes(),
            value: Some(record.value_bytes()),
            timestamp: message::timestamp(record),
            headers: Some(message::headers(record)),
        });
        let offsets = self.transact(&shared.events, messages)?;
        if let Some(first) = offsets.first().filter(|it| position(**it) < self.end) {
            // It stands where something else was that had been acknowledged.
            self.producer = None;
            let known = shared.ends.known(partition).0.cast_signed();
            return Err(AppendError::Unknown(lost(&shared.events, partition, *first, known)));
        }
        if let Some(last) = offsets.last() {
            self.end = position(last + 1);
            shared.ends.committed(self.partition, last + 1);
        }
        Ok(offsets.into_iter().map(position).collect())
    }

    fn barrier(&mut self) -> Result<(), AppendError> {
        let shared = self.shared.clone();
        let message = Message {
            topic: &shared.barriers,
            partition: number(self.partition),
            key: BARRIER,
            value: None,
            timestamp: None,
            headers: None,
        };
        self.transact(&shared.barriers, [message].into_iter()).map(drop)
    }

    fn is_tainted(&self) -> bool {
        self.producer.as_ref().is_some_and(Producer::is_tainted)
    }

    fn announce(&mut self, address: &str) -> Result<(), AppendError> {
        self.say(address, Service::Here)?;
        self.announced = Some(address.to_owned());
        Ok(())
    }

    /// Says that the partition is served no longer where it was, if it has been said that it is.
    fn let_go(&mut self) -> Result<(), AppendError> {
        match self.announced.take() {
            // Another producer would have to come first, and takes longer than anybody waits.
            Some(_) if self.is_tainted() => Err(AppendError::Fenced),
            Some(address) => self.say(&address, Service::LetGo),
            None => Ok(()),
        }
    }

    fn say(&mut self, address: &str, service: Service) -> Result<(), AppendError> {
        let shared = self.shared.clone();
        let (key, value) = (owners::key(self.partition), owners::value(address, service));
        let message = Message {
            topic: &shared.owners,
            partition: 0,
            key: key.as_bytes(),
            value: Some(value.as_bytes()),
            timestamp: None,
            headers: None,
        };
        for offset in self.transact(&shared.owners, [message].into_iter())? {
            shared.directory.put(self.partition, address, service, offset);
        }
        Ok(())
    }

    fn stage(&mut self, begun: Begun, slice: &[SnapshotChunk]) -> Result<(), AppendError> {
        let mut staging = self.staging(begun)?;
        let pieces = slice.iter().filter_map(|chunk| {
            let bytes = chunk.bytes.as_ref()?;
            Some((snapshots::piece(staging.number, &chunk.key), Some(bytes.to_vec())))
        });
        let pieces: Vec<_> = pieces.collect();
        self.write_snapshots(&pieces)?;
        let index = self.index.get_or_insert_default();
        for SnapshotChunk { key, bytes } in slice {
            staging.keys.insert(key.clone(), bytes.is_some());
            if bytes.is_some() {
                index.pieces.insert((staging.number, key.clone()));
            }
        }
        self.staging = Some(staging);
        Ok(())
    }

    fn finish(&mut self, begun: Begun) -> Result<(), AppendError> {
        let Staging { number, keys, .. } = self.staging(begun)?;
        let index = self.index.get_or_insert_default();
        let Begun { upto, fold, .. } = begun;
        let version = version_of(fold);
        let same_series = index.heads.get(&version).filter(|it| it.fold == fold);
        let since = same_series.map_or(number, |it| it.since);
        let head = Head { number, since, upto, fold };
        let garbage: HashSet<_> = index.garbage(number, GARBAGE_MAX);
        let (loose, outlived) = (index.loose(GARBAGE_MAX), index.outlived(version));
        let pointers = keys.iter().map(|(key, there)| {
            let number = there.then(|| number.to_string().into_bytes());
            (snapshots::pointer(version, key), number)
        });
        let pieces = garbage.iter().map(|(number, key)| (snapshots::piece(*number, key), None));
        let loosened = loose.iter().map(|(version, key)| (snapshots::pointer(*version, key), None));
        let heads = outlived.iter().map(|it| (snapshots::head(*it), None));
        let head_text = (snapshots::head(version), Some(head.to_text().into_bytes()));
        let removed = pieces.chain(loosened).chain(heads);
        let messages: Vec<_> = removed.chain(pointers).chain([head_text]).collect();
        self.write_snapshots(&messages)?;
        let index = self.index.get_or_insert_default();
        index.heads.insert(version, head);
        index.heads.retain(|it, _| !outlived.contains(it));
        index.pieces.retain(|it| !garbage.contains(it));
        index.pointers.retain(|it, _| !loose.contains(it));
        for (key, there) in keys {
            if there {
                index.pointers.insert((version, key), number);
            } else {
                index.pointers.remove(&(version, key));
            }
        }
        Ok(())
    }

    /// What has been staged of `begun`, if it may still become the newest snapshot.
    fn staging(&mut self, begun: Begun) -> Result<Staging, AppendError> {
        if self.begun.load(Ordering::SeqCst) != begun.count || begun.count <= self.lost {
            return Err(AppendError::Fenced);
        }
        limits::check_within(self.partition, begun.upto, self.shared.ends.known(self.partition))
            .map_err(AppendError::Refused)?;
        if let Some(staging) = self.staging.take().filter(|it| it.begun == begun) {
            return Ok(staging);
        }
        if self.index.is_none() {
            let known = self.known_snapshots().load(Ordering::SeqCst);
            let topic = &self.shared.snapshots;
            let index = snapshots::index(&self.shared.scanner, topic, self.partition, known);
            self.index = Some(index.map_err(AppendError::Refused)?);
        }
        let number = self.index.as_ref().map_or(1, Index::next_number);
        Ok(Staging { begun, number, keys: BTreeMap::new() })
    }

    fn known_snapshots(&self) -> &AtomicI64 {
        &self.shared.known_snapshots[self.partition.0 as usize]
    }

    /// Writes to the topic of the snapshots; nothing is written for nothing.
    fn write_snapshots(
        &mut self,
        messages: &[(String, Option<Vec<u8>>)],
    ) -> Result<(), AppendError> {
        if messages.is_empty() {
            return Ok(());
        }
        let (shared, partition) = (self.shared.clone(), self.partition);
        let messages = messages.iter().map(|(key, value)| Message {
            topic: &shared.snapshots,
            partition: number(partition),
            key: key.as_bytes(),
            value: value.as_deref(),
            timestamp: None,
            headers: None,
        });
        let offsets = self.transact(&shared.snapshots, messages)?;
        if let Some(last) = offsets.last() {
            self.known_snapshots().fetch_max(last + 1, Ordering::SeqCst);
        }
        Ok(())
    }

    /// One transaction, on `topic`. After an outcome that is not known, and after a fence, there are
    /// no more. One that was not taken may be a sign of too few replicas.
    fn transact<'a>(
        &mut self,
        topic: &str,
        messages: impl ExactSizeIterator<Item = Message<'a>>,
    ) -> Result<Vec<i64>, AppendError> {
        if let Some(gone) = self.shared.topics.gone() {
            return Err(AppendError::Refused(gone));
        }
        let Some(producer) = &mut self.producer else { return Err(AppendError::Fenced) };
        if let Some(short) = &self.short {
            return Err(AppendError::Refused(short.clone().error()));
        }
        let written = producer.transact(messages);
        if matches!(written, Err(AppendError::Fenced | AppendError::Unknown(_))) {
            self.producer = None;
        }
        written.map_err(|error| match error {
            AppendError::Refused(error) if error.is_away() => {
                if let Some(gone) = self.shared.topics.look() {
                    return AppendError::Refused(gone);
                }
                // What was written to the events before may hold up the other topics too.
                let (replicas, events) = (&self.shared.replicas, &self.shared.events);
                let number = number(self.partition);
                let at_topic = if topic == self.shared.owners { 0 } else { number };
                let short = replicas.look(events, number);
                let short = short.or_else(|| replicas.look(topic, at_topic));
                AppendError::Refused(short.map_or(error, Shortage::error))
            }
            other => other,
        })
    }

    /// Takes another producer after a request may have been lost on the way, so that no stray copy of it
    /// can end or join the next transaction, or after the brokers have forgotten this one, so that nothing
    /// is written over what another has written meanwhile. If that is not possible, this writer is at its
    /// end.
    fn renew(&mut self) {
        tracing::info!(
            log.partition = %self.partition,
            "a request to Kafka may have been lost on the way, or the brokers have forgotten the \
             producer: going on with another one"
        );
        self.producer = None;
        // Another writer may have come and gone, so what is stored of snapshots is read again.
        self.lost = self.begun.load(Ordering::SeqCst);
        (self.staging, self.index) = (None, None);
        let renewed = produce(&self.shared, self.partition)
            .and_then(|producer| Ok((producer, self.shared.find_end(self.partition)?)));
        match renewed {
            // Nobody has written anything that was not decided on here.
            Ok((producer, end)) if end == self.end => self.producer = Some(producer),
            Ok(_) => (),
            Err(error) => tracing::warn!(
                log.partition = %self.partition,
                error = &error as &dyn std::error::Error,
                "no other producer is to be had; the partition has to be claimed again"
            ),
        }
    }
}

fn produce(shared: &Shared, partition: Partition) -> Result<Producer, LogError> {
    if let Some(short) = shared.replicas.known(&shared.events, number(partition)) {
        // Nothing could be written after it.
        return Err(short.error());
    }
    let transactional_id = format!("{}-{partition}", shared.events);
    #[cfg(feature = "sabotage")]
    let transactional_id = super::sabotage::of_this_process(transactional_id);
    // A claim waits until the transaction before is ended, in the partition and in its own topic.
    let hopeless = || {
        let replicas = &shared.replicas;
        let short = replicas.look(&shared.events, number(partition));
        short.or_else(|| replicas.look_at_transactions(&transactional_id)).map(Shortage::error)
    };
    Producer::fence(&shared.config, &transactional_id, hopeless)
}
