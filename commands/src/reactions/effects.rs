//! What follows from an event, and how its target is asked for it.

use domain::customer::Role;
use domain::id::{ActorId, CustomerId, EventId, LocationId, TenantId};
use domain::reaction::Reaction;
use domain::{Event, Stream, directory, location, tenant};
use event_log::{Attribute, Partition, Position, Recorded};
use vault::KeyringError;

use super::FollowError;
use crate::commands::{Commands, ask};
use crate::keys::KeysError;
use crate::owner::envelope::Answer;
use crate::peers;
use crate::prepare::{Ask, Effect, OpenCustomer, React, internal};
use crate::record::{Header, read_event};
use crate::request::CommandError;
#[cfg(test)]
use crate::settings::Sabotage;

/// The types of events that something follows from.
const TRIGGERS: [&str; 6] = [
    "callboard.directory.tenant-registered.v1",
    "callboard.directory.tenant-suspended.v1",
    "callboard.directory.tenant-reactivated.v1",
    "callboard.directory.tenant-closed.v1",
    "callboard.location.deregistered.v1",
    "callboard.tenant.closed.v1",
];

/// An effect, on whom, and of what.
#[derive(Clone, Debug)]
pub(super) struct Reacting {
    pub(super) reaction: Reaction,
    pub(super) target: TenantId,
    /// Where its cause is in the partition that is followed.
    pub(super) position: Position,
    cause: Cause,
    wanted: Wanted,
}

/// The event that something follows from.
#[derive(Clone, Copy, Debug)]
struct Cause {
    id: EventId,
    /// Whose it is.
    tenant: TenantId,
    /// Which of its tenant's.
    sequence: u64,
}

/// An effect that was not prepared yet.
#[derive(Clone, Debug)]
enum Wanted {
    Create { slug: directory::Slug, name: tenant::Name, owner: Option<ActorId> },
    Follow(tenant::Command),
    CloseInDirectory(TenantId),
    RemoveFollowers(LocationId),
    EndSubscriptions,
}

/// Whether something may follow from an event.
pub(crate) fn is_trigger(event: &Event) -> bool {
    match event {
        Event::Directory(event) => match event {
            directory::Event::TenantRegistered { .. }
            | directory::Event::TenantSuspended { .. }
            | directory::Event::TenantReactivated { .. }
            | directory::Event::TenantClosed { .. } => true,
            directory::Event::SlugChanged { .. }
            | directory::Event::HostAdded { .. }
            | directory::Event::HostRemoved { .. }
            | directory::Event::LevelRaised { .. } => false,
        },
        Event::Location(event) => matches!(event, location::Event::Deregistered {}),
        Event::Tenant(event) => matches!(event, tenant::Event::Closed { .. }),
        _ => false,
    }
}

