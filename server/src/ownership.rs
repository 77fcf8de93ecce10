//! Who owns an installation in which nobody owns anything yet: the command line of whoever holds its
//! root key.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result};
use commands::{CommandError, Commands, Request};
use domain::Principal;
use domain::id::{ActorId, TenantId};
use domain::operation::Operation;
use domain::role::{BuiltIn, RoleName};
use event_log::{EventLog, Partition};

/// When to try again after a failure. In seconds: 1.
const PAUSE: Duration = Duration::from_secs(1);

/// How often to look for tenants without members although nothing is owned here anew. In seconds: 60.
const LOOKED_FOR_EVERY: Duration = Duration::from_secs(60);

/// How long a start waits until somebody owns the installation. In seconds: 60, for a group of
/// processes may have to agree on who has its partition first.
const CLAIMED_TIME_MAX: Duration = Duration::from_secs(60);

/// The same where another process serves that partition. In seconds: 5; it only has to be heard
/// of, and if it cannot make anybody an owner, nor can we.
const HEARD_TIME_MAX: Duration = Duration::from_secs(5);

/// Makes `actor` an owner of the system tenant if that has no member, and so of every other tenant:
/// those of before there were members. Only where the partition is owned here.
///
/// # Errors
///
/// If the write side cannot answer.
async fn claim(commands: &Commands, actor: ActorId) -> Result<()> {
    let directory = commands.directory();
    let tenants = std::iter::once(TenantId::SYSTEM).chain(directory.entries().map(|it| it.0));
    for tenant in tenants.filter(|it| !commands.has_members(*it)) {
        if commands.elsewhere(tenant).is_some() {
            continue;
        }
        let roles = BTreeSet::from([RoleName::from(BuiltIn::Owner)]);
        let add = Operation::AddMember { member: actor, name: None, roles };
        match commands.submit(&Principal::system(tenant), Request::new(add)).await {
            Ok(_) => {}
            // Another process decides by now, or the tenant cannot change any more.
            Err(CommandError::NotOwner(_) | CommandError::Rejected { .. }) => {}
            Err(error) => return Err(error).context("the installation has no owner"),
        }
    }
    Ok(())
}

/// The same at once, whenever this process comes to own a partition, and now and then, for ever: a
/// tenant that is suspended takes no member.
pub(crate) async fn keep(commands: Commands, actor: ActorId) {
    let mut owned = commands.owned();
    loop {
        owned.mark_unchanged();
        if let Err(error) = claim(&commands, actor).await {
            tracing::error!(error = format!("{error:#}"), "the installation may have no owner");
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        if let Ok(Err(_ended)) = tokio::time::timeout(LOOKED_FOR_EVERY, owned.changed()).await {
            return;
        }
    }
}

/// Waits, bounded, until somebody owns the installation as far as is known here: whoever sees that a
/// process is ready expects that its operators are let in.
pub(crate) async fn known(commands: &Commands, log: &dyn EventLog) {
    let system = TenantId::SYSTEM;
    let mut owners = log.owners();
    let is_served_elsewhere = async {
        let served = owners.wait_for(|owners| {
            let address = |it: Partition| owners.get(it.0 as usize).and_then(Option::as_ref);
            commands.elsewhere(system).and_then(address).is_some()
        });
        if served.await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(HEARD_TIME_MAX).await;
    };
    let has_owner = tokio::select! {
        it = commands.has_members_within(system, CLAIMED_TIME_MAX) => it,
        () = is_served_elsewhere => commands.has_members(system),
    };
    if !has_owner {
        tracing::warn!("nobody owns the installation yet, so its operators are not let in");
    }
}
