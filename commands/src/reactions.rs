//! Follows the log and asks for what must happen elsewhere because of it.
//!
//! One follower per partition serves every reaction. It waits for each effect before it goes
//! on, so what a target has handled last bounds what can be left to do; asking again is
//! harmless, because the target's owner keeps count (`handlers::reactions`). Following never
//! decides anything.

use std::ops::ControlFlow;
use std::time::Duration;

use domain::customer::Role;
use domain::id::{ActorId, CustomerId, LocationId, TenantId};
use domain::reaction::Reaction;
use domain::{Event, Stream, directory, location, tenant};
use event_log::{Attribute, LogError, Partition, Position, Recorded};
use tokio::sync::watch;
use vault::KeyringError;

use crate::commands::{Commands, ask};
use crate::owner::Triggers;
use crate::owner::envelope::Answer;
use crate::prepare::{Ask, Effect, OpenCustomer, React, internal};
use crate::record::{Header, ReadError, read_event};
use crate::request::CommandError;
#[cfg(test)]
use crate::settings::Sabotage;

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

/// An effect that may take several commands.
#[derive(Clone, Copy)]
enum Lengthy {
    RemoveFollowers(LocationId),
    EndSubscriptions,
}

impl Lengthy {
    fn of(effect: &Effect) -> Option<Self> {
        match effect {
            Effect::RemoveFollowers { location, .. } => Some(Self::RemoveFollowers(*location)),
            Effect::EndSubscriptions { .. } => Some(Self::EndSubscriptions),
            Effect::Create { .. } | Effect::Follow(_) | Effect::CloseInDirectory(_) => None,
        }
    }

    /// What is left of it.
    fn from(self, from: u64) -> Effect {
        match self {
            Self::RemoveFollowers(location) => Effect::RemoveFollowers { location, from },
            Self::EndSubscriptions => Effect::EndSubscriptions { from },
        }
    }
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
            | directory::Event::HostRemoved { .. } => false,
        },
        Event::Location(event) => matches!(event, location::Event::Deregistered {}),
        Event::Tenant(event) => matches!(event, tenant::Event::Closed { .. }),
        _ => false,
    }
}

/// Follows a partition for as long as its owner runs.
pub(crate) async fn follow(commands: Commands, source: Partition, triggers: Triggers) {
    let Triggers { upto, mut positions, done } = triggers;
    let mut follower = Follower { commands, source, searched: None, done };
    // What was recorded before the owner started is searched for, what comes after announced.
    if follower.insist(Step::Search { upto }).await.is_break() {
        return;
    }
    follower.done.send_replace(upto);
    while let Some(position) = positions.recv().await {
        if follower.insist(Step::ReactAt(position)).await.is_break() {
            return;
        }
        follower.done.send_replace(position.next());
    }
}

/// Who follows a partition.
struct Follower {
    commands: Commands,
    source: Partition,
    /// How far the search has come.
    searched: Option<Position>,
    /// Before here everything was reacted to.
    done: watch::Sender<Position>,
}

/// What a follower does next.
#[derive(Clone, Copy)]
enum Step {
    /// Look through the log for what is not handled yet.
    Search { upto: Position },
    /// React to what is recorded here.
    ReactAt(Position),
}

impl Follower {
    /// Tries again until it succeeds or nobody is there any more.
    async fn insist(&mut self, step: Step) -> ControlFlow<()> {
        let mut failures = 0;
        loop {
            let done = match step {
                Step::Search { upto } => self.search(upto).await,
                Step::ReactAt(position) => self.react_at(position).await,
            };
            match done {
                Ok(()) => return ControlFlow::Continue(()),
                Err(FollowError::Stopping | FollowError::Log(LogError::Closed)) => {
                    return ControlFlow::Break(());
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(partition = self.source.0, error, "a reaction waits");
                }
            }
            let pause = PAUSE.0.saturating_mul(1 << failures.min(10)).min(PAUSE.1);
            tokio::time::sleep(pause).await;
            failures += 1;
        }
    }

