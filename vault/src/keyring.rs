//! What the write and the read side hold: every key, when it is needed, from memory if lately
//! used.
//!
//! Keys of tenants and subjects are made on first use and durable before anything sealed with
//! them can be stored elsewhere. Destroying one is for ever; another process that serves the
//! same vault must be told (repeat the destruction there: it is idempotent and drops its copy).

mod audit;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use domain::id::{InstallationId, SubjectId, TenantId};
use domain::personal::Personal;
use zeroize::Zeroizing;

use crate::blob_store::BlobStore;
use crate::cache::{Began, Cache};
use crate::cipher::{Cipher, KEY_BYTES, Secret, derive, random_secret};
use crate::issuer::Issuer;
use crate::maker::Maker;
use crate::opaque::{NotOurs, Tokens};
use crate::port::{Blobs, InstallationKey, KeyName, Keys, Records, Slot, VaultError};
use crate::record_store::RecordStore;
use crate::root::Root;
use crate::subject_keys::{SealError, SubjectKey, SubjectKeys};
use crate::tenant_keys::TenantKeys;

/// How many tenants' keys stay in memory: 4,096, some 5 MiB.
const TENANTS_MAX: usize = 4_096;

/// How many subjects' keys stay in memory: 16,384, some 12 MiB.
const SUBJECTS_MAX: usize = 16_384;

/// Why the keyring did not give a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The vault's keys were stored under another root key. For the operator.
    #[error("the vault was made with another root key than the one given")]
    WrongRoot,
    /// A stored key is damaged. For the operator: restore the vault from its backup.
    #[error("the stored key {0:?} is damaged")]
    Damaged(KeyName),
    /// There is no key under which the tenant can have stored anything. For the operator: the vault
    /// has lost it, so restore it from its backup, or is another one.
    #[error("the key of {0} is not in the vault")]
    Missing(TenantId),
    /// The tenant's key was destroyed: all it ever stored is erased.
    #[error("the data of {0} was erased")]
    TenantErased(TenantId),
    /// A personal text could not be unsealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The storage failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl KeyringError {
    /// Whether the vault is away, so that the same may succeed once it is back.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Vault(error) if error.is_away())
    }

    /// Whether it is about the key that was asked for alone, and stays so until that is put back.
    #[must_use]
    pub fn is_of_one(&self) -> bool {
        matches!(self, Self::Damaged(_) | Self::Missing(_))
    }
}

/// Every key of an installation. Cheap to clone.
#[derive(Clone)]
pub struct Keyring(Arc<Inner>);

impl fmt::Debug for Keyring {
    /// Shows no key: whatever holds a keyring may end up in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").finish_non_exhaustive()
    }
}

struct Inner {
    keys: Arc<dyn Keys>,
    maker: Maker,
    blobs: BlobStore,
    records: RecordStore,
    root: Root,
    tokens: Tokens,
    identities: Zeroizing<[u8; 16]>,
    issuer: Issuer,
    installation: InstallationId,
    tenants: Cache<TenantId, TenantKeys>,
    subjects: Cache<(TenantId, SubjectId), SubjectKey>,
}

