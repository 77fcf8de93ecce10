//! A process that can ask no other, on a log that others could share.
//!
//! It is given its partitions some moments after it has joined, so a request waits for that. Where
//! that does not come about, the log says which setting is missing.

use std::time::Duration;

use commands::{Away, CommandError, Outcome, Request};
use domain::Principal;
use event_log::Partition;
use tokio::time::{Instant, timeout};

use super::sender::{PAUSE, announced};
use crate::context::Context;

/// Submits `request` here, once the partition of its tenant is owned here, within `patience`.
pub(crate) async fn submit(
    here: &Context,
    principal: &Principal,
    request: Request,
    patience: Duration,
) -> Result<Outcome, CommandError> {
    let until = Instant::now() + patience;
    let mut owned = here.commands().owned();
    while let Some(partition) = here.commands().elsewhere(principal.tenant()) {
        owned.mark_unchanged();
        if Instant::now() >= until {
            return Err(not_owned(here, partition));
        }
        // What is announced and what is let in change one after the other.
        drop(timeout(PAUSE, owned.changed()).await);
    }
    match here.submit_here(principal, request).await {
        Err(CommandError::NotOwner(partition)) => Err(not_owned(here, partition)),
        decided => decided,
    }
}

fn not_owned(here: &Context, partition: Partition) -> CommandError {
    tracing::warn!(why = missing(here, partition), "nobody has decided what was asked");
    CommandError::Unavailable(Away::Owner)
}

/// What the operator has to mend.
pub(super) fn missing(here: &Context, partition: Partition) -> String {
    match announced(&here.log().owners().borrow(), partition) {
        Some(address) => format!(
            "partition {partition} is owned by the process at `{address}`, and this one can ask no \
             other: its setting `cluster.listen` is empty"
        ),
        None => format!(
            "partition {partition} is not owned by this process: if it is the only one, it is still \
             joining the owners of the log; if there are others, set `cluster.listen`, which is \
             empty here, for all of them"
        ),
    }
}
