//! Keeps a tenant that writes a lot at the pace at which its writes are shown.
//!
//! The read models follow the log in order, so what one tenant writes ahead of them keeps the
//! writes of its neighbours from being shown. A tenant may therefore have only so many events that
//! are not shown yet ([`Account`]): few where others write too, many where it is alone. A request
//! that would exceed that waits, and those of one tenant go on in order, one after the other. A
//! tenant that writes now and then does not notice.
//!
//! It is a pace and no promise: nobody waits for a model that has stopped, is being filled or shows
//! nothing, and what reactions and timers write is not counted. A request that waits has no turn of
//! the processors ([`crate::turns`]), but keeps its place among those that are served at a time
//! ([`crate::doors`]). [`HELD_MAX`] bounds how many of these all tenants together can take.

mod account;
mod company;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use commands::{CommandError, Outcome};
use domain::id::TenantId;
use domain::operation::Operation;
use event_log::Position;
use projections::{Projections, ReadModels};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout_at};

use self::account::Account;
use self::company::Company;

/// The longest the first of a tenant's requests waits for what is written to be shown, and how
/// long a request counts whose caller has hung up. In seconds: 2.
const PATIENCE: Duration = Duration::from_secs(2);

/// The tenants that are remembered: 1,024, as many as there are requests served at a time.
const REMEMBERED_MAX: usize = 1_024;

/// The requests that wait here: 512, half of those that are served at a time, so that the other
/// half is left to tenants that need not wait. More are refused.
const HELD_MAX: usize = 512;

/// When a request that was refused may come again. In seconds: 1.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How many events `operation` may come to by itself.
pub(crate) fn events(operation: &Operation) -> usize {
    match operation {
        Operation::ApplyEntities { changes } => changes.len().max(1),
        _ => 1,
    }
}

/// What every tenant has written and may not see yet.
#[derive(Debug)]
pub(crate) struct Pace {
    tenants: Mutex<HashMap<TenantId, Arc<Paced>>>,
    company: Mutex<Company>,
    held: Semaphore,
}

/// One tenant.
#[derive(Debug, Default)]
struct Paced {
    account: Mutex<Account>,
    /// Had by the request that goes on next; the others wait for it in order.
    next: tokio::sync::Mutex<()>,
    /// Wakes that request when the outcome of another one is known.
    ended: Notify,
}

impl Paced {
    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Pace {
    fn default() -> Self {
        let held = Semaphore::new(HELD_MAX);
        Self { tenants: Mutex::default(), company: Mutex::default(), held }
    }
}

impl Pace {
    /// Waits until `tenant` may write so many `events`. They count until the outcome is told.
    ///
    /// # Errors
    ///
    /// [`CommandError::Busy`] if it would have to wait and too many requests do.
    pub(crate) async fn enter(
        &self,
        tenant: TenantId,
        events: usize,
        projections: &Projections,
    ) -> Result<Entry<'_>, CommandError> {
        let Some(paced) = self.paced(tenant) else { return Ok(Entry { pace: self, open: None }) };
        Asked { pace: self, tenant, events, paced: &paced }.go_on(projections).await?;
        Ok(Entry { pace: self, open: Some((tenant, paced, events)) })
    }

    /// What is known of `tenant`; nothing if it is new and there is no room, which takes more
    /// tenants at a time than there are requests served at a time.
    fn paced(&self, tenant: TenantId) -> Option<Arc<Paced>> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if !tenants.contains_key(&tenant) && tenants.len() >= REMEMBERED_MAX {
            // Those of whom no request is under way begin anew when they come back.
            tenants.retain(|_, it| Arc::strong_count(it) > 1);
            if tenants.len() >= REMEMBERED_MAX {
                return None;
            }
        }
        Some(tenants.entry(tenant).or_default().clone())
    }

    /// How many requests wait.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        HELD_MAX - self.held.available_permits()
    }

    /// How many events of `tenant` count.
    #[cfg(test)]
    pub(crate) fn unseen(&self, tenant: TenantId, models: &ReadModels) -> usize {
        let Some(paced) = self.paced(tenant) else { return 0 };
        let mut account = paced.account();
        let upto = shown(&account, models);
        account.see(upto, Instant::now());
        account.unseen()
    }

    fn company(&self) -> MutexGuard<'_, Company> {
        self.company.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that wants to go on.
struct Asked<'a> {
    pace: &'a Pace,
    tenant: TenantId,
    events: usize,
    paced: &'a Paced,
}

impl Asked<'_> {
    /// Completes once it may go on; then it counts.
    async fn go_on(&self, projections: &Projections) -> Result<(), CommandError> {
        let next = self.paced.next.try_lock().ok();
        if next.is_some() && self.may_go_on(&projections.models()) {
            return Ok(());
        }
        let held = self.pace.held.try_acquire();
        let _held = held.map_err(|_| CommandError::Busy { retry_after: RETRY_AFTER })?;
        let _next = match next {
            Some(next) => next,
            None => self.paced.next.lock().await,
        };
        self.wait(&projections.models()).await;
        Ok(())
    }

    /// Whether it may go on now; then it counts.
    fn may_go_on(&self, models: &ReadModels) -> bool {
        let mut account = self.paced.account();
        let (upto, now) = (shown(&account, models), Instant::now());
        account.see(upto, now);
        let lead = account.partition().map(|it| self.pace.company().lead(it, self.tenant, now));
        account.admit(self.events, lead.unwrap_or(&account::BESIDE_OTHERS))
    }

    /// Waits until it may go on, or has waited for long enough.
    async fn wait(&self, models: &ReadModels) {
        let deadline = Instant::now() + PATIENCE;
        let before = shown(&self.paced.account(), models);
        while !self.may_go_on(models) {
            if timeout_at(deadline, self.something_ends(models)).await.is_err() {
                let mut account = self.paced.account();
                let upto = shown(&account, models);
                if upto == before {
                    account.stalled_at(upto);
                }
                return account.reserve(self.events);
            }
        }
    }

    /// Completes once the oldest write is shown or the outcome of another request is known.
    async fn something_ends(&self, models: &ReadModels) {
        let oldest = self.paced.account().oldest();
        let shown = async {
            match oldest {
                Some((partition, position)) => {
                    models.wait_for_followers(partition, position, PATIENCE).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.paced.ended.notified() => (),
            () = shown => (),
        }
    }
}

/// Before which position everything is shown where `account` has written.
fn shown(account: &Account, models: &ReadModels) -> Position {
    account.partition().map_or(Position::START, |it| models.shown_upto(it))
}

/// A request that goes on. If it is dropped before its outcome is told, it may have written.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pace: &'a Pace,
    open: Option<(TenantId, Arc<Paced>, usize)>,
}

impl Entry<'_> {
    /// Tells what the request came to.
    pub(crate) fn end(mut self, outcome: &Result<Outcome, CommandError>) {
        if matches!(outcome, Err(CommandError::Unknown | CommandError::Fault(_))) {
            return;
        }
        let Some((tenant, paced, reserved)) = self.open.take() else { return };
        let mut account = paced.account();
        account.release(reserved);
        if let Ok(it) = outcome
            && !it.events.is_empty()
        {
            let now = Instant::now();
            account.wrote(it.partition, it.position, it.events.len(), now);
            self.pace.company().wrote(it.partition, tenant, now);
        }
        drop(account);
        paced.ended.notify_one();
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Some((_, paced, reserved)) = self.open.take() {
            paced.account().abandon(reserved, Instant::now() + PATIENCE);
        }
    }
}

#[cfg(test)]
mod tests;