    async fn search(&mut self, upto: Position) -> Result<(), FollowError> {
        let mut from = match self.searched {
            Some(from) => from,
            None => {
                let handled = self.commands.handled(self.source).await;
                let handled = handled.ok_or(FollowError::Stopping)?;
                // Several reactions may follow from one event, and only some be done: begin there.
                let noted = handled.map_or(Position::START, Position);
                let noted = noted.max(*self.done.borrow());
                #[cfg(test)]
                let noted = match self.commands.inner().settings.sabotage {
                    Some(Sabotage::FollowFromStart | Sabotage::ReactAlways) => Position::START,
                    _ => noted,
                };
                noted
            }
        };
        if from >= upto {
            return Ok(());
        }
        let mut reader = self.commands.inner().log.read(self.source, from).await?;
        while from < upto {
            for recorded in reader.next(RECORDS_MAX).await? {
                self.react(&recorded).await?;
                from = recorded.position.next();
                self.searched = Some(from);
                self.done.send_replace(from);
            }
        }
        Ok(())
    }

    async fn react_at(&self, position: Position) -> Result<(), FollowError> {
        let mut reader = self.commands.inner().log.read(self.source, position).await?;
        match reader.next(1).await?.first() {
            Some(recorded) => self.react(recorded).await,
            None => Ok(()),
        }
    }

    async fn react(&self, recorded: &Recorded) -> Result<(), FollowError> {
        let Recorded { position, record } = recorded;
        if !TRIGGERS.contains(&record.attribute(Attribute::Type)) {
            return Ok(());
        }
        let header = Header::of(record)?;
        let event = read_event(record, &header, &self.commands.inner().keyring).await?;
        let Some(event) = event else { return Ok(()) };
        for reacting in reacting(&self.commands, &header, &event).await? {
            carry_out(&self.commands, self.source, *position, &header, reacting).await?;
        }
        Ok(())
    }
}

/// What follows from an event.
async fn reacting(
    commands: &Commands,
    header: &Header,
    event: &Event,
) -> Result<Vec<Reacting>, FollowError> {
    let Header { tenant, stream, .. } = *header;
    let follow = |target: TenantId, command| {
        vec![Reacting {
            reaction: Reaction::FollowDirectory,
            target,
            effect: Effect::Follow(command),
        }]
    };
    Ok(match event {
        Event::Directory(event) => match event {
            directory::Event::TenantRegistered { tenant, slug, name, .. } => {
                vec![create(commands, *tenant, slug, name).await?]
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
            | directory::Event::HostRemoved { .. } => Vec::new(),
        },
        Event::Location(location::Event::Deregistered {}) => {
            let Stream::Location(location) = stream else { return Ok(Vec::new()) };
            vec![Reacting {
                reaction: Reaction::FollowLocation,
                target: tenant,
                effect: Effect::RemoveFollowers { location, from: 0 },
            }]
        }
        Event::Tenant(tenant::Event::Closed { .. }) => vec![
            Reacting {
                reaction: Reaction::EndSubscriptions,
                target: tenant,
                effect: Effect::EndSubscriptions { from: 0 },
            },
            Reacting {
                reaction: Reaction::CloseInDirectory,
                target: TenantId::SYSTEM,
                effect: Effect::CloseInDirectory(tenant),
            },
        ],
        _ => Vec::new(),
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
        let lengthy = Lengthy::of(&effect);
        let name = format!("{reaction:?}/{source}/{position}/{part}");
        let command = keys.command_id(ActorId::SYSTEM, "reaction", &name);
        let (source_partition, source_position) = (source.0, position.0);
        let ask_for = Ask::React(React { reaction, source_partition, source_position, effect });
        let prepared = internal(keyring, target, command, Some(header.id), ask_for).await?;
        match ask(owner, prepared).await?.0 {
            Answer::Done(_) => {}
            Answer::Partly { resume } => {
                next = lengthy.map(|it| it.from(resume));
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
