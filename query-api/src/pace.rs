//! No tenant writes faster than its writes are shown.
//!
//! The read models follow the log in order, so what one tenant writes ahead of them keeps the
//! writes of its neighbours from being shown. Whoever has written something that is not shown
//! after a moment therefore waits with the next request until it is. A tenant that writes now and
//! then never notices; one that floods is as fast as what it floods.
//!
//! It is a pace and no promise: nobody waits for a model that has stopped or is being filled, and
//! nobody waits for long.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::id::TenantId;
use event_log::{Partition, Position};
use projections::ReadModels;
use tokio::time::Instant;

/// How long a write may be unseen before its tenant waits with the next one. In milliseconds: 20.
const UNSEEN_MAX: Duration = Duration::from_millis(20);

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
}

impl Pace {
    /// Waits until `tenant` may write, if it must.
    pub(crate) async fn keep(&self, tenant: TenantId, models: &ReadModels) {
        let unseen = self.lock().get(&tenant).copied();
        let Some(unseen) = unseen.filter(|it| it.since.elapsed() > UNSEEN_MAX) else { return };
        models.wait_for_followers(unseen.partition, unseen.position, PATIENCE).await;
        let mut all = self.lock();
        if all.get(&tenant) == Some(&unseen) {
            all.remove(&tenant);
        }
    }

    /// Notes that `tenant` has written at `position`.
    pub(crate) fn wrote(&self, tenant: TenantId, partition: Partition, position: Position) {
        let mut all = self.lock();
        if all.len() >= REMEMBERED_MAX {
            all.retain(|_, it| it.since.elapsed() < PATIENCE);
        }
        all.entry(tenant).or_insert_with(|| Unseen { partition, position, since: Instant::now() });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Unseen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
