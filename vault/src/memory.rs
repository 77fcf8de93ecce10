//! A vault in memory, for tests: everything is gone when it is dropped.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::id::{SubjectId, TenantId};

use crate::port::{
    BlobName, Blobs, Change, Committed, CursorName, Cursors, Hold, KeyName, Keys, Moved,
    PURGED_MAX, Record, RecordName, Records, Slot, VaultError, Wrapped, failed,
};

/// A vault in memory.
#[derive(Debug, Default)]
pub struct MemoryVault {
    contents: Mutex<Contents>,
    is_away: AtomicBool,
    makings: AtomicUsize,
    /// Who waits for it while it says nothing.
    silent: Mutex<Option<Vec<Waker>>>,
}

#[derive(Debug, Default)]
struct Contents {
    keys: HashMap<KeyName, Slot>,
    blobs: HashMap<(TenantId, BlobName), Bytes>,
    /// Blobs that were never kept, and who holds them.
    loose: HashMap<(TenantId, BlobName), HashSet<Hold>>,
    cursors: HashMap<CursorName, String>,
    records: BTreeMap<RecordName, Record>,
}

impl MemoryVault {
    /// Fails from now on, as one whose database is away.
    pub fn leave(&self) {
        self.is_away.store(true, Ordering::Release);
    }

    /// Says nothing from now on, as one whose database takes connections and does not answer.
    pub fn fall_silent(&self) {
        self.waiting().get_or_insert_default();
    }

    /// Has everything again that it had before it left or fell silent.
    pub fn come_back(&self) {
        self.is_away.store(false, Ordering::Release);
        self.waiting().take().into_iter().flatten().for_each(Waker::wake);
    }

