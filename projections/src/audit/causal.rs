//! What a command has caused: its own events, what followed from them, and what followed from that.
//!
//! What follows from an event is decided by reactions, each a command of its own whose events name that event
//! as their cause. What follows in another tenant is in that one's trail, and not here.

use std::collections::BTreeSet;

use domain::Principal;
use domain::id::CommandId;

use super::{AuditFilter, AuditRow, Read, fetch, scoped};
use crate::error::ReadError;
use crate::read_models::ReadModels;

/// The most events that are told of one command: 1,000. A location that is forgotten takes more entities with
/// it; those are found by their cause.
pub const CAUSED_MAX: u32 = 1_000;

/// One more than that, which shows that there is more.
const FETCHED: u32 = CAUSED_MAX + 1;

/// The most steps from a command that are followed: 16, several times as many as any reaction leads to.
pub const STEPS_MAX: u32 = 16;

/// An event, and how many reactions lie between it and the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caused {
    /// 0 for an event of the command itself.
    pub step: u32,
    /// The event.
    pub row: AuditRow,
}

/// What one command has caused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CausalTree {
    /// By step, and in the order of the tenant's history within one.
    pub caused: Vec<Caused>,
    /// Whether there is more that is not told, past [`CAUSED_MAX`], or may be, past [`STEPS_MAX`].
    pub is_cut: bool,
}

/// What `command` of the principal's tenant has caused there.
///
/// # Errors
///
/// [`ReadError`].
pub async fn tree(
    models: &ReadModels,
    principal: &Principal,
    command: CommandId,
) -> Result<CausalTree, ReadError> {
    let (mut tree, mut known) = (CausalTree::default(), BTreeSet::new());
    let most = CAUSED_MAX as usize;
    let mut asked = AuditFilter { command: Some(command), ..AuditFilter::default() };
    for step in 0.. {
        let rows = step_of(models, principal, &asked).await?;
        let rows: Vec<_> = rows.into_iter().filter(|it| known.insert(it.id)).collect();
        asked =
            AuditFilter { causes: rows.iter().map(|it| it.id).collect(), ..AuditFilter::default() };
        let left = most - tree.caused.len();
        tree.is_cut = rows.len() > left || (step == STEPS_MAX && !rows.is_empty());
        tree.caused.extend(rows.into_iter().take(left).map(|row| Caused { step, row }));
        if tree.is_cut || asked.causes.is_empty() {
            break;
        }
    }
    Ok(tree)
}

/// The first events of `filter`, oldest first, and one more than is told.
async fn step_of(
    models: &ReadModels,
    principal: &Principal,
    filter: &AuditFilter,
) -> Result<Vec<AuditRow>, ReadError> {
    let Some(mut sql) = scoped(principal, Read::Rows, filter)? else { return Ok(Vec::new()) };
    sql.push(" ORDER BY sequence LIMIT ").bind(FETCHED);
    fetch(models, sql).await
}
