//! Which outcomes a partition remembers, and how much of that each tenant may take.
//!
//! Nothing is forgotten before its time, so what is remembered must be bounded where it begins:
//! a keyed request beyond its tenant's share is refused ([`Outcomes::has_room`]). A share is
//! what is reserved for every tenant, and as much of what all have in common as is still free.
//! So one that floods takes half of the common part at most, a second one half of the rest, and
//! whatever they do, whoever holds less than the reserved part finds room. All of it together
//! is bounded by the common part and [`RESERVED`] for each tenant. It costs two look-ups.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::{CommandId, TenantId};
use event_log::Position;

use super::{RETENTION, Remembered, RequestHash};
use crate::snapshot::rows::OutcomeV1;

/// How many outcomes every tenant can have remembered whatever the others do: 512.
pub(crate) const RESERVED: usize = 512;

/// How many outcomes are snapshotted together.
const PAGE_LENGTH: usize = 4_096;

/// The most outcomes forgotten at once: 4,096, well below a millisecond.
const FORGOTTEN_MAX: usize = 4_096;

/// The bounds of when a refused request may come again. In seconds: 1 to 3,600.
const RETRY_AFTER: (TimeDelta, TimeDelta) = (TimeDelta::seconds(1), TimeDelta::hours(1));

/// Outcomes in the order they were recorded, in pages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcomes {
    by_command: HashMap<CommandId, Entry>,
    /// The last one is being filled.
    pages: VecDeque<Page>,
    /// How many of the first page are forgotten.
    forgotten: usize,
    shares: Shares,
}

/// What is remembered, and whose it is.
#[derive(Clone, Copy, Debug)]
struct Entry {
    request: RequestHash,
    position: Position,
    at: DateTime<Utc>,
    holder: u32,
}

/// Outcomes recorded one after the other.
#[derive(Clone, Debug)]
struct Page {
    /// Counts up from the first page of the partition.
    number: u64,
    commands: Vec<CommandId>,
    /// Where the last of them was recorded.
    upto: Position,
}

/// How many outcomes each tenant holds.
#[derive(Clone, Debug, Default)]
struct Shares {
    holders: Vec<Holder>,
    by_tenant: HashMap<TenantId, u32>,
    /// How many are beyond what is reserved for their tenants.
    common: usize,
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    tenant: TenantId,
    held: usize,
}

/// What the requests of a batch will hold once they are durable.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    by_tenant: HashMap<TenantId, usize>,
    common: usize,
}

/// Pages of outcomes as a snapshot stores them.
#[derive(Debug)]
pub(crate) struct OutcomesFrozen {
    pub(crate) pages: Vec<(u64, Vec<OutcomeV1>)>,
}

impl Outcomes {
    /// What is remembered of a command at `now`.
    pub(crate) fn get(&self, command: CommandId, now: DateTime<Utc>) -> Option<Remembered> {
        let entry = self.by_command.get(&command).filter(|it| now < it.at + RETENTION)?;
        let Entry { request, position, at, .. } = *entry;
        Some(Remembered { request, position, at })
    }

    /// Whether one more outcome of `tenant` fits beside those claimed in this batch, if all
    /// tenants have room for `common_max` in common.
    pub(crate) fn has_room(&self, tenant: TenantId, claims: &Claims, common_max: usize) -> bool {
        let held = self.held(tenant, claims);
        let free = common_max.saturating_sub(self.shares.common + claims.common);
        held < RESERVED || held - RESERVED < free
    }

    /// Counts one more outcome of `tenant` into this batch.
    pub(crate) fn claim(&self, tenant: TenantId, claims: &mut Claims) {
        claims.common += usize::from(self.held(tenant, claims) >= RESERVED);
        *claims.by_tenant.entry(tenant).or_default() += 1;
    }