impl Keyring {
    /// Opens the keys stored in `vault` under `root`, and makes the installation's own on first
    /// use.
    ///
    /// # Errors
    ///
    /// [`KeyringError::WrongRoot`] if they were stored under another root key, or a fault of
    /// the storage.
    pub async fn open<V>(vault: Arc<V>, root: Root) -> Result<Self, KeyringError>
    where
        V: Keys + Blobs + Records + 'static,
    {
        let (keys, blobs) = (vault.clone() as Arc<dyn Keys>, BlobStore::new(vault.clone()));
        let master_name = KeyName::Installation(InstallationKey::Master);
        let issuer_name = KeyName::Installation(InstallationKey::Issuer);
        let candidates = [
            (master_name, root.wrap(master_name, random_secret().as_slice())),
            (issuer_name, root.wrap(issuer_name, &Issuer::generate())),
        ];
        let slots = keys.get_or_create(&candidates).await?;
        let [Slot::Held(master), Slot::Held(issuer)] = slots.as_slice() else {
            return Err(KeyringError::Damaged(master_name));
        };
        let master = root.unwrap(master_name, master).ok_or(KeyringError::WrongRoot)?;
        let master = secret(&master).ok_or(KeyringError::Damaged(master_name))?;
        let issuer = root.unwrap(issuer_name, issuer).and_then(Issuer::new);
        let issuer = issuer.ok_or(KeyringError::Damaged(issuer_name))?;

        let mut identities = Zeroizing::new([0; 16]);
        identities.copy_from_slice(&derive(&master, "usage identity")[..16]);
        let digest = derive(&master, "installation id");
        let digest = *digest.first_chunk().expect("a derived key has 32 bytes");
        let installation = InstallationId::from_digest(digest);
        Ok(Self(Arc::new(Inner {
            tokens: Tokens::new(&master),
            identities,
            issuer,
            installation,
            tenants: Cache::new(TENANTS_MAX),
            subjects: Cache::new(SUBJECTS_MAX),
            maker: Maker::new(keys.clone()),
            keys,
            blobs,
            records: RecordStore::new(vault),
            root,
        })))
    }

    /// The content that is too large for events, which is named and sealed under these keys.
    #[must_use]
    pub fn blobs(&self) -> &BlobStore {
        &self.0.blobs
    }

    /// The records that are named and sealed under these keys.
    #[must_use]
    pub fn records(&self) -> &RecordStore {
        &self.0.records
    }

    /// The keys of a tenant, if they are in memory. For whoever may not wait for the vault.
    #[must_use]
    pub fn tenant_in_memory(&self, tenant: TenantId) -> Option<TenantKeys> {
        self.0.tenants.get(&tenant)
    }

    /// The keys of a tenant, made on first use: for who knows that it has stored nothing yet, or that
    /// nobody could have lost them meanwhile. [`Keyring::existing`] is for all others.
    ///
    /// # Errors
    ///
    /// [`KeyringError::TenantErased`] if they were destroyed, or a fault of the storage.
    pub async fn tenant(&self, tenant: TenantId) -> Result<TenantKeys, KeyringError> {
        match self.existing(tenant).await {
            Err(KeyringError::Missing(_)) => {
                let began = self.0.tenants.begin();
                let slot = self.create(tenant, &[KeyName::Tenant(tenant)]).await?.remove(0);
                self.open_tenant(began, tenant, slot)
            }
            found => found,
        }
    }

    /// The keys of a tenant, for whoever reads what was stored under them. Makes none: what was
    /// stored could not be read with others, and those that are missing could not be put back.
    ///
    /// # Errors
    ///
    /// [`KeyringError::Missing`] if there are none, [`KeyringError::TenantErased`] if they were
    /// destroyed, or a fault of the storage.
    pub async fn existing(&self, tenant: TenantId) -> Result<TenantKeys, KeyringError> {
        if let Some(keys) = self.tenant_in_memory(tenant) {
            return Ok(keys);
        }
        let began = self.0.tenants.begin();
        let slot = self.0.keys.get(&[KeyName::Tenant(tenant)]).await?.pop().flatten();
        self.open_tenant(began, tenant, slot.ok_or(KeyringError::Missing(tenant))?)
    }

