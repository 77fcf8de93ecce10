//! Records, sealed under their tenant's keys and named by keyed digests.
//!
//! Who reads the storage learns neither what a record is called nor what it says, and cannot put
//! one in the place of another: a value is bound to its tenant, kind and name.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::id::TenantId;

use crate::port::{
    Change, Committed, Record, RecordKind, RecordName, Records, VaultError, Version,
};
use crate::tenant_keys::TenantKeys;

/// The most one record may hold before it is sealed. In bytes: 16 KiB, many times what an account
/// needs.
pub const RECORD_BYTES_MAX: usize = 16 * 1024;

/// Why records were not changed or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The caller's value is too large.
    #[error("expected at most {RECORD_BYTES_MAX} bytes, got {0}")]
    TooLarge(usize),
    /// What is stored was not sealed for this place. Somebody must look.
    #[error("a stored record of the kind `{}` is damaged", .0.name())]
    Damaged(RecordKind),
    /// The storage failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// A record as its tenant sees it.
#[derive(Clone, PartialEq, Eq)]
pub struct Known {
    /// Which state it is in.
    pub version: Version,
    /// From when on it counts as absent; none if never.
    pub ends_at: Option<DateTime<Utc>>,
    /// What it says.
    pub value: Vec<u8>,
}

impl std::fmt::Debug for Known {
    /// Shows no value: it may be what proves who somebody is.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Known");
        shown.field("version", &self.version).field("ends_at", &self.ends_at);
        shown.finish_non_exhaustive()
    }
}

/// Changes to records of one tenant that take place together or not at all.
#[derive(Clone, Debug)]
pub struct Changes {
    keys: TenantKeys,
    changes: Vec<Change>,
    bytes_max: usize,
}

impl Changes {
    /// None yet, to records of the tenant whose keys these are.
    #[must_use]
    pub fn of(keys: &TenantKeys) -> Self {
        Self { keys: keys.clone(), changes: Vec::new(), bytes_max: 0 }
    }

    /// And the record of this name says `value` from then on: one that is new, or that was in the
    /// state `before`.
    #[must_use]
    pub fn put(
        mut self,
        (kind, name): (RecordKind, &str),
        before: Option<Version>,
        value: &[u8],
        ends_at: Option<DateTime<Utc>>,
    ) -> Self {
        let name = self.keys.record_name(kind, name);
        let sealed = self.keys.seal_record(&name, value).into();
        let record = Record { version: Version::random(), ends_at, sealed };
        self.bytes_max = self.bytes_max.max(value.len());
        self.changes.push(match before {
            None => Change::Add(name, record),
            Some(before) => Change::Replace(name, before, record),
        });
        self
    }

    /// And the record of this name, in the state `before`, goes.
    #[must_use]
    pub fn remove(mut self, (kind, name): (RecordKind, &str), before: Version) -> Self {
        self.changes.push(Change::Remove(self.keys.record_name(kind, name), before));
        self
    }
}

/// Stores and reads records for tenants whose keys the caller holds.
#[derive(Clone, Debug)]
pub struct RecordStore(Arc<dyn Records>);

impl RecordStore {
    /// A store over `records`.
    #[must_use]
    pub fn new(records: Arc<dyn Records>) -> Self {
        Self(records)
    }

    /// The record of this name; none if there is none, or it has ended.
    ///
    /// # Errors
    ///
    /// [`RecordError::Damaged`] if it was not sealed for this tenant, kind and name, or a fault of the
    /// storage.
    pub async fn get(
        &self,
        keys: &TenantKeys,
        (kind, name): (RecordKind, &str),
        now: DateTime<Utc>,
    ) -> Result<Option<Known>, RecordError> {
        let found = self.get_all(keys, &[(kind, name)], now).await?;
        Ok(found.into_iter().next().flatten())
    }

    /// The same of several, in order.
    ///
    /// # Errors
    ///
    /// See [`RecordStore::get`].
    pub async fn get_all(
        &self,
        keys: &TenantKeys,
        names: &[(RecordKind, &str)],
        now: DateTime<Utc>,
    ) -> Result<Vec<Option<Known>>, RecordError> {
        let names: Vec<_> = names.iter().map(|it| keys.record_name(it.0, it.1)).collect();
        let found = self.0.get(&names, now).await?;
        names.iter().zip(found).map(|(name, it)| open(keys, name, it)).collect()
    }

    /// Makes all of `changes`, or none.
    ///
    /// # Errors
    ///
    /// [`RecordError::TooLarge`], or a fault of the storage; then they may have been made.
    pub async fn commit(
        &self,
        changes: &Changes,
        now: DateTime<Utc>,
    ) -> Result<Committed, RecordError> {
        if changes.bytes_max > RECORD_BYTES_MAX {
            return Err(RecordError::TooLarge(changes.bytes_max));
        }
        Ok(self.0.commit(&changes.changes, now).await?)
    }

    /// Removes some records that have ended, of whatever tenant, and says how many.
    ///
    /// # Errors
    ///
    /// A fault of the storage; then ask again.
    pub async fn purge(&self, now: DateTime<Utc>) -> Result<usize, VaultError> {
        self.0.purge(now).await
    }

    /// Removes everything a tenant ever stored.
    ///
    /// # Errors
    ///
    /// A fault of the storage; then ask again.
    pub async fn remove_tenant(&self, tenant: TenantId) -> Result<(), VaultError> {
        self.0.remove_tenant(tenant).await
    }
}

fn open(
    keys: &TenantKeys,
    name: &RecordName,
    record: Option<Record>,
) -> Result<Option<Known>, RecordError> {
    let Some(Record { version, ends_at, sealed }) = record else { return Ok(None) };
    let value = keys.open_record(name, &sealed).ok_or(RecordError::Damaged(name.kind))?;
    Ok(Some(Known { version, ends_at, value }))
}

#[cfg(test)]
mod tests;
