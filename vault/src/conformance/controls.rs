//! The positive controls of the suite: adapters that break the contract fail it.

use std::sync::Arc;

use async_trait::async_trait;
use domain::id::{SubjectId, TenantId};

use crate::MemoryVault;
use crate::port::{KeyName, Keys, Slot, VaultError, Wrapped};

/// Which guarantee is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The last creator's key is returned to it, not the first's.
    LastWins,
    /// A destroyed key is removed and not remembered.
    ForgetsDestruction,
    /// A tenant's destruction does nothing.
    SparesTenants,
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
            Fault::LastWins | Fault::SparesTenants => {
                self.vault.destroy_subject(tenant, subject).await
            }
        }
    }

    async fn destroy_tenant(&self, tenant: TenantId) -> Result<(), VaultError> {
        match self.fault {
            Fault::SparesTenants => Ok(()),
            Fault::LastWins | Fault::ForgetsDestruction => self.vault.destroy_tenant(tenant).await,
        }
    }
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