    /// The keys of these subjects, those that are missing made in one transaction, which whoever
    /// needs keys at the same time shares. Once this is `Ok` they are durable, so what they seal may
    /// be appended.
    ///
    /// # Errors
    ///
    /// A fault of the storage or a damaged key. That a subject was erased is not an error here.
    pub async fn ensure_subjects(
        &self,
        tenant: TenantId,
        subjects: &[SubjectId],
    ) -> Result<SubjectKeys, KeyringError> {
        let (mut found, began, missing) = self.recall(tenant, subjects);
        if missing.is_empty() {
            return Ok(SubjectKeys::new(tenant, found));
        }
        let mut names: Vec<_> = missing.iter().map(|it| KeyName::Subject(tenant, *it)).collect();
        let slots = self.0.keys.get(&names).await?;
        let mut known = Vec::with_capacity(names.len());
        let mut fresh = Vec::new();
        for (name, slot) in names.drain(..).zip(slots) {
            match slot {
                Some(slot) => known.push((name, slot)),
                None => fresh.push(name),
            }
        }
        if !fresh.is_empty() {
            let slots = self.create(tenant, &fresh).await?;
            known.extend(fresh.into_iter().zip(slots));
        }
        self.remember(began, known, &mut found)?;
        Ok(SubjectKeys::new(tenant, found))
    }

    /// The keys of those of these subjects that have or had one; makes none.
    ///
    /// # Errors
    ///
    /// A fault of the storage or a damaged key.
    pub async fn subjects(
        &self,
        tenant: TenantId,
        subjects: &[SubjectId],
    ) -> Result<SubjectKeys, KeyringError> {
        let (mut found, began, missing) = self.recall(tenant, subjects);
        if missing.is_empty() {
            return Ok(SubjectKeys::new(tenant, found));
        }
        let names: Vec<_> = missing.iter().map(|it| KeyName::Subject(tenant, *it)).collect();
        let slots = self.0.keys.get(&names).await?;
        let known = names.into_iter().zip(slots).filter_map(|(name, slot)| Some((name, slot?)));
        self.remember(began, known, &mut found)?;
        Ok(SubjectKeys::new(tenant, found))
    }

    /// The texts of many personal data of one tenant, in order; none where the subject was
    /// erased.
    ///
    /// # Errors
    ///
    /// [`KeyringError::Seal`] for the first text whose key is lost or which was changed, or a
    /// fault of the storage.
    pub async fn unseal_many(
        &self,
        tenant: TenantId,
        personal: &[&Personal],
    ) -> Result<Vec<Option<String>>, KeyringError> {
        let subjects: Vec<_> = personal.iter().map(|it| it.subject).collect();
        let keys = self.subjects(tenant, &subjects).await?;
        Ok(personal.iter().map(|it| keys.unseal(it)).collect::<Result<_, _>>()?)
    }

    /// Destroys a subject's key: what it sealed, here and in every copy of the log, cannot be
    /// read again, and no such key will be made again. Repeating it is harmless.
    ///
    /// # Errors
    ///
    /// A fault of the storage; then the key may still exist: ask again.
    pub async fn destroy_subject(
        &self,
        tenant: TenantId,
        subject: SubjectId,
    ) -> Result<(), KeyringError> {
        let destroyed = self.0.keys.destroy_subject(tenant, subject).await;
        self.0.subjects.remove(|it| *it == (tenant, subject));
        Ok(destroyed?)
    }

    /// Destroys a tenant's keys and those of all its subjects, like
    /// [`Keyring::destroy_subject`].
    ///
    /// # Errors
    ///
    /// A fault of the storage; then keys may still exist: ask again.
    pub async fn destroy_tenant(&self, tenant: TenantId) -> Result<(), KeyringError> {
        let destroyed = self.0.keys.destroy_tenant(tenant).await;
        self.0.tenants.remove(|it| *it == tenant);
        self.0.subjects.remove(|it| it.0 == tenant);
        destroyed?;
        // Nobody can read it any more; it only takes room.
        self.0.blobs.remove_tenant(tenant).await?;
        Ok(self.0.records.remove_tenant(tenant).await?)
    }

    /// Makes an opaque token of `bytes` that only [`Keyring::unbind`] with the same purpose
    /// and tenant can read. The same bytes make the same token.
    #[must_use]
    pub fn bind(&self, purpose: &str, tenant: TenantId, bytes: &[u8]) -> String {
        self.0.tokens.bind(purpose, tenant, bytes)
    }

