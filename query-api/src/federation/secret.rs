//! By what Callboard proves to a provider who it is: a record of the vault, and in no event.

use chrono::Utc;
use domain::id::{ProviderId, TenantId};
use vault::{Changes, Committed, Keyring, KeyringError, RecordError, RecordKind};

use crate::accounts::AccountFault;

/// The longest secret, in bytes: 1,024, more than any provider gives.
pub(crate) const SECRET_MAX: usize = 1_024;

/// Keeps the secret of a provider that is about to be added.
///
/// # Errors
///
/// A fault of the vault.
pub(crate) async fn keep(
    keyring: &Keyring,
    tenant: TenantId,
    provider: ProviderId,
    secret: &str,
) -> Result<(), KeyringError> {
    let keys = keyring.existing(tenant).await?;
    let name = provider.to_string();
    let place = (RecordKind::ProviderSecret, name.as_str());
    let changes = Changes::of(&keys).put(place, None, secret.as_bytes(), None);
    match keyring.records().commit(&changes, Utc::now()).await {
        // Its identity was drawn for it a moment ago, so there was none.
        Ok(Committed::Whole | Committed::Conflict) => Ok(()),
        Err(RecordError::Vault(error)) => Err(error.into()),
        Err(error @ (RecordError::TooLarge(_) | RecordError::Damaged(_))) => {
            unreachable!("it is short and nothing is read: {error}")
        }
    }
}

/// The secret of a provider; none if it was added without one.
///
/// # Errors
///
/// A fault of the vault.
pub(crate) async fn of(
    keyring: &Keyring,
    tenant: TenantId,
    provider: ProviderId,
) -> Result<Option<String>, AccountFault> {
    let keys = keyring.existing(tenant).await?;
    let name = provider.to_string();
    let place = (RecordKind::ProviderSecret, name.as_str());
    let known = keyring.records().get(&keys, place, Utc::now()).await?;
    Ok(known.map(|it| String::from_utf8_lossy(&it.value).into_owned()))
}

/// Forgets the secret of a provider that was not added, or was removed. If that fails it stays, sealed,
/// and nobody asks for it.
pub(crate) async fn forget(keyring: &Keyring, tenant: TenantId, provider: ProviderId) {
    let name = provider.to_string();
    let place = (RecordKind::ProviderSecret, name.as_str());
    let forgetting = async {
        let keys = keyring.existing(tenant).await?;
        if let Some(known) = keyring.records().get(&keys, place, Utc::now()).await? {
            let changes = Changes::of(&keys).remove(place, known.version);
            let _: Committed = keyring.records().commit(&changes, Utc::now()).await?;
        }
        Ok::<_, AccountFault>(())
    };
    if let Err(error) = forgetting.await {
        tracing::warn!(error = ?error, %provider, "the secret of a provider that is gone stays in the vault");
    }
}
