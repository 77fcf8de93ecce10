//! The keys that sign audit trails, as the vault keeps them: numbered, and none ever taken away.

use super::{Keyring, KeyringError};
use crate::audit_key::{AUDIT_KEYS_MAX, AuditKey};
use crate::port::{InstallationKey, KeyName, Slot};

impl Keyring {
    /// The keys that sign audit trails, the oldest first; the last one signs. The first is made on first
    /// use. They are read each time, so that every process signs with a new one at once.
    ///
    /// # Errors
    ///
    /// A fault of the storage or a damaged key.
    pub async fn audit_keys(&self) -> Result<Vec<AuditKey>, KeyringError> {
        let names: Vec<_> = (1..=AUDIT_KEYS_MAX).map(name).collect();
        let slots = self.0.keys.get(&names).await?;
        let held = names.into_iter().zip(slots).zip(1..);
        let keys = held.filter_map(|((name, slot), generation)| {
            slot.map(|it| self.open_audit_key(name, generation, &it))
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Ok(vec![self.make_audit_key(1).await?]) } else { Ok(keys) }
    }

    /// Makes the key that signs audit trails from now on. Those before it stay. None if there are
    /// [`AUDIT_KEYS_MAX`] already.
    ///
    /// # Errors
    ///
    /// As for [`Keyring::audit_keys`].
    pub async fn replace_audit_key(&self) -> Result<Option<AuditKey>, KeyringError> {
        let newest = self.audit_keys().await?.last().map_or(0, AuditKey::generation);
        if newest == AUDIT_KEYS_MAX {
            return Ok(None);
        }
        self.make_audit_key(newest + 1).await.map(Some)
    }

    async fn make_audit_key(&self, generation: u32) -> Result<AuditKey, KeyringError> {
        let name = name(generation);
        let candidate = self.0.root.wrap(name, &AuditKey::generate());
        let slot = self.0.keys.get_or_create(&[(name, candidate)]).await?.pop();
        self.open_audit_key(name, generation, &slot.ok_or(KeyringError::Damaged(name))?)
    }

    fn open_audit_key(
        &self,
        name: KeyName,
        generation: u32,
        slot: &Slot,
    ) -> Result<AuditKey, KeyringError> {
        let Slot::Held(wrapped) = slot else { return Err(KeyringError::Damaged(name)) };
        let pkcs8 = self.0.root.unwrap(name, wrapped);
        let key = pkcs8.and_then(|it| AuditKey::new(generation, &it));
        key.ok_or(KeyringError::Damaged(name))
    }
}

fn name(generation: u32) -> KeyName {
    KeyName::Installation(InstallationKey::Audit(generation))
}