    /// How many outcomes there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_command.len()
    }

    /// When the oldest will be forgotten, as a time to wait.
    pub(crate) fn retry_after(&self, now: DateTime<Utc>) -> Duration {
        let oldest = self.pages.front().and_then(|it| it.commands.get(self.forgotten));
        let oldest = oldest.and_then(|it| self.by_command.get(it));
        let wait = oldest.map_or(RETRY_AFTER.1, |it| it.at + RETENTION - now);
        wait.clamp(RETRY_AFTER.0, RETRY_AFTER.1).to_std().unwrap_or_default()
    }

    /// Remembers an outcome of `tenant`.
    pub(crate) fn insert(&mut self, tenant: TenantId, command: CommandId, remembered: Remembered) {
        let Remembered { request, position, at } = remembered;
        let holder = self.shares.holder(tenant);
        match self.by_command.insert(command, Entry { request, position, at, holder }) {
            // It was read back, and is acknowledged only now.
            Some(before) if before.position == position => return,
            // Its time is over, and it was not forgotten yet.
            Some(_) => {}
            None => self.shares.hold(holder),
        }
        match self.pages.back_mut() {
            Some(page) if page.commands.len() < PAGE_LENGTH => {
                page.commands.push(command);
                page.upto = position;
            }
            last => {
                let number = last.map_or(0, |it| it.number + 1);
                self.pages.push_back(Page { number, commands: vec![command], upto: position });
            }
        }
        self.forget(at);
    }

    /// Forgets outcomes whose time is over at `now`, a bounded number at once.
    pub(crate) fn forget(&mut self, now: DateTime<Utc>) {
        for _ in 0..FORGOTTEN_MAX {
            let Some(page) = self.pages.front() else { return };
            let Some(command) = page.commands.get(self.forgotten) else {
                if self.pages.len() == 1 {
                    return;
                }
                self.pages.pop_front();
                self.forgotten = 0;
                continue;
            };
            if let Some(entry) = self.by_command.get(command) {
                // A key that was used again later has its place in a later page.
                if now < entry.at + RETENTION && entry.position <= page.upto {
                    return;
                }
                if entry.at + RETENTION <= now {
                    self.shares.release(entry.holder);
                    self.by_command.remove(command);
                }
            }
            self.forgotten += 1;
        }
    }

    /// The numbers of the first and the last page.
    pub(crate) fn numbers(&self) -> Option<(u64, u64)> {
        Some((self.pages.front()?.number, self.pages.back()?.number))
    }

    /// The pages from `number` on, as they are stored.
    pub(crate) fn freeze(&self, number: u64) -> OutcomesFrozen {
        let row = |command: &CommandId| {
            let it = self.by_command.get(command)?;
            Some(OutcomeV1 {
                tenant: self.shares.holders[it.holder as usize].tenant.0.as_u128(),
                command: command.0.as_u128(),
                request: it.request.0,
                position: it.position.0,
                at: it.at.timestamp_micros(),
            })
        };
        let pages = self.pages.iter().filter(|it| it.number >= number);
        let pages = pages.map(|it| (it.number, it.commands.iter().filter_map(row).collect()));
        OutcomesFrozen { pages: pages.collect() }
    }

    /// Takes pages back, in order.
    pub(crate) fn restore(&mut self, pages: Vec<(u64, Vec<OutcomeV1>)>) {
        for (number, rows) in pages {
            let mut commands = Vec::with_capacity(rows.len());
            let mut upto = Position::START;
            for OutcomeV1 { tenant, command, request, position, at } in rows {
                let command = CommandId(uuid::Uuid::from_u128(command));
                let at = DateTime::from_timestamp_micros(at).unwrap_or_default();
                let (request, position) = (RequestHash(request), Position(position));
                let holder = self.shares.holder(TenantId(uuid::Uuid::from_u128(tenant)));
                let entry = Entry { request, position, at, holder };
                if self.by_command.insert(command, entry).is_none() {
                    self.shares.hold(holder);
                }
                commands.push(command);
                upto = upto.max(position);
            }
            self.pages.push_back(Page { number, commands, upto });
        }
    }

    /// Everything remembered at `now`, and whose it is.
    #[cfg(test)]
    pub(crate) fn all(&self, now: DateTime<Utc>) -> HashMap<CommandId, (TenantId, Remembered)> {
        let holder = |it: &Entry| self.shares.holders[it.holder as usize].tenant;
        let all = self.by_command.iter();
        all.filter_map(|(command, it)| Some((*command, (holder(it), self.get(*command, now)?))))
            .collect()
    }

    fn held(&self, tenant: TenantId, claims: &Claims) -> usize {
        let holder = self.shares.by_tenant.get(&tenant).map(|it| self.shares.holders[*it as usize]);
        let claimed = claims.by_tenant.get(&tenant).copied().unwrap_or_default();
        holder.map_or(0, |it| it.held) + claimed
    }
}

impl Shares {
    /// The number a tenant goes by here.
    fn holder(&mut self, tenant: TenantId) -> u32 {
        *self.by_tenant.entry(tenant).or_insert_with(|| {
            self.holders.push(Holder { tenant, held: 0 });
            u32::try_from(self.holders.len() - 1).expect("fewer tenants fit into memory")
        })
    }

    fn hold(&mut self, holder: u32) {
        let it = &mut self.holders[holder as usize];
        self.common += usize::from(it.held >= RESERVED);
        it.held += 1;
    }

    fn release(&mut self, holder: u32) {
        let it = &mut self.holders[holder as usize];
        it.held -= 1;
        self.common -= usize::from(it.held >= RESERVED);
    }
}

#[cfg(test)]
mod tests;
