//! Follows the log and asks for what must happen elsewhere because of it.
//!
//! One follower per partition serves every reaction. It waits for each effect before it goes
//! on, so what a target has handled last bounds what can be left to do; asking again is
//! harmless, because the target's owner keeps count (`handlers::reactions`). Following never
//! decides anything.

use std::time::Duration;

use domain::customer::Role;
use domain::id::{ActorId, CustomerId, TenantId};
use domain::reaction::Reaction;
use domain::{Event, Stream, directory, location, tenant};
use event_log::{Attribute, LogError, Partition, Position, Reader, Recorded};
use vault::KeyringError;

use crate::commands::{Commands, ask};
use crate::owner::envelope::Answer;
use crate::prepare::{Ask, Effect, OpenCustomer, React, internal};
use crate::record::{Header, ReadError, read_event};
use crate::request::CommandError;

/// How many records are looked at at once.
const RECORDS_MAX: usize = 1_024;

/// How long to wait after a failure, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(10));

/// The types of events that something follows from.
const TRIGGERS: [&str; 6] = [
    "callboard.directory.tenant-registered.v1",
    "callboard.directory.tenant-suspended.v1",
    "callboard.directory.tenant-reactivated.v1",
    "callboard.directory.tenant-closed.v1",
    "callboard.location.deregistered.v1",
    "callboard.tenant.closed.v1",
];

