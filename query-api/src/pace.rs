//! Keeps a tenant that writes a lot at the pace at which its writes are shown.
//!
//! The read models follow the log in order, so what one tenant writes ahead of them keeps the
//! writes of its neighbours from being shown. Whoever has written a number of events since one
//! that is not shown after a moment therefore waits with the next request until that is. A tenant
//! that writes now and then does not notice.
//!
//! It is a pace and no promise: requests that wait go on together, nobody waits for a model that
//! has stopped or is being filled, and nobody waits for long.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::id::TenantId;
use event_log::{Partition, Position};
use projections::ReadModels;
use tokio::time::Instant;

/// How long a write may be unseen before its tenant waits with the next one. In milliseconds: 50,
/// some time longer than the read models let a crowd of events gather.
const UNSEEN_MAX: Duration = Duration::from_millis(50);

/// How many events a tenant is ahead before it waits: 16. Beside a busy neighbour, whose events
/// come first, a few are unseen for no fault of its own.
const AHEAD_MIN: usize = 16;

/// The longest a request waits for that. In seconds: 2.
const PATIENCE: Duration = Duration::from_secs(2);

/// The tenants that are remembered after they stopped writing: 1,024.
const REMEMBERED_MAX: usize = 1_024;

/// What each tenant has written and may not have seen yet.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<HashMap<TenantId, Unseen>>);

/// The oldest write of a tenant that it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unseen {
    partition: Partition,
    position: Position,
    since: Instant,
    /// How many events it wrote from there on.
    events: usize,
}

impl Unseen {
    fn is_too_far_ahead(&self) -> bool {
        self.events >= AHEAD_MIN && self.since.elapsed() > UNSEEN_MAX
    }
}

impl Pace {
    /// Waits until `tenant` may write, if it must.
    pub(crate) async fn keep(&self, tenant: TenantId, models: &ReadModels) {
        let unseen = self.lock().get(&tenant).copied();
        let Some(unseen) = unseen.filter(Unseen::is_too_far_ahead) else { return };
        models.wait_for_followers(unseen.partition, unseen.position, PATIENCE).await;
        let mut all = self.lock();
        if all.get(&tenant).is_some_and(|it| it.position == unseen.position) {
            all.remove(&tenant);
        }
    }

    /// Notes that `tenant` has written so many events, the last at `position`.
    pub(crate) fn wrote(
        &self,
        tenant: TenantId,
        partition: Partition,
        position: Position,
        events: usize,
    ) {
        let mut all = self.lock();
        if all.len() >= REMEMBERED_MAX {
            all.retain(|_, it| it.since.elapsed() < PATIENCE);
        }
        let since = Instant::now();
        let first = || Unseen { partition, position, since, events: 0 };
        all.entry(tenant).or_insert_with(first).events += events;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Unseen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
