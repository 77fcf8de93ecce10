//! Reads what is too large for events from the vault.

use domain::blob::BlobName;
use domain::id::TenantId;
use vault::{BlobError, Keyring, KeyringError};

/// Why content that an event names was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LargeError {
    /// It is not there as it was stored. Somebody must look: restore the vault from its backup.
    #[error("{0}")]
    Lost(String),
    /// The vault failed: it may succeed later.
    #[error(transparent)]
    Vault(#[from] KeyringError),
}

/// How much content these names stand for. In bytes.
pub(crate) fn bytes(names: &[BlobName]) -> usize {
    let lengths = names.iter().map(|it| usize::try_from(it.length).unwrap_or(usize::MAX));
    lengths.fold(0, usize::saturating_add)
}

/// The contents of these names, in order; none where the tenant was erased.
pub(crate) async fn read(
    keyring: &Keyring,
    tenant: TenantId,
    names: &[BlobName],
) -> Result<Vec<Option<String>>, LargeError> {
    let mut contents = Vec::with_capacity(names.len());
    if names.is_empty() {
        return Ok(contents);
    }
    let keys = match keyring.existing(tenant).await {
        Ok(keys) => keys,
        Err(KeyringError::TenantErased(_)) => return Ok(vec![None; names.len()]),
        Err(error) => return Err(error.into()),
    };
    for name in names {
        let lost = || LargeError::Lost(format!("the vault does not hold the content {name}"));
        let content = match keyring.blobs().get(&keys, *name).await {
            Ok(content) => content.ok_or_else(lost)?,
            Err(BlobError::Vault(error)) => return Err(KeyringError::from(error).into()),
            Err(error @ (BlobError::Damaged(_) | BlobError::TooLarge(_))) => {
                return Err(LargeError::Lost(error.to_string()));
            }
        };
        let content = String::from_utf8(content);
        contents.push(Some(content.map_err(|_| LargeError::Lost(format!("{name} is no text")))?));
    }
    Ok(contents)
}
