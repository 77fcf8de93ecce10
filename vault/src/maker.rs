//! The making of keys: whoever needs some at the same time shares one transaction of the vault.
//!
//! Nobody waits for company. Who comes while nothing is under way begins at once, and whoever comes
//! meanwhile goes together next, the tenants in turn ([`queue`]). A tenant whose keys are being
//! destroyed just now is left to itself, so that others do not wait for that.

mod queue;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::id::TenantId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::port::{KeyName, Keys, Slot, VaultError, Wrapped, failed};
use queue::{Group, Queue, Request};

/// How long whoever needs keys waits while others of the tenant are being destroyed. In seconds: 5.
const HELD_TIME_MAX: Duration = Duration::from_secs(5);

/// How long to wait before that is tried again. In milliseconds: 10.
const PAUSE: Duration = Duration::from_millis(10);

/// Whoever made keys has ended. Nobody knows whether these were made.
#[derive(Debug, thiserror::Error)]
#[error("nobody has said whether they were made")]
struct Unanswered;

/// Makes keys.
#[derive(Debug)]
pub(crate) struct Maker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keys: Arc<dyn Keys>,
    queue: Mutex<Queue>,
}

impl Maker {
    pub(crate) fn new(keys: Arc<dyn Keys>) -> Self {
        Self(Arc::new(Inner { keys, queue: Mutex::default() }))
    }

    /// Like [`Keys::get_or_create`], of keys of one tenant. They are made also if nobody waits for
    /// them any more, once it was begun.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails, if too many keys of the tenant are waited for, or if
    /// others are being destroyed for long.
    pub(crate) async fn make(
        &self,
        tenant: TenantId,
        candidates: Vec<(KeyName, Wrapped)>,
    ) -> Result<Vec<Slot>, VaultError> {
        let (answer, made) = oneshot::channel();
        if self.0.queue().add(tenant, Request { candidates, answer })? {
            begin(self.0.clone());
        }
        made.await.unwrap_or_else(|_| Err(failed("creating keys")(Unanswered)))
    }
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the keys of `groups` in one transaction, and answers; unless keys of one of the
    /// tenants cannot be made just now.
    async fn try_make(self: Arc<Self>, groups: Vec<Group>) -> Result<(), (Vec<Group>, VaultError)> {
        let requests = groups.iter().flat_map(|it| &it.requests);
        let candidates: Vec<_> = requests.flat_map(|it| it.candidates.iter().cloned()).collect();
        match self.keys.get_or_create(&candidates).await {
            Ok(slots) => {
                let mut slots = slots.into_iter();
                for Request { candidates, answer } in groups.into_iter().flat_map(|it| it.requests)
                {
                    // Nobody may be waiting any more.
                    let _ = answer.send(Ok(slots.by_ref().take(candidates.len()).collect()));
                }
                Ok(())
            }
            Err(error) if error.is_held() => Err((groups, error)),
            Err(error) => {
                refuse(groups, &error);
                Ok(())
            }
        }
    }

    /// The same, where a panic costs no more than the answers.
    async fn make(self: &Arc<Self>, groups: Vec<Group>) -> Result<(), (Vec<Group>, VaultError)> {
        tokio::spawn(self.clone().try_make(groups)).await.unwrap_or(Ok(()))
    }
}

fn refuse(groups: Vec<Group>, error: &VaultError) {
    for it in groups.into_iter().flat_map(|it| it.requests) {
        let _ = it.answer.send(Err(error.clone()));
    }
}

fn begin(inner: Arc<Inner>) {
    tokio::spawn(work(inner));
}

/// Makes what is waited for, until that is nothing.
async fn work(inner: Arc<Inner>) {
    loop {
        let Some(groups) = inner.queue().take() else { return };
        if let Err((groups, _held)) = inner.make(groups).await {
            for group in groups {
                inner.queue().set_apart(group.tenant);
                leave(inner.clone(), group);
            }
        }
    }
}

fn leave(inner: Arc<Inner>, group: Group) {
    tokio::spawn(work_apart(inner, group));
}

/// Makes keys of a tenant of which others were being destroyed.
async fn work_apart(inner: Arc<Inner>, group: Group) {
    let (tenant, until) = (group.tenant, Instant::now() + HELD_TIME_MAX);
    let mut groups = vec![group];
    while let Err((held, error)) = inner.make(groups).await {
        if Instant::now() >= until {
            refuse(held, &error);
            break;
        }
        groups = held;
        tokio::time::sleep(PAUSE).await;
    }
    if inner.queue().take_back(tenant) {
        begin(inner);
    }
}

#[cfg(test)]
mod tests;
