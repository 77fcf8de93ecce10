//! When the owner wakes by itself: the timers of its aggregates, fired before anything that
//! comes after their instant is decided.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::id::{ActorId, TenantId};
use tokio::time::Instant;
use vault::{Keyring, TenantKeys};

use super::Owner;
use super::batch::Batch;
use super::decisions::NoRoom;
use super::envelope::{Envelope, Read};
use super::inbox::Taken;
use crate::prepare::{self, Ask, keyring_error};
use crate::timers::Timer;

/// How long a batch waits for keys of those whose timers fire, of which most are in memory. In
/// milliseconds: 100. All tenants of the partition wait meanwhile, once a second at most.
const KEYS_TIME_MAX: Duration = Duration::from_millis(100);

/// The most timers fired in one batch. While more are due, requests wait: a decision must not
/// see a state whose time is over.
const TIMERS_MAX: usize = 1_024;

/// How long timers rest that could not be fired, because the log or the vault takes nothing or
/// the clock is wrong. In seconds: 1.
pub(super) const TIMERS_REST: Duration = Duration::from_secs(1);

impl Owner {
    /// Waits for requests, reads or a timer.
    pub(super) async fn next(&mut self) -> Option<Taken<Envelope, Read>> {
        let inbox = self.replica.inbox.clone();
        if inbox.is_elsewhere() {
            return None;
        }
        let present = Instant::now();
        self.tenants_rest.retain(|_, until| *until > present);
        let woken = self.tenants_rest.values().min().copied();
        let Some(due) = self.replica.state.timers.next(&self.tenants_rest) else {
            return tokio::select! {
                taken = inbox.next() => taken,
                () = reach(woken) => Some(inbox.try_next()),
            };
        };
        if let Some(until) = self.timers_rest.filter(|it| *it > Instant::now()) {
            return tokio::select! {
                taken = inbox.next() => taken,
                () = tokio::time::sleep_until(until) => Some(inbox.try_next()),
            };
        }
        self.timers_rest = None;
        if due <= self.replica.parts.clock.now() {
            let now = self.replica.parts.clock.now();
            let overdue =
                self.replica.state.timers.due(now, TIMERS_MAX + 1, &self.tenants_rest).len();
            let nothing = Taken { requests: Vec::new(), reads: Vec::new() };
            return Some(if overdue > TIMERS_MAX { nothing } else { inbox.try_next() });
        }
        tokio::select! {
            taken = inbox.next() => taken,
            () = self.replica.parts.clock.wait_until(due) => Some(inbox.try_next()),
            () = reach(woken) => Some(inbox.try_next()),
        }
    }

    /// The timers to fire at `now`; none while they rest.
    pub(super) fn due(&self, now: DateTime<Utc>) -> BTreeSet<Timer> {
        match self.timers_rest {
            Some(_) => BTreeSet::new(),
            None => self.replica.state.timers.due(now, TIMERS_MAX, &self.tenants_rest),
        }
    }

    /// Leaves timers alone for a while, since they cannot be fired at present.
    pub(super) fn rest_timers(&mut self) {
        self.timers_rest = Some(Instant::now() + TIMERS_REST);
    }

    #[cfg(test)]
    pub(super) fn rest_all(&mut self, keyless: &HashSet<TenantId>) {
        let rests_all =
            self.replica.parts.settings.sabotage == Some(crate::settings::Sabotage::RestAll);
        if rests_all && !keyless.is_empty() {
            self.rest_timers();
        }
    }
}

/// How far the timers came.
#[derive(Debug)]
pub(super) enum Fired {
    /// Every one that was due.
    All,
    /// Until the batch was full. Requests have to wait for the others.
    NotAll,
}

/// Fires timers in the order of their instants, also those that come about by it. Returns
/// whose could not be fired because their keys cannot be had.
pub(super) async fn fire(
    keyring: &Keyring,
    mut due: BTreeSet<Timer>,
    batch: &mut Batch<'_>,
) -> (Fired, HashSet<TenantId>) {
    let mut keyless = HashSet::new();
    let until = Instant::now() + KEYS_TIME_MAX;
    while let Some(timer) = due.pop_first() {
        if keyless.contains(&timer.tenant) {
            continue;
        }
        let prepared = match keys_of(keyring, timer.tenant, until).await {
            Some(keys) => timer_request(timer, keys),
            None => {
                keyless.insert(timer.tenant);
                #[cfg(test)]
                batch.rest_all(&mut due);
                continue;
            }
        };
        match batch.fire(timer, prepared) {
            Ok(next) => due.extend(next),
            Err(NoRoom(_)) => return (Fired::NotAll, keyless),
        }
    }
    (Fired::All, keyless)
}

/// The keys of a tenant, if they are in memory or come before `until`. Else they are in memory once
/// they have come.
async fn keys_of(keyring: &Keyring, tenant: TenantId, until: Instant) -> Option<TenantKeys> {
    if let Some(keys) = keyring.tenant_in_memory(tenant) {
        return Some(keys);
    }
    if Instant::now() >= until {
        return None;
    }
    let asking = keyring.clone();
    let asked =
        tokio::spawn(async move { asking.existing(tenant).await.map_err(|it| keyring_error(&it)) });
    match tokio::time::timeout_at(until, asked).await {
        Ok(keys) => keys.ok()?.ok(),
        Err(_elapsed) => {
            tracing::warn!(%tenant, "the vault gives no keys in time, so timers rest");
            None
        }
    }
}

/// The command a timer stands for; the same each time it is fired.
fn timer_request(timer: Timer, keys: TenantKeys) -> Box<prepare::Prepared> {
    let name = format!("{}/{:?}/{}", timer.stream, timer.kind, timer.at);
    let command = keys.command_id(ActorId::SYSTEM, "timer", &name);
    prepare::own(timer.tenant, command, keys, Ask::Timer(timer))
}

/// Waits until an instant; without one, for ever.
async fn reach(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
