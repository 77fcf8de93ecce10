//! What the client tells a member: which partitions it is assigned, and which it is to give up.
//!
//! What is revoked is served on, since nobody else can have it yet: the member joins anew without
//! it, and only once all have joined is each told what it has from then on, all at the same time.
//! That is when the member lets go. The next owner waits for that, for a while (`turns`); where that
//! is too little, or where the member is not told, the claim fences it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;

use super::Turns;
use crate::kafka::{Shared, logging};
use crate::port::Partition;

/// How long what was revoked is served on at most. In seconds: 5. All have joined within 1.3 s where
/// none is slow: they hear of it within 250 ms, and a client joins once a second at most.
pub(super) const SERVED_ON_MAX: Duration = Duration::from_secs(5);

/// The context of one consumer.
#[derive(Debug)]
pub(super) struct Member {
    shared: Arc<Shared>,
    turns: Arc<Turns>,
    /// None once it has no say any more.
    holdings: Mutex<Option<Holdings>>,
    /// When the group was heard of last, except that a member at rest is not asked.
    heard: Mutex<Instant>,
}

/// In what state the client itself looks whether the session is over.
const AT_REST: &str = "steady";

/// What a member serves.
#[derive(Debug, Default)]
struct Holdings {
    /// What it is assigned.
    owned: BTreeSet<Partition>,
    /// What was revoked and has not been given yet.
    parting: BTreeMap<Partition, Parting>,
    /// Whether the member has asked for no partitions any more.
    resigned: bool,
}

/// How a partition that was revoked comes to be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parting {
    /// How many assignments are still to come; with the last one another member has it.
    assignments: u32,
    until: Instant,
}

impl Member {
    pub(super) fn new(shared: Arc<Shared>, turns: Arc<Turns>) -> Self {
        let holdings = Mutex::new(Some(Holdings::default()));
        Self { shared, turns, holdings, heard: Mutex::new(Instant::now()) }
    }

    /// Notes that the group is there.
    pub(super) fn hears(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// For how long something is served here and nothing was heard of the group.
    pub(super) fn deaf_for(&self) -> Duration {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_free() { Duration::ZERO } else { heard.elapsed() }
    }

    /// Whatever is still served is lost, and what comes is not told any more.
    pub(super) fn end(&self) {
        self.ended().for_each(|it| self.turns.lost(it));
    }

    /// Notes that the member asks for no partitions any more, before it does.
    pub(super) fn resigns(&self) {
        if let Some(holdings) = &mut *self.holdings() {
            holdings.resigned = true;
        }
    }

    /// The same, but whatever is still served is given.
    pub(super) fn give_up(&self) {
        self.ended().for_each(|it| self.turns.give(it));
    }

    /// Has no say from now on, and names what it served.
    fn ended(&self) -> impl Iterator<Item = Partition> + use<> {
        let ended = self.holdings().take();
        let served = ended.map(|it| it.owned.into_iter().chain(it.parting.into_keys()));
        served.into_iter().flatten()
    }

    /// Whether nothing is served.
    pub(super) fn is_free(&self) -> bool {
        let holdings = self.holdings();
        holdings.as_ref().is_none_or(|it| it.owned.is_empty() && it.parting.is_empty())
    }

    /// Gives what was served on for long enough.
    pub(super) fn look(&self) {
        let (now, mut holdings) = (Instant::now(), self.holdings());
        let Some(Holdings { parting, .. }) = &mut *holdings else { return };
        for (partition, _) in parting.extract_if(.., |_, it| it.until <= now) {
            self.turns.give(partition);
        }
    }

    fn assigned(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        self.hears();
        // Nothing is to be fetched.
        if let Err(error) = consumer.pause(partitions) {
            tracing::debug!(error = &error as &dyn std::error::Error, "partitions are not paused");
        }
        let mut holdings = self.holdings();
        let Some(Holdings { owned, parting, .. }) = &mut *holdings else { return };
        let assigned: BTreeSet<_> = self.numbers(partitions).collect();
        let given = parting.extract_if(.., |partition, it| {
            it.assignments -= 1;
            it.assignments == 0 || assigned.contains(partition)
        });
        given.for_each(|(partition, _)| self.turns.give(partition));
        let taken: Vec<_> = assigned.into_iter().filter(|it| owned.insert(*it)).collect();
        drop(holdings);
        taken.into_iter().for_each(|it| self.turns.take(it));
    }

    fn revoked(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let mut holdings = self.holdings();
        let Some(Holdings { owned, parting, resigned }) = &mut *holdings else { return };
        let revoked: Vec<_> = self.numbers(partitions).filter(|it| owned.remove(it)).collect();
        if consumer.assignment_lost() {
            let parted = std::mem::take(parting).into_keys();
            revoked.into_iter().chain(parted).for_each(|it| self.turns.lost(it));
            return;
        }
        // After what the group revokes comes the rest of the same assignment; after what the
        // member has no use for any more comes the next one.
        let assignments = if *resigned && owned.is_empty() { 1 } else { 2 };
        let until = Instant::now() + SERVED_ON_MAX;
        parting.extend(revoked.into_iter().map(|it| (it, Parting { assignments, until })));
    }

    /// The partitions of the log among `partitions`.
    fn numbers(&self, partitions: &TopicPartitionList) -> impl Iterator<Item = Partition> + use<> {
        let elements = partitions.elements();
        let ours = elements.iter().filter(|it| it.topic() == self.shared.events);
        let numbers = ours.filter_map(|it| u32::try_from(it.partition()).ok());
        numbers.map(Partition).collect::<Vec<_>>().into_iter()
    }

    fn holdings(&self) -> MutexGuard<'_, Option<Holdings>> {
        self.holdings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        logging::line(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        logging::error(&error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let said: Result<serde_json::Value, _> = serde_json::from_slice(statistics);
        if said.is_ok_and(|it| it["cgrp"]["join_state"] == AT_REST) {
            self.hears();
        }
    }
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            self.revoked(consumer, partitions);
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            self.assigned(consumer, partitions);
        }
    }
}
