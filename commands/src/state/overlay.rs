//! What a batch would change, over committed state that stays as it is.
//!
//! A slot is copied when it is first touched. Every change since the last savepoint can be
//! taken back, so a request that is rejected, previewed or panics half-way leaves no trace.

use std::collections::hash_map::Entry;

use domain::id::TenantId;
use domain::subscription::{self, Subscription};
use domain::{Event, Stream};
use event_log::Link;

use super::slot::{Held, Slot};
use super::{Map, State, Tally};

/// A stream and whose it is.
pub(crate) type Place = (TenantId, Stream);

/// Changes over `base` that are not durable yet.
#[derive(Debug)]
pub(crate) struct Overlay<'s> {
    base: &'s State,
    changes: Changes,
    undo: Vec<Undo>,
}

/// What an overlay changes.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) slots: Map<Place, Slot>,
    pub(crate) tallies: Map<TenantId, Tally>,
}

/// What one stream counts for in the tally of its tenant.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Counted {
    entities: u64,
    owners: u64,
}

impl Counted {
    fn of(held: &Held) -> Self {
        let is_owner = matches!(held, Held::Member(it) if it.is_owner());
        Self { entities: held.is_registered_entity().into(), owners: is_owner.into() }
    }
}

/// How to take one change back: what was there before in the overlay, if anything.
#[derive(Debug)]
enum Undo {
    Slot(Place, Option<Slot>),
    Tally(TenantId, Option<Tally>),
}

impl<'s> Overlay<'s> {
    pub(crate) fn new(base: &'s State) -> Self {
        Self { base, changes: Changes::default(), undo: Vec::new() }
    }

    /// The committed state below.
    pub(crate) fn base(&self) -> &'s State {
        self.base
    }

    /// The slot of a stream that has one, with the changes of this batch.
    pub(crate) fn slot(&self, tenant: TenantId, stream: &Stream) -> Option<&Slot> {
        let changed = self.changes.slots.get(&(tenant, *stream));
        changed.or_else(|| self.base.slot(tenant, stream))
    }

    /// What is counted for a tenant, with the changes of this batch.
    pub(crate) fn tally(&self, tenant: TenantId) -> Tally {
        let changed = self.changes.tallies.get(&tenant).copied();
        let committed = || self.base.tenants.get(&tenant).map(|it| it.tally);
        changed.or_else(committed).unwrap_or_default()
    }

    /// Takes `event` into the state of its stream and of those that are derived from it, and
    /// returns its revision.
    pub(crate) fn evolve(&mut self, tenant: TenantId, stream: Stream, event: &Event) -> u64 {
        let slot = self.edit(tenant, stream);
        let before = Counted::of(&slot.held);
        slot.revision += 1;
        slot.held.evolve(event);
        let revision = slot.revision;
        let after = Counted::of(&slot.held);
        if after != before {
            let tally = self.edit_tally(tenant);
            tally.entities = tally.entities + after.entities - before.entities;
            tally.owners = tally.owners + after.owners - before.owners;
        }
        self.derive(tenant, &stream, event);
        revision
    }

    /// Moves the tenant's history one record on.
    pub(crate) fn advance(&mut self, tenant: TenantId, link: Link) {
        let tally = self.edit_tally(tenant);
        tally.sequence += 1;
        tally.link = link;
    }

    /// From here on changes can be taken back.
    pub(crate) fn savepoint(&mut self) {
        self.undo.clear();
    }

    /// Takes back every change since the savepoint.
    pub(crate) fn roll_back(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Slot(place, Some(slot)) => drop(self.changes.slots.insert(place, slot)),
                Undo::Slot(place, None) => drop(self.changes.slots.remove(&place)),
                Undo::Tally(tenant, Some(tally)) => {
                    self.changes.tallies.insert(tenant, tally);
                }
                Undo::Tally(tenant, None) => {
                    self.changes.tallies.remove(&tenant);
                }
            }
        }
    }

    /// What is to be merged once it is durable.
    pub(crate) fn into_changes(self) -> Changes {
        self.changes
    }

    /// Keeps what is derived from other streams: which subscriptions of an account are running.
    fn derive(&mut self, tenant: TenantId, stream: &Stream, event: &Event) {
        let (Stream::Subscription(id), Event::Subscription(event)) = (stream, event) else {
            return;
        };
        match event {
            subscription::Event::Started { customer, .. } => {
                if let Held::Customer(account) =
                    &mut self.edit(tenant, Stream::Customer(*customer)).held
                {
                    account.running.insert(*id);
                }
            }
            subscription::Event::Cancelled { .. } => {
                let state = self.aggregate::<Subscription>(tenant, *id);
                if let Some(Subscription::Cancelled { customer, .. }) = state
                    && let customer = *customer
                    && let Held::Customer(account) =
                        &mut self.edit(tenant, Stream::Customer(customer)).held
                {
                    account.running.remove(id);
                }
            }
            subscription::Event::PlanChanged { .. }
            | subscription::Event::CancellationScheduled { .. }
            | subscription::Event::CancellationUndone {}
            | subscription::Event::Renewed { .. } => {}
        }
    }

    /// The slot of a stream, copied here to be changed.
    fn edit(&mut self, tenant: TenantId, stream: Stream) -> &mut Slot {
        let place = (tenant, stream);
        match self.changes.slots.entry(place) {
            Entry::Occupied(entry) => {
                self.undo.push(Undo::Slot(place, Some(entry.get().clone())));
                entry.into_mut()
            }
            Entry::Vacant(entry) => {
                self.undo.push(Undo::Slot(place, None));
                let committed = self.base.slot(tenant, &stream).cloned();
                entry.insert(committed.unwrap_or_else(|| Slot::empty(&stream)))
            }
        }
    }

    fn edit_tally(&mut self, tenant: TenantId) -> &mut Tally {
        match self.changes.tallies.entry(tenant) {
            Entry::Occupied(entry) => {
                self.undo.push(Undo::Tally(tenant, Some(*entry.get())));
                entry.into_mut()
            }
            Entry::Vacant(entry) => {
                self.undo.push(Undo::Tally(tenant, None));
                let committed = self.base.tenants.get(&tenant).map(|it| it.tally);
                entry.insert(committed.unwrap_or_default())
            }
        }
    }
}
