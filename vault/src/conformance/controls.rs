//! The positive controls of the suite: adapters that break the contract fail it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::id::{SubjectId, TenantId};

use crate::MemoryVault;
use crate::port::{BlobName, Blobs, Hold, KeyName, Keys, Slot, VaultError, Wrapped};

/// Which guarantee is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The last creator's key is returned to it, not the first's.
    LastWins,
    /// A destroyed key is removed and not remembered.
    ForgetsDestruction,
    /// A tenant's destruction does nothing.
    SparesTenants,
    /// Nothing is kept.
    KeepsNothing,
    /// Who stores what is there already does not hold it.
    HoldsOnce,
}

/// A vault that breaks the contract in one way.
#[derive(Debug)]
struct Broken {
    fault: Fault,
    vault: MemoryVault,
}

fn broken(fault: Fault) -> Arc<Broken> {
    Arc::new(Broken { fault, vault: MemoryVault::default() })
}

#[async_trait]
impl Keys for Broken {
    async fn get(&self, names: &[KeyName]) -> Result<Vec<Option<Slot>>, VaultError> {
        Keys::get(&self.vault, names).await
    }

    async fn get_or_create(
        &self,
        candidates: &[(KeyName, Wrapped)],
    ) -> Result<Vec<Slot>, VaultError> {
        let slots = self.vault.get_or_create(candidates).await?;
        if self.fault == Fault::LastWins {
            return Ok(candidates.iter().map(|it| Slot::Held(it.1.clone())).collect());
        }
        Ok(slots)
    }

    async fn destroy_subject(
        &self,
        tenant: TenantId,
        subject: SubjectId,
    ) -> Result<(), VaultError> {
        match self.fault {
            Fault::ForgetsDestruction => Ok(()),
            _ => self.vault.destroy_subject(tenant, subject).await,
        }
    }

    async fn destroy_tenant(&self, tenant: TenantId) -> Result<(), VaultError> {
        match self.fault {
            Fault::SparesTenants => Ok(()),
            _ => self.vault.destroy_tenant(tenant).await,
        }
    }
}

#[async_trait]
impl Blobs for Broken {
    async fn put(
        &self,
        tenant: TenantId,
        name: BlobName,
        sealed: Bytes,
        hold: Hold,
    ) -> Result<(), VaultError> {
        if self.fault == Fault::HoldsOnce && Blobs::get(self, tenant, name).await?.is_some() {
            return Ok(());
        }
        self.vault.put(tenant, name, sealed, hold).await
    }

    async fn get(&self, tenant: TenantId, name: BlobName) -> Result<Option<Bytes>, VaultError> {
        Blobs::get(&self.vault, tenant, name).await
    }

    async fn keep(&self, tenant: TenantId, hold: Hold) -> Result<(), VaultError> {
        match self.fault {
            Fault::KeepsNothing => Ok(()),
            _ => self.vault.keep(tenant, hold).await,
        }
    }

    async fn release(&self, tenant: TenantId, hold: Hold) -> Result<(), VaultError> {
        self.vault.release(tenant, hold).await
    }

    async fn remove_tenant(&self, tenant: TenantId) -> Result<(), VaultError> {
        Blobs::remove_tenant(&self.vault, tenant).await
    }
}

#[tokio::test]
#[should_panic(expected = "is_there(1)")]
async fn a_vault_that_keeps_nothing_fails() {
    let vault = broken(Fault::KeepsNothing);
    super::a_blob_stays_while_anybody_holds_it_and_once_it_was_kept(vault).await;
}

#[tokio::test]
#[should_panic(expected = "is_there(1)")]
async fn a_vault_where_only_the_first_holds_fails() {
    let vault = broken(Fault::HoldsOnce);
    super::a_blob_stays_while_anybody_holds_it_and_once_it_was_kept(vault).await;
}

#[tokio::test]
#[should_panic(expected = "is_some()")]
async fn a_vault_where_only_the_first_holds_fails_those_who_come_at_the_same_time() {
    super::who_stores_what_another_releases_has_it(broken(Fault::HoldsOnce)).await;
}

#[tokio::test]
#[should_panic(expected = "assertion `left == right` failed")]
async fn a_vault_where_the_last_creator_wins_fails() {
    super::creators_at_the_same_time_agree(broken(Fault::LastWins)).await;
}

#[tokio::test]
#[should_panic(expected = "assertion `left == right` failed")]
async fn a_vault_that_forgets_a_destruction_fails() {
    super::a_destroyed_subject_never_comes_back(broken(Fault::ForgetsDestruction)).await;
}

#[tokio::test]
#[should_panic(expected = "assertion `left == right` failed")]
async fn a_vault_that_spares_tenants_fails() {
    super::a_destroyed_tenant_takes_its_subjects_along(broken(Fault::SparesTenants)).await;
}