    /// How often keys were made, of however many names at a time.
    #[must_use]
    pub fn makings(&self) -> usize {
        self.makings.load(Ordering::Acquire)
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Vec<Waker>>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lock(&self) -> Result<MutexGuard<'_, Contents>, VaultError> {
        let heard = poll_fn(|context| match &mut *self.waiting() {
            Some(waiting) => {
                waiting.push(context.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        });
        heard.await;
        if self.is_away.load(Ordering::Acquire) {
            let error = std::io::Error::other("it has left, as a test wants it");
            return Err(failed("looking for itself")(error));
        }
        Ok(self.contents.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Contents {
    fn slot(&self, name: KeyName) -> Option<Slot> {
        match name.parent().and_then(|it| self.keys.get(&it)) {
            Some(Slot::Destroyed) => Some(Slot::Destroyed),
            Some(Slot::Held(_)) | None => self.keys.get(&name).cloned(),
        }
    }
}

#[async_trait]
impl Keys for MemoryVault {
    async fn get(&self, names: &[KeyName]) -> Result<Vec<Option<Slot>>, VaultError> {
        let contents = self.lock().await?;
        Ok(names.iter().map(|it| contents.slot(*it)).collect())
    }

    async fn get_or_create(
        &self,
        candidates: &[(KeyName, Wrapped)],
    ) -> Result<Vec<Slot>, VaultError> {
        let mut contents = self.lock().await?;
        self.makings.fetch_add(1, Ordering::AcqRel);
        let slots = candidates.iter().map(|(name, candidate)| {
            contents.slot(*name).unwrap_or_else(|| {
                let slot = Slot::Held(candidate.clone());
                contents.keys.insert(*name, slot.clone());
                slot
            })
        });
        Ok(slots.collect())
    }

    async fn destroy_subject(
        &self,
        tenant: TenantId,
        subject: SubjectId,
    ) -> Result<(), VaultError> {
        self.lock().await?.keys.insert(KeyName::Subject(tenant, subject), Slot::Destroyed);
        Ok(())
    }

    async fn destroy_tenant(&self, tenant: TenantId) -> Result<(), VaultError> {
        let mut contents = self.lock().await?;
        contents.keys.retain(|it, _| it.parent() != Some(KeyName::Tenant(tenant)));
        contents.keys.insert(KeyName::Tenant(tenant), Slot::Destroyed);
        Ok(())
    }
}

#[async_trait]
impl Blobs for MemoryVault {
    async fn put(
        &self,
        tenant: TenantId,
        name: BlobName,
        sealed: Bytes,
        hold: Hold,
    ) -> Result<(), VaultError> {
        let mut contents = self.lock().await?;
        if let Entry::Vacant(entry) = contents.blobs.entry((tenant, name)) {
            entry.insert(sealed);
            contents.loose.insert((tenant, name), HashSet::new());
        }
        if let Some(holds) = contents.loose.get_mut(&(tenant, name)) {
            holds.insert(hold);
        }
        Ok(())
    }

    async fn keep(&self, tenant: TenantId, hold: Hold) -> Result<(), VaultError> {
        self.lock().await?.loose.retain(|it, holds| it.0 != tenant || !holds.contains(&hold));
        Ok(())
    }

    async fn release(&self, tenant: TenantId, hold: Hold) -> Result<(), VaultError> {
        let mut contents = self.lock().await?;
        let Contents { blobs, loose, .. } = &mut *contents;
        loose.retain(|it, holds| {
            let is_last = it.0 == tenant && holds.remove(&hold) && holds.is_empty();
            if is_last {
                blobs.remove(it);
            }
            !is_last
        });
        Ok(())
    }

    async fn get(&self, tenant: TenantId, name: BlobName) -> Result<Option<Bytes>, VaultError> {
        Ok(self.lock().await?.blobs.get(&(tenant, name)).cloned())
    }

    async fn remove_tenant(&self, tenant: TenantId) -> Result<(), VaultError> {
        let mut contents = self.lock().await?;
        contents.blobs.retain(|it, _| it.0 != tenant);
        contents.loose.retain(|it, _| it.0 != tenant);
        Ok(())
    }
}

#[async_trait]
impl Cursors for MemoryVault {
    async fn get(&self, name: &CursorName) -> Result<Option<String>, VaultError> {
        Ok(self.lock().await?.cursors.get(name).cloned())
    }

    async fn advance(
        &self,
        name: &CursorName,
        expected: Option<&str>,
        next: &str,
    ) -> Result<Moved, VaultError> {
        let mut contents = self.lock().await?;
        let stands = contents.cursors.get(name).cloned();
        if stands.as_deref() != expected {
            return Ok(Moved::Elsewhere(stands));
        }
        contents.cursors.insert(name.clone(), next.to_owned());
        Ok(Moved::Here)
    }

    async fn remove_tenant(&self, tenant: TenantId) -> Result<(), VaultError> {
        self.lock().await?.cursors.retain(|it, _| it.tenant != tenant);
        Ok(())
    }
}

/// Makes a change, unless the record is not as expected.
fn make(records: &mut BTreeMap<RecordName, Record>, change: &Change, now: DateTime<Utc>) -> bool {
    let name = change.name();
    let there = records.get(&name).filter(|it| !has_ended(it, now)).map(|it| it.version);
    let (expected, next) = match change {
        Change::Add(_, record) => (None, Some(record)),
        Change::Replace(_, version, record) => (Some(*version), Some(record)),
        Change::Remove(_, version) => (Some(*version), None),
    };
    if there != expected {
        return false;
    }
    match next {
        Some(record) => records.insert(name, record.clone()),
        None => records.remove(&name),
    };
    true
}

fn has_ended(record: &Record, now: DateTime<Utc>) -> bool {
    record.ends_at.is_some_and(|it| it <= now)
}

#[async_trait]
impl Records for MemoryVault {
    async fn get(
        &self,
        names: &[RecordName],
        now: DateTime<Utc>,
    ) -> Result<Vec<Option<Record>>, VaultError> {
        let contents = self.lock().await?;
        let found = names.iter().map(|it| contents.records.get(it));
        Ok(found.map(|it| it.filter(|it| !has_ended(it, now)).cloned()).collect())
    }

    async fn commit(
        &self,
        changes: &[Change],
        now: DateTime<Utc>,
    ) -> Result<Committed, VaultError> {
        let mut contents = self.lock().await?;
        let mut records = contents.records.clone();
        if !changes.iter().all(|it| make(&mut records, it, now)) {
            return Ok(Committed::Conflict);
        }
        contents.records = records;
        Ok(Committed::Whole)
    }

    async fn purge(&self, now: DateTime<Utc>) -> Result<usize, VaultError> {
        let mut contents = self.lock().await?;
        let ended = contents.records.iter().filter(|it| has_ended(it.1, now));
        let ended: Vec<_> = ended.map(|it| *it.0).take(PURGED_MAX).collect();
        ended.iter().for_each(|it| drop(contents.records.remove(it)));
        Ok(ended.len())
    }

    async fn remove_tenant(&self, tenant: TenantId) -> Result<(), VaultError> {
        self.lock().await?.records.retain(|it, _| it.tenant != tenant);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    crate::conformance::conformance_tests!((
        std::sync::Arc::new(super::MemoryVault::default()),
        ()
    ));
}