/// What follows from what is recorded, in short: which reactions, and on whom.
pub(crate) fn effects_of(
    kind: &str,
    header: &Header,
    event: Option<&Event>,
) -> Vec<(Reaction, TenantId)> {
    if !TRIGGERS.contains(&kind) {
        return Vec::new();
    }
    match (header.stream, event) {
        (Stream::Location(_), _) => vec![(Reaction::FollowLocation, header.tenant)],
        (Stream::Tenant(_), _) => vec![
            (Reaction::EndSubscriptions, header.tenant),
            (Reaction::CloseInDirectory, TenantId::SYSTEM),
        ],
        (_, Some(Event::Directory(event))) => match event {
            directory::Event::TenantRegistered { tenant, .. }
            | directory::Event::TenantSuspended { tenant, .. }
            | directory::Event::TenantReactivated { tenant }
            | directory::Event::TenantClosed { tenant } => {
                vec![(Reaction::FollowDirectory, *tenant)]
            }
            directory::Event::SlugChanged { .. }
            | directory::Event::HostAdded { .. }
            | directory::Event::HostRemoved { .. }
            | directory::Event::LevelRaised { .. } => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// What follows from what is recorded.
///
/// Only events of the directory are read, so that the keys of no tenant, which may be gone, are
/// needed to find out.
pub(super) async fn reacting(
    commands: &Commands,
    recorded: &Recorded,
) -> Result<Vec<Reacting>, FollowError> {
    let Recorded { position, record } = recorded;
    if !TRIGGERS.contains(&record.attribute(Attribute::Type)) {
        return Ok(Vec::new());
    }
    let header = Header::of(record)?;
    let Header { tenant, stream, id, sequence, .. } = header;
    let cause = Cause { id, tenant, sequence };
    let react = |reaction, target, wanted| Reacting {
        reaction,
        target,
        position: *position,
        cause,
        wanted,
    };
    let follow = |target, wanted| vec![react(Reaction::FollowDirectory, target, wanted)];
    Ok(match stream {
        Stream::Location(location) => {
            vec![react(Reaction::FollowLocation, tenant, Wanted::RemoveFollowers(location))]
        }
        Stream::Tenant(_) => vec![
            react(Reaction::EndSubscriptions, tenant, Wanted::EndSubscriptions),
            react(Reaction::CloseInDirectory, TenantId::SYSTEM, Wanted::CloseInDirectory(tenant)),
        ],
        _ => match read_event(record, &header, &commands.inner().keyring).await? {
            Some(Event::Directory(event)) => match event {
                directory::Event::TenantRegistered { tenant, slug, name, owner, .. } => {
                    follow(tenant, Wanted::Create { slug, name, owner })
                }
                directory::Event::TenantSuspended { tenant, reason } => {
                    follow(tenant, Wanted::Follow(tenant::Command::Suspend { reason }))
                }
                directory::Event::TenantReactivated { tenant } => {
                    follow(tenant, Wanted::Follow(tenant::Command::Reactivate))
                }
                directory::Event::TenantClosed { tenant } => {
                    follow(tenant, Wanted::Follow(tenant::Command::Close))
                }
                directory::Event::SlugChanged { .. }
                | directory::Event::HostAdded { .. }
                | directory::Event::HostRemoved { .. }
                | directory::Event::LevelRaised { .. } => Vec::new(),
            },
            _ => Vec::new(),
        },
    })
}

impl Wanted {
    /// The effect, without what is already done of it.
    fn effect(&self, commands: &Commands, keys: &vault::TenantKeys, from: u64) -> Effect {
        match self {
            Self::Create { slug, name, owner } => {
                let customer = CustomerId::of_tenant(keys.tenant());
                let subject = keys.subject_id(&customer.to_string());
                let account = Box::new(OpenCustomer {
                    customer,
                    role: Role::Itself,
                    name: keys.personal(subject, name.as_str()),
                    contact: None,
                    currency: None,
                    time_zone: None,
                });
                let (slug, name) = (slug.clone(), name.clone());
                let settings = commands.inner().settings.tenants.clone();
                let tenant = tenant::Command::Create { slug, name, settings };
                Effect::Create { tenant, account, owner: *owner }
            }
            Self::Follow(command) => Effect::Follow(command.clone()),
            Self::CloseInDirectory(tenant) => Effect::CloseInDirectory(*tenant),
            Self::RemoveFollowers(location) => {
                Effect::RemoveFollowers { location: *location, from }
            }
            Self::EndSubscriptions => Effect::EndSubscriptions { from },
        }
    }
}

/// Whether the target has noted that it has done what follows from that event of a tenant, as far
/// as is known here. What it has noted it never forgets.
pub(super) async fn is_handled(
    commands: &Commands,
    (reaction, target): (Reaction, TenantId),
    (source_tenant, source_sequence): (TenantId, u64),
) -> bool {
    let Ok(owner) = commands.find(target).await else { return false };
    let handled = owner.peek(move |state| {
        let reactions = state.reactions(target);
        reactions.is_some_and(|it| !it.is_new(reaction, source_tenant, source_sequence))
    });
    handled.await.unwrap_or(false)
}

/// Asks another process, which owns the target's partition.
async fn ask_peer(
    commands: &Commands,
    owner: Partition,
    cause: peers::Cause,
) -> Result<(), FollowError> {
    let Some(peers) = &commands.inner().settings.peers else {
        return Err(CommandError::NotOwner(owner).into());
    };
    Ok(peers.react(owner, cause).await?)
}

/// Asks the target for the effect, as often as it takes to do all of it.
pub(super) async fn carry_out(
    commands: &Commands,
    source: Partition,
    reacting: &Reacting,
) -> Result<(), FollowError> {
    let Reacting { reaction, target, position, cause, wanted } = reacting;
    let (reaction, target) = (*reaction, *target);
    let (source_tenant, source_sequence) = (cause.tenant, cause.sequence);
    let handled = is_handled(commands, (reaction, target), (source_tenant, source_sequence)).await;
    #[cfg(test)]
    let handled = handled && commands.inner().settings.sabotage != Some(Sabotage::ReactAlways);
    if handled {
        return Ok(());
    }
    let owner = commands.find(target).await?;
    if owner.is_elsewhere() {
        let cause = peers::Cause { source, position: *position, target };
        return ask_peer(commands, owner.partition, cause).await;
    }
    let keyring = &commands.inner().keyring;
    let keys = match commands.keys(target).await {
        Err(KeysError::Keyring(KeyringError::TenantErased(_))) => {
            tracing::warn!(%target, ?reaction, "nothing follows for a tenant that was erased");
            return Ok(());
        }
        keys => keys?,
    };
    let mut from = Some(0);
    let mut part = 0;
    while let Some(begin) = from.take() {
        let effect = wanted.effect(commands, &keys, begin);
        let name = format!("{reaction:?}/{source_tenant}/{source_sequence}/{part}");
        let command = keys.command_id(ActorId::SYSTEM, "reaction", &name);
        let ask_for = Ask::React(React { reaction, source_tenant, source_sequence, effect });
        let prepared = internal(keyring, keys.clone(), command, Some(cause.id), ask_for).await?;
        match ask(owner, prepared).await?.0 {
            Answer::Done(_) => {}
            Answer::Partly { resume } => {
                from = Some(resume);
                part += 1;
            }
            Answer::Refused(error) => return Err(error.into()),
            Answer::Stale | Answer::Remembered(_) => {
                unreachable!("reactions have neither kinds nor idempotency keys")
            }
        }
    }
    Ok(())
}
