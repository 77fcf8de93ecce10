//! The positive controls: stores of records that break the contract fail it.

use async_trait::async_trait;

use super::*;
use crate::{MemoryVault, VaultError};

/// Which guarantee is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Changes take place one by one, up to the first that cannot.
    CommitsHalf,
    /// What is expected is looked at before, and not held until the end.
    ChecksBefore,
    /// What has ended is still there.
    NeverEnds,
    /// Whatever has an end is removed.
    PurgesEarly,
    /// What has ended is looked for, and removed by its name.
    PurgesByName,
}

#[derive(Debug)]
struct Broken {
    fault: Fault,
    vault: MemoryVault,
}

fn broken(fault: Fault) -> Arc<Broken> {
    Arc::new(Broken { fault, vault: MemoryVault::default() })
}

impl Broken {
    /// The same changes, of whatever state the records are in by now.
    async fn forced(&self, changes: &[Change], now: DateTime<Utc>) -> Vec<Change> {
        let mut forced = Vec::new();
        for change in changes {
            let there = self.vault.get(&[change.name()], now).await.unwrap().pop().flatten();
            forced.push(match (change.clone(), there) {
                (Change::Add(name, next) | Change::Replace(name, _, next), Some(there)) => {
                    Change::Replace(name, there.version, next)
                }
                (change, _) => change,
            });
        }
        forced
    }
}

#[async_trait]
impl Records for Broken {
    async fn get(
        &self,
        names: &[RecordName],
        now: DateTime<Utc>,
    ) -> Result<Vec<Option<Record>>, VaultError> {
        let now = if self.fault == Fault::NeverEnds { DateTime::UNIX_EPOCH } else { now };
        self.vault.get(names, now).await
    }

    async fn commit(
        &self,
        changes: &[Change],
        now: DateTime<Utc>,
    ) -> Result<Committed, VaultError> {
        match self.fault {
            Fault::CommitsHalf => {
                for change in changes {
                    let change = std::slice::from_ref(change);
                    if self.vault.commit(change, now).await? == Committed::Conflict {
                        return Ok(Committed::Conflict);
                    }
                }
                Ok(Committed::Whole)
            }
            Fault::ChecksBefore => {
                for change in changes {
                    let there = self.vault.get(&[change.name()], now).await?.pop().flatten();
                    let expected = match change {
                        Change::Add(..) => None,
                        Change::Replace(_, it, _) | Change::Remove(_, it) => Some(*it),
                    };
                    if there.map(|it| it.version) != expected {
                        return Ok(Committed::Conflict);
                    }
                }
                tokio::task::yield_now().await;
                self.vault.commit(&self.forced(changes, now).await, now).await
            }
            Fault::NeverEnds | Fault::PurgesEarly | Fault::PurgesByName => {
                self.vault.commit(changes, now).await
            }
        }
    }

    async fn purge(&self, now: DateTime<Utc>) -> Result<usize, VaultError> {
        match self.fault {
            Fault::PurgesEarly => self.vault.purge(DateTime::<Utc>::MAX_UTC).await,
            Fault::PurgesByName => {
                tokio::task::yield_now().await;
                self.vault.purge(now + MOMENT).await
            }
            _ => self.vault.purge(now).await,
        }
    }

    async fn remove_tenant(&self, tenant: TenantId) -> Result<(), VaultError> {
        Records::remove_tenant(&self.vault, tenant).await
    }
}

#[tokio::test]
#[should_panic(expected = "assertion `left == right` failed")]
async fn a_vault_that_commits_by_half_fails() {
    several_records_change_together_or_none(broken(Fault::CommitsHalf)).await;
}

#[tokio::test]
#[should_panic(expected = "in round 0")]
async fn a_vault_that_looks_before_it_changes_fails() {
    of_those_who_commit_at_the_same_time_one_is_whole(broken(Fault::ChecksBefore)).await;
}

#[tokio::test]
#[should_panic(expected = "assertion `left == right` failed")]
async fn a_vault_in_which_nothing_ends_fails() {
    a_record_that_has_ended_counts_as_absent(broken(Fault::NeverEnds)).await;
}

#[tokio::test]
#[should_panic(expected = "assertion `left == right` failed")]
async fn a_vault_that_removes_what_has_not_ended_fails() {
    only_what_has_ended_is_removed(broken(Fault::PurgesEarly)).await;
}

#[tokio::test]
#[should_panic(expected = "in round 0")]
async fn a_vault_that_removes_what_was_made_anew_fails() {
    what_is_made_anew_while_what_has_ended_goes_stays(broken(Fault::PurgesByName)).await;
}
