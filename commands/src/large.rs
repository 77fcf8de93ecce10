//! Content too large for an event, on its way to be named by one.
//!
//! It is stored before its request is decided, under a hold of the request's own in the vault, and
//! nothing that is held is removed. Once the answer is there the hold ends: content that events
//! name is kept for good, the rest is removed unless others hold or have kept it. So an event never
//! names what is gone, whatever requests with the same content end as meanwhile, here or in other
//! processes; while the answer is unknown the hold stays.
//!
//! Whoever is killed in between leaves a hold, and content of at most what was under way. A
//! repetition that is accepted keeps it, else the tenant takes it along; nothing sweeps it. A sweep
//! would have to learn from the log which commands of dead holds were recorded.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::id::TenantId;
use domain::tenant::Standing;
use tokio::runtime::Handle;
use tracing::Instrument as _;
use vault::{BlobStore, Hold, Keyring, TenantKeys};

use crate::away::Away;
use crate::commands::Commands;
use crate::prepare::Prepared;
use crate::request::{CommandError, IdempotencyKey, Outcome};
#[cfg(test)]
use crate::settings::Sabotage;

/// When to ask again while the tenant has as much under way as it may have. In seconds: 1.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How much large content the requests of each tenant have under way in this process. In bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Underway(Arc<Mutex<HashMap<TenantId, usize>>>);

/// What one request takes of it, until it is dropped.
#[derive(Debug)]
struct Room {
    underway: Underway,
    tenant: TenantId,
    bytes: usize,
}

impl Underway {
    /// Takes the content of one more request in, if with it the tenant has at most `bytes_max`
    /// under way or nothing else.
    fn enter(
        &self,
        tenant: TenantId,
        bytes: usize,
        bytes_max: usize,
    ) -> Result<Room, CommandError> {
        let mut all = self.lock();
        let held = all.entry(tenant).or_default();
        if *held > 0 && *held + bytes > bytes_max {
            return Err(CommandError::Busy { retry_after: RETRY_AFTER });
        }
        *held += bytes;
        Ok(Room { underway: self.clone(), tenant, bytes })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Entry::Occupied(mut held) = self.underway.lock().entry(self.tenant) {
            *held.get_mut() -= self.bytes;
            if *held.get() == 0 {
                held.remove();
            }
        }
    }
}

/// The content of one request while it is stored, which nothing can have named yet.
#[derive(Debug)]
struct Storing(Option<Stored>);

/// The content of one request that may be named.
#[derive(Debug)]
struct Stored {
    blobs: BlobStore,
    tenant: TenantId,
    hold: Hold,
    _room: Room,
    #[cfg(test)]
    sabotage: Option<Sabotage>,
}

impl Drop for Storing {
    /// Whoever goes away before its request is queued leaves nothing.
    fn drop(&mut self) {
        if let Some(stored) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move { stored.release().await });
        }
    }
}

impl Stored {
    /// Ends the hold as the outcome says. While that is unknown it stays.
    async fn settle(self, outcome: &Result<Outcome, CommandError>) {
        match outcome {
            Err(CommandError::Unknown) => {}
            Ok(outcome) if !outcome.events.is_empty() => self.keep().await,
            Ok(_) | Err(_) => self.release().await,
        }
    }

    async fn keep(&self) {
        #[cfg(test)]
        if self.sabotage == Some(Sabotage::KeepNothing) {
            return self.release().await;
        }
        if let Err(error) = self.blobs.keep(self.tenant, self.hold).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(tenant = %self.tenant, error, "content stays held");
        }
    }

    async fn release(&self) {
        if let Err(error) = self.blobs.release(self.tenant, self.hold).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(tenant = %self.tenant, error, "content that nothing names stays");
        }
    }
}

impl Commands {
    /// Stores content, asks the owner, and removes it again if nothing comes of it.
    pub(crate) async fn decide_large(
        &self,
        mut prepared: Box<Prepared>,
        content: Vec<String>,
        key: Option<IdempotencyKey>,
    ) -> Result<Outcome, CommandError> {
        let (inner, tenant, command) = (self.inner(), prepared.tenant, prepared.command);
        if self.is_idle(tenant) {
            prepared.leave_content_out();
            return self.decide(prepared, key).await;
        }
        let bytes = content.iter().map(String::len).sum();
        let room = inner.underway.enter(tenant, bytes, inner.settings.large_bytes_max)?;
        let hold = Hold::random();
        #[cfg(test)]
        let hold = match inner.settings.sabotage {
            Some(Sabotage::OneHold) => Hold(uuid::Uuid::nil()),
            _ => hold,
        };
        let mut storing = Storing(Some(Stored {
            blobs: inner.keyring.blobs().clone(),
            tenant,
            hold,
            _room: room,
            #[cfg(test)]
            sabotage: inner.settings.sabotage,
        }));
        store(&inner.keyring, &prepared.keys, content, hold).await?;
        let Some(stored) = storing.0.take() else { return Err(CommandError::Unknown) };
        let commands = self.clone();
        let deciding = async move {
            let outcome = commands.decide(prepared, key).await;
            stored.settle(&outcome).await;
            outcome
        };
        #[cfg(test)]
        if inner.settings.sabotage == Some(Sabotage::GoAway) {
            return deciding.await;
        }
        // Its hold has to end by what is answered, also when nobody waits for that any more.
        tokio::spawn(deciding.in_current_span()).await.unwrap_or_else(|error| {
            tracing::error!(%command, error = &error as &dyn std::error::Error, "no answer");
            Err(CommandError::Unknown)
        })
    }

    /// Whether a tenant may not change anything, as far as is known: its owner knows.
    fn is_idle(&self, tenant: TenantId) -> bool {
        #[cfg(test)]
        if self.inner().settings.sabotage == Some(Sabotage::StoreFirst) {
            return false;
        }
        self.inner().views.standing(tenant) != Standing::Active
    }
}

/// Stores what is too large for events, before anything is queued that names it.
async fn store(
    keyring: &Keyring,
    keys: &TenantKeys,
    content: Vec<String>,
    hold: Hold,
) -> Result<(), CommandError> {
    for content in content {
        if let Err(error) = keyring.blobs().put(keys, content.as_bytes(), hold).await {
            tracing::error!(error = &error as &dyn std::error::Error, "content was not stored");
            return Err(CommandError::Unavailable(Away::Vault));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