/// Why a follower could not go on for now.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("the log cannot be followed")]
    Log(#[from] LogError),
    #[error("a record cannot be read")]
    Read(#[from] ReadError),
    #[error("the keys of a tenant cannot be had")]
    Keyring(#[from] KeyringError),
    #[error("an effect was not accepted")]
    Command(#[from] CommandError),
    #[error("the write side is stopping")]
    Stopping,
}

/// An effect, and on whom.
struct Reacting {
    reaction: Reaction,
    target: TenantId,
    effect: Effect,
}

/// Follows `source` for ever.
pub(crate) async fn follow(commands: Commands, source: Partition) {
    let mut from = None;
    let mut failures = 0;
    loop {
        match follow_from(&commands, source, &mut from, &mut failures).await {
            FollowError::Stopping | FollowError::Log(LogError::Closed) => return,
            error => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(partition = source.0, error, "reactions wait");
            }
        }
        let pause = PAUSE.0.saturating_mul(1 << failures.min(10)).min(PAUSE.1);
        tokio::time::sleep(pause).await;
        failures += 1;
    }
}

/// Follows `source` until something fails; `from` is where to go on after that.
async fn follow_from(
    commands: &Commands,
    source: Partition,
    from: &mut Option<Position>,
    failures: &mut u32,
) -> FollowError {
    match try_follow(commands, source, from, failures).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn try_follow(
    commands: &Commands,
    source: Partition,
    from: &mut Option<Position>,
    failures: &mut u32,
) -> Result<std::convert::Infallible, FollowError> {
    let start = match *from {
        Some(start) => start,
        None => *from.insert(resume(commands, source).await?),
    };
    let mut reader: Box<dyn Reader> = commands.inner().log.read(source, start).await?;
    loop {
        for Recorded { position, record } in reader.next(RECORDS_MAX).await? {
            if TRIGGERS.contains(&record.attribute(Attribute::Type)) {
                let header = Header::of(&record)?;
                let event = read_event(&record, &header, &commands.inner().keyring).await?;
                if let Some(event) = event
                    && let Some(reacting) = reacting(commands, &header, &event).await?
                {
                    carry_out(commands, source, position, &header, reacting).await?;
                }
            }
            *from = Some(position.next());
            *failures = 0;
        }
    }
}

/// Where to begin: everything before was handled, by what the targets have noted.
async fn resume(commands: &Commands, source: Partition) -> Result<Position, FollowError> {
    let handled = commands.handled(source).await.ok_or(FollowError::Stopping)?;
    Ok(handled.map_or(Position::START, |it| Position(it).next()))
}

/// What follows from an event.
async fn reacting(
    commands: &Commands,
    header: &Header,
    event: &Event,
) -> Result<Option<Reacting>, FollowError> {
    let Header { tenant, stream, .. } = *header;
    let follow = |target: TenantId, command| {
        Some(Reacting {
            reaction: Reaction::FollowDirectory,
            target,
            effect: Effect::Follow(command),
        })
    };
    Ok(match event {
        Event::Directory(event) => match event {
            directory::Event::TenantRegistered { tenant, slug, name, .. } => {
                Some(create(commands, *tenant, slug, name).await?)
            }
            directory::Event::TenantSuspended { tenant, reason } => {
                follow(*tenant, tenant::Command::Suspend { reason: *reason })
            }
            directory::Event::TenantReactivated { tenant } => {
                follow(*tenant, tenant::Command::Reactivate)
            }
            directory::Event::TenantClosed { tenant } => follow(*tenant, tenant::Command::Close),
            directory::Event::SlugChanged { .. }
            | directory::Event::HostAdded { .. }
            | directory::Event::HostRemoved { .. } => None,
        },
        Event::Location(location::Event::Deregistered {}) => {
            let Stream::Location(location) = stream else { return Ok(None) };
            Some(Reacting {
                reaction: Reaction::FollowLocation,
                target: tenant,
                effect: Effect::RemoveFollowers { location, from: 0 },
            })
        }
        Event::Tenant(tenant::Event::Closed { .. }) => Some(Reacting {
            reaction: Reaction::CloseInDirectory,
            target: TenantId::SYSTEM,
            effect: Effect::CloseInDirectory(tenant),
        }),
        _ => None,
    })
}

/// The tenant and its own billing account, as they begin.
async fn create(
    commands: &Commands,
    tenant: TenantId,
    slug: &directory::Slug,
    name: &tenant::Name,
) -> Result<Reacting, FollowError> {
    let keys = commands.inner().keyring.tenant(tenant).await?;
    let customer = CustomerId::of_tenant(tenant);
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
    let tenant_command = tenant::Command::Create { slug, name, settings };
    Ok(Reacting {
        reaction: Reaction::FollowDirectory,
        target: tenant,
        effect: Effect::Create { tenant: tenant_command, account },
    })
}

/// Asks the target for the effect, as often as it takes to do all of it.
async fn carry_out(
    commands: &Commands,
    source: Partition,
    position: Position,
    header: &Header,
    reacting: Reacting,
) -> Result<(), FollowError> {
    let Reacting { reaction, target, effect } = reacting;
    let owner = commands.owner_of(target)?;
    let keyring = &commands.inner().keyring;
    let keys = keyring.tenant(target).await?;
    let mut next = Some(effect);
    let mut part = 0;
    while let Some(effect) = next.take() {
        let again = match &effect {
            Effect::RemoveFollowers { location, .. } => Some(*location),
            Effect::Create { .. } | Effect::Follow(_) | Effect::CloseInDirectory(_) => None,
        };
        let name = format!("{reaction:?}/{source}/{position}/{part}");
        let command = keys.command_id(ActorId::SYSTEM, "reaction", &name);
        let (source_partition, source_position) = (source.0, position.0);
        let ask_for = Ask::React(React { reaction, source_partition, source_position, effect });
        let prepared = internal(keyring, target, command, Some(header.id), ask_for).await?;
        match ask(owner, prepared).await? {
            Answer::Done(_) => {}
            Answer::Partly { resume: from } => {
                next = again.map(|location| Effect::RemoveFollowers { location, from });
                part += 1;
            }
            Answer::Refused(error) => return Err(error.into()),
            Answer::Stale(_) | Answer::Remembered(_) => {
                unreachable!("reactions have neither kinds nor idempotency keys")
            }
        }
    }
    Ok(())
}