    /// The bytes of a token.
    ///
    /// # Errors
    ///
    /// [`NotOurs`] if it was not made here for this purpose and tenant, or was changed.
    pub fn unbind(&self, purpose: &str, tenant: TenantId, token: &str) -> Result<Vec<u8>, NotOurs> {
        self.0.tokens.unbind(purpose, tenant, token)
    }

    /// The local issuer's signing key.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.0.issuer
    }

    /// Which installation this is: the same for the life of the vault, and wherever it is restored.
    #[must_use]
    pub fn installation(&self) -> InstallationId {
        self.0.installation
    }

    /// The key under which usage identities are hashed; the same for the life of the vault.
    #[must_use]
    pub fn identity_key(&self) -> &[u8; 16] {
        &self.0.identities
    }

    /// Unwraps the key in `slot` and keeps it in memory.
    fn open_tenant(
        &self,
        began: Began,
        tenant: TenantId,
        slot: Slot,
    ) -> Result<TenantKeys, KeyringError> {
        let name = KeyName::Tenant(tenant);
        let Slot::Held(wrapped) = slot else { return Err(KeyringError::TenantErased(tenant)) };
        let key = self.0.root.unwrap(name, &wrapped).as_deref().and_then(|it| secret(it));
        let keys = TenantKeys::new(tenant, &key.ok_or(KeyringError::Damaged(name))?);
        self.0.tenants.put(began, tenant, keys.clone());
        Ok(keys)
    }

    /// Which of `subjects` are in memory and which are not, each once.
    fn recall(
        &self,
        tenant: TenantId,
        subjects: &[SubjectId],
    ) -> (HashMap<SubjectId, SubjectKey>, Began, Vec<SubjectId>) {
        let began = self.0.subjects.begin();
        let mut found = HashMap::with_capacity(subjects.len());
        let mut missing = Vec::new();
        for subject in subjects {
            if found.contains_key(subject) {
                continue;
            }
            match self.0.subjects.get(&(tenant, *subject)) {
                Some(key) => drop(found.insert(*subject, key)),
                None => missing.push(*subject),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        (found, began, missing)
    }

    /// Unwraps slots of subjects and keeps them in memory and in `found`.
    fn remember(
        &self,
        began: Began,
        slots: impl IntoIterator<Item = (KeyName, Slot)>,
        found: &mut HashMap<SubjectId, SubjectKey>,
    ) -> Result<(), KeyringError> {
        for (name, slot) in slots {
            let KeyName::Subject(tenant, subject) = name else { continue };
            let key = match slot {
                Slot::Destroyed => SubjectKey::Erased,
                Slot::Held(wrapped) => {
                    let key = self.0.root.unwrap(name, &wrapped);
                    let key = key.as_deref().and_then(|it| secret(it));
                    let key = key.ok_or(KeyringError::Damaged(name))?;
                    SubjectKey::Live(Arc::new(Cipher::gcm(&key)))
                }
            };
            self.0.subjects.put(began, (tenant, subject), key.clone());
            found.insert(subject, key);
        }
        Ok(())
    }

    /// Makes keys of `tenant` for these names, unless somebody else does at this moment.
    async fn create(&self, tenant: TenantId, names: &[KeyName]) -> Result<Vec<Slot>, VaultError> {
        let fresh = |name: &KeyName| self.0.root.wrap(*name, random_secret().as_slice());
        let candidates: Vec<_> = names.iter().map(|it| (*it, fresh(it))).collect();
        self.0.maker.make(tenant, candidates).await
    }
}

fn secret(bytes: &[u8]) -> Option<Secret> {
    let bytes: &[u8; KEY_BYTES] = bytes.try_into().ok()?;
    Some(Zeroizing::new(*bytes))
}

#[cfg(test)]
mod tests;
