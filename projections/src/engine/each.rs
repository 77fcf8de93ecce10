//! Applies a batch of which something was refused, by the database or the vault or since its fold
//! panicked, so that only the tenant waits whose it was.
//!
//! Each tenant's events are applied for themselves, under a savepoint, and if something of them is
//! refused in ever smaller parts: as if they had come in several batches. Nothing of this happens
//! before something was refused.

use vault::Keyring;

use crate::engine::change::Change;
use crate::engine::checkpoint::Stage;
use crate::engine::fact::{Fact, Unfit};
use crate::engine::fold::ApplyError;
use crate::model::Model;
use crate::store::{self, Connection, Meaning};

/// Whether a batch is applied as a whole or tenant by tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// As a whole, which is fast.
    Whole,
    /// Tenant by tenant, since something was refused.
    Each,
}

/// What became visible, and the first event of each tenant that cannot be applied.
pub(crate) type Applied = (Vec<Change>, Vec<Unfit>);

impl Care {
    /// Applies `facts` to the tables of `model`.
    pub(crate) async fn apply(
        self,
        model: Model,
        keyring: &Keyring,
        transaction: &mut Connection,
        facts: &mut [Fact],
        stage: Stage,
    ) -> Result<Applied, ApplyError> {
        let mut applied = Applied::default();
        if self == Self::Whole {
            applied.0 = model.apply(keyring, transaction, facts, stage).await?;
            return Ok(applied);
        }
        // Stable: those of one tenant stay in their order.
        facts.sort_by_key(|it| it.tenant);
        for own in facts.chunk_by(|one, next| one.tenant == next.tenant) {
            let (changes, unfit) = apply_own(model, keyring, transaction, own, stage).await?;
            applied.0.extend(changes);
            applied.1.extend(unfit);
        }
        Ok(applied)
    }
}

/// Applies the events of one tenant up to the first that cannot be.
async fn apply_own(
    model: Model,
    keyring: &Keyring,
    transaction: &mut Connection,
    facts: &[Fact],
    stage: Stage,
) -> Result<(Vec<Change>, Option<Unfit>), ApplyError> {
    let (mut changes, mut from, mut count) = (Vec::new(), 0, facts.len());
    while from < facts.len() {
        let part = &facts[from..(from + count).min(facts.len())];
        let mut savepoint = store::begin(transaction).await?;
        match model.apply(keyring, &mut savepoint, part, stage).await {
            Ok(more) => {
                savepoint.commit().await?;
                changes.extend(more);
                from += part.len();
            }
            Err(error) => {
                let unfit = unfit_of(error, part)?;
                savepoint.rollback().await?;
                if part.len() == 1 {
                    return Ok((changes, Some(unfit)));
                }
                count = part.len().div_ceil(2);
            }
        }
    }
    Ok((changes, None))
}

/// The event of `part` that cannot be applied, if waiting does not help.
fn unfit_of(error: ApplyError, part: &[Fact]) -> Result<Unfit, ApplyError> {
    let Meaning::Refused(reason) = error.meaning() else { return Err(error) };
    match (error, part.last()) {
        (ApplyError::Unfit(unfit), _) => Ok(unfit),
        (_, Some(last)) => Ok(last.unfit(reason)),
        (error, None) => Err(error),
    }
}
