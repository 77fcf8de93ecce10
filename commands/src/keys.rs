//! The keys of tenants for who writes: made for a tenant that has recorded nothing yet, and for no other.
//!
//! A key that was lost must not be replaced: what was stored under it could not be read with the new one,
//! and once that is there, the old one cannot simply be put back.

use domain::id::TenantId;
use vault::{KeyringError, TenantKeys};

use crate::commands::Commands;
use crate::prepare::{self, keyring_error};
use crate::request::CommandError;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    /// Of the vault.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// Of the log, or of whoever follows it.
    #[error("whether the tenant has recorded anything is not known")]
    State(#[source] CommandError),
}

impl Commands {
    /// The keys of a tenant, under which something is to be recorded.
    pub(crate) async fn keys(&self, tenant: TenantId) -> Result<TenantKeys, KeysError> {
        let keyring = &self.inner().keyring;
        let found = keyring.existing(tenant).await;
        let Err(error @ KeyringError::Missing(_)) = found else { return self.told(tenant, found) };
        match self.newest_sequence(tenant).await {
            Ok(0) => Ok(keyring.tenant(tenant).await?),
            Ok(_) => self.told(tenant, Err(error)),
            Err(error) => Err(KeysError::State(error)),
        }
    }

    /// The same, as long as a request waits for it.
    pub(crate) async fn keys_in_time(&self, tenant: TenantId) -> Result<TenantKeys, CommandError> {
        prepare::in_time(self.keys(tenant), |error| match error {
            KeysError::Keyring(error) => keyring_error(&error),
            KeysError::State(error) => error,
        })
        .await
    }

    /// Tells the operator, once, if a tenant lacks its key.
    fn told(
        &self,
        tenant: TenantId,
        found: Result<TenantKeys, KeyringError>,
    ) -> Result<TenantKeys, KeysError> {
        if let Err(error) = &found
            && error.is_of_one()
            && self.inner().views.lacks_key(tenant)
        {
            tracing::error!(
                %tenant,
                error = error as &dyn std::error::Error,
                "a tenant has no key under which to record anything; put it back into the vault"
            );
        }
        Ok(found?)
    }
}
