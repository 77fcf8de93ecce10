//! Everything an owner knows: the committed state of its tenants, in memory.
//!
//! It changes only by merging an [`Overlay`], whether that was decided just now or read back
//! from the log, so a live owner and a replayed one cannot differ.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use domain::Stream;
use domain::id::TenantId;
use domain::reaction::Reactions;
use event_log::{Link, Position};

use crate::idempotency::Outcomes;
use crate::timers::Timers;

pub(crate) mod overlay;
pub(crate) mod shards;
pub(crate) mod slot;

pub(crate) use overlay::{Changes, Overlay};
pub(crate) use shards::Shards;
pub(crate) use slot::{Held, Kept, Slot};

/// A map whose keys we draw or digest ourselves: nobody can choose them so that they collide, and
/// a request looks some twenty of them up. Seeded for each process all the same.
pub(crate) type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The committed state of a partition.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) tenants: Map<TenantId, TenantState>,
    /// When the aggregates want to be woken.
    pub(crate) timers: Timers,
    /// What became of requests with an idempotency key.
    pub(crate) outcomes: Outcomes,
    /// The tenants of which something that was recorded could not be read, since their key is
    /// missing, damaged or another one, with the first such record where it is known. Of them there
    /// is the tally and nothing else.
    pub(crate) unread: BTreeMap<TenantId, Option<Position>>,
    /// The position after the last record that is part of this state.
    pub(crate) next: Position,
    /// The time of that record. Recorded time never decreases.
    pub(crate) recorded: DateTime<Utc>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            tenants: Map::default(),
            timers: Timers::default(),
            outcomes: Outcomes::default(),
            unread: BTreeMap::new(),
            next: Position::START,
            recorded: DateTime::UNIX_EPOCH,
        }
    }
}

/// The committed state of one tenant.
#[derive(Clone, Debug, Default)]
pub(crate) struct TenantState {
    pub(crate) streams: Shards,
    pub(crate) tally: Tally,
}

/// What is counted along a tenant's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The sequence of its last record; 0 before the first.
    pub(crate) sequence: u64,
    /// The link of that record.
    pub(crate) link: Link,
    /// How many entities are registered.
    pub(crate) entities: u64,
    /// How many of its members are owners.
    pub(crate) owners: u64,
}

impl State {
    /// The slot of a stream that has one.
    pub(crate) fn slot(&self, tenant: TenantId, stream: &Stream) -> Option<&Slot> {
        self.tenants.get(&tenant)?.streams.get(stream)
    }

    /// The aggregate of a stream that has events.
    pub(crate) fn aggregate<A: Kept>(&self, tenant: TenantId, id: A::Id) -> Option<&A> {
        A::of(&self.slot(tenant, &A::stream(id))?.held)
    }

    /// What reactions have handled on behalf of a tenant.
    pub(crate) fn reactions(&self, tenant: TenantId) -> Option<&Reactions> {
        match &self.slot(tenant, &Stream::Reactions)?.held {
            Held::Reactions(reactions) => Some(reactions),
            _ => None,
        }
    }

    /// Gives up what is known of a tenant but how far it has come: what was recorded at `first`, or
    /// what is in a snapshot, cannot be read, so decisions on the rest would be wrong. It stays so
    /// until everything is read again.
    pub(crate) fn leave_unread(&mut self, tenant: TenantId, first: Option<Position>) {
        let state = self.tenants.entry(tenant).or_default();
        let Tally { sequence, link, .. } = state.tally;
        state.tally = Tally { sequence, link, ..Tally::default() };
        for (stream, slot) in std::mem::take(&mut state.streams).iter() {
            self.timers.replace(tenant, *stream, slot.held.due(), None);
        }
        let known = self.unread.entry(tenant).or_default();
        *known = known.or(first);
    }

    /// Takes in what became durable. `next` is the position after it.
    pub(crate) fn merge(&mut self, changes: Changes, recorded: DateTime<Utc>, next: Position) {
        for ((tenant, stream), slot) in changes.slots {
            let due = slot.held.due();
            let tenant_state = self.tenants.entry(tenant).or_default();
            let before = tenant_state.streams.insert(stream, slot);
            let due_before = before.and_then(|it| it.held.due());
            self.timers.replace(tenant, stream, due_before, due);
        }
        for (tenant, tally) in changes.tallies {
            self.tenants.entry(tenant).or_default().tally = tally;
        }
        self.recorded = self.recorded.max(recorded);
        self.next = next;
    }
}
