//! Opens personal data on its way into a table.

use domain::personal::Personal;
use vault::{Keyring, KeyringError};

use crate::engine::fact::Fact;
use crate::engine::fold::ApplyError;

/// The texts of `personal`, which `fact` says, in order; none where the subject was erased.
///
/// A text that was not sealed for this place makes the event unfit.
pub(crate) async fn open(
    keyring: &Keyring,
    fact: &Fact,
    personal: &[&Personal],
) -> Result<Vec<Option<String>>, ApplyError> {
    match keyring.unseal_many(fact.tenant, personal).await {
        Ok(texts) => Ok(texts),
        Err(KeyringError::Seal(error)) => Err(fact.unfit(error.to_string()).into()),
        Err(KeyringError::TenantErased(_)) => Ok(vec![None; personal.len()]),
        Err(error) => Err(error.into()),
    }
}
