//! When aggregates want to be woken, in order.
//!
//! A timer is nothing but what an aggregate's state says it is: it is never stored, and it is
//! gone as soon as the state it belongs to moves on. That, and not a record of having fired, is
//! why it takes effect once.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use domain::Stream;
use domain::aggregate::{Due, DueKind};
use domain::id::TenantId;

/// A promise of one aggregate to act at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timer {
    pub(crate) at: DateTime<Utc>,
    pub(crate) tenant: TenantId,
    pub(crate) stream: Stream,
    pub(crate) kind: DueKind,
}

/// Until when the timers of these tenants are left alone, since their keys cannot be had.
pub(crate) type Resting = HashMap<TenantId, tokio::time::Instant>;

/// The timers of a partition, the next one first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timers(BTreeSet<Timer>);

impl Timers {
    /// Exchanges the timer a stream had for the one it has now.
    pub(crate) fn replace(
        &mut self,
        tenant: TenantId,
        stream: Stream,
        before: Option<Due>,
        now: Option<Due>,
    ) {
        if before == now {
            return;
        }
        let timer = |Due { at, kind }| Timer { at, tenant, stream, kind };
        if let Some(due) = before {
            self.0.remove(&timer(due));
        }
        self.0.extend(now.map(timer));
    }

    /// When the first one is due, leaving out these tenants.
    pub(crate) fn next(&self, resting: &Resting) -> Option<DateTime<Utc>> {
        self.0.iter().find(|it| !resting.contains_key(&it.tenant)).map(|it| it.at)
    }

    /// The first ones that are due at `now`, at most `count_max`, leaving out these tenants.
    pub(crate) fn due(
        &self,
        now: DateTime<Utc>,
        count_max: usize,
        resting: &Resting,
    ) -> BTreeSet<Timer> {
        let due = self.0.iter().take_while(|it| it.at <= now);
        let awake = due.filter(|it| !resting.contains_key(&it.tenant));
        awake.take(count_max).copied().collect()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets one until its state changes: it fired and nothing came of it.
    pub(crate) fn remove(&mut self, timer: &Timer) {
        self.0.remove(timer);
    }
}
