//! Removes records of the vault that have ended: they count as absent, and only take room. And accounts of
//! who is no member any more.

use std::collections::HashMap;
use std::time::Duration;

use chrono::Utc;
use commands::Commands;
use query_api::accounts::forget_former;
use vault::port::PURGED_MAX;
use vault::{Keyring, RecordStore, VaultError};

/// How often to look for records that have ended. In seconds: 60.
const LOOKED_FOR_EVERY: Duration = Duration::from_secs(60);

/// Removes them now and then, for ever. Several processes may do so at the same time.
pub(crate) async fn keep(commands: Commands, keyring: Keyring) {
    let mut forgotten = HashMap::new();
    loop {
        tokio::time::sleep(LOOKED_FOR_EVERY).await;
        if let Err(error) = tidy(keyring.records()).await {
            tracing::warn!(error = ?error, "records that have ended stay in the vault");
        }
        if let Err(error) = forget_former(&commands, &keyring, &mut forgotten).await {
            tracing::warn!(error = ?error, "accounts of former members stay in the vault");
        }
    }
}

/// Removes all that have ended by now, some at a time.
async fn tidy(records: &RecordStore) -> Result<(), VaultError> {
    while records.purge(Utc::now()).await? >= PURGED_MAX {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;
    use domain::id::TenantId;
    use vault::{Changes, Committed, Keyring, MemoryVault, RecordKind, Root};

    use super::*;

    #[tokio::test]
    async fn all_that_have_ended_go_and_others_stay() {
        let root = Root::from_bytes(&[7; 32].into());
        let keyring = Keyring::open(Arc::new(MemoryVault::default()), root).await.unwrap();
        let keys = keyring.tenant(TenantId::SYSTEM).await.unwrap();
        let past = Utc::now() - TimeDelta::hours(1);
        let mut changes = Changes::of(&keys).put((RecordKind::Setup, "stays"), None, b"1", None);
        for it in 0..2 * PURGED_MAX + 5 {
            let name = format!("ended {it}");
            changes = changes.put((RecordKind::Attempts, &name), None, b"1", Some(past));
        }
        let before = past - TimeDelta::hours(1);
        let records = keyring.records();
        assert_eq!(records.commit(&changes, before).await.unwrap(), Committed::Whole);
        tidy(records).await.unwrap();
        let ended = (RecordKind::Attempts, "ended 2004");
        let names = [(RecordKind::Setup, "stays"), ended];
        let found = records.get_all(&keys, &names, before).await.unwrap();
        assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
    }
}
