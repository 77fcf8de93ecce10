//! What reactions ask for, each exactly once.

use domain::Stream;
use domain::directory::{self, Directory};
use domain::entity::{self, Entity};
use domain::id::LocationId;
use domain::location::Location;
use domain::member::{self, Member};
use domain::operation::ExpectedRevision;
use domain::reaction;
use domain::role::{BuiltIn, RoleRef};
use domain::subscription::{self, Subscription};
use domain::tenant::Tenant;

use super::{Decision, Refusal};
use crate::prepare::{Effect, React};
#[cfg(test)]
use crate::settings::Sabotage;
use crate::state::{Held, State};

/// After how many streams found no further shard is searched by one command: 500. The last one is
/// finished, so a command changes some 2,500 at most.
const FOUND_ENOUGH: usize = 500;

/// The most shards searched by one command: 16, some 30,000 streams, so that the
/// search never holds up others for longer than a millisecond or two.
const SHARDS_MAX: usize = 16;

impl Decision<'_, '_> {
    /// Carries out the effect of a source event unless that was done; both are one batch.
    ///
    /// An effect that the rules forbid is done with too: it will never be allowed, and what
    /// follows it must not wait for ever.
    pub(super) fn react(&mut self, react: &React) -> Result<(), Refusal> {
        let React { reaction, source_tenant, source_sequence, effect } = react;
        let reactions = self.overlay.reactions(self.tenant);
        let is_new =
            reactions.is_none_or(|it| it.is_new(*reaction, *source_tenant, *source_sequence));
        #[cfg(test)]
        let is_new = is_new || self.around.sabotage == Some(Sabotage::ReactAlways);
        if !is_new {
            return Ok(());
        }
        match effect {
            Effect::Create { tenant, account, owner } => {
                self.decide::<Tenant>(self.tenant, tenant)?;
                self.open_customer(account, ExpectedRevision::Any)?;
                if let Some(owner) = owner {
                    let roles = [RoleRef::BuiltIn(BuiltIn::Owner)].into();
                    self.decide::<Member>(*owner, &member::Command::Add { name: None, roles })?;
                }
            }
            Effect::Follow(command) => self.decide::<Tenant>(self.tenant, command)?,
            Effect::CloseInDirectory(tenant) => {
                let command = directory::Command::CloseTenant { tenant: *tenant };
                self.decide::<Directory>((), &command)?;
            }
            Effect::RemoveFollowers { location, from } => {
                self.remove_followers(*location, *from)?;
            }
            Effect::EndSubscriptions { from } => self.end_subscriptions(*from)?,
        }
        if self.resume.is_some() { Ok(()) } else { self.advance(react) }
    }

    /// Notes that a source event is done with.
    pub(crate) fn advance(&mut self, react: &React) -> Result<(), Refusal> {
        let React { reaction, source_tenant, source_sequence, .. } = *react;
        let event = reaction::Event::Advanced { reaction, source_tenant, source_sequence };
        self.happen(Stream::Reactions, domain::Event::Reaction(event))
    }

    /// Deregisters some of the entities that follow a location which is gone. One that was
    /// registered again in the meantime keeps them.
    fn remove_followers(&mut self, location: LocationId, from: u64) -> Result<(), Refusal> {
        let state = self.overlay.aggregate::<Location>(self.tenant, location);
        if state == Some(&Location::Registered) {
            return Ok(());
        }
        // Nobody begins to follow a location that is gone.
        let (followers, resume) = self.search(from, |stream, held| match (stream, held) {
            (Stream::Entity(id), Held::Entity(it)) if it.location() == Some(location) => Some(*id),
            _ => None,
        });
        for entity in followers {
            let command = entity::Command::RemoveFollower { location };
            self.decide::<Entity>(entity, &command)?;
        }
        self.resume = resume;
        Ok(())
    }

    /// Cancels some of the subscriptions that a closed tenant has bought or sold, as of the
    /// closing.
    fn end_subscriptions(&mut self, from: u64) -> Result<(), Refusal> {
        let state = self.overlay.aggregate::<Tenant>(self.tenant, self.tenant);
        let Some(at) = state.and_then(Tenant::closed_at) else { return Ok(()) };
        // Nobody buys anything of a closed tenant, and it buys nothing.
        let (running, resume) = self.search(from, |stream, held| match (stream, held) {
            (Stream::Subscription(id), Held::Subscription(it)) => it.sale().map(|_| *id),
            _ => None,
        });
        for subscription in running {
            let command = subscription::Command::TenantClosed { at };
            self.decide::<Subscription>(subscription, &command)?;
        }
        self.resume = resume;
        Ok(())
    }

    /// What `wanted` picks from a part of the tenant's shards, and where the next part begins.
    /// Looks at the streams of committed state only, so nothing wanted may come about meanwhile.
    fn search<T>(
        &self,
        from: u64,
        wanted: impl Fn(&Stream, &Held) -> Option<T>,
    ) -> (Vec<T>, Option<u64>) {
        let base: &State = self.overlay.base();
        let mut found = Vec::new();
        let Some(tenant) = base.tenants.get(&self.tenant) else { return (found, None) };
        let mut at = from;
        for (searched, (next, shard)) in tenant.streams.from(from).enumerate() {
            if searched >= SHARDS_MAX || found.len() >= FOUND_ENOUGH {
                return (found, Some(at));
            }
            for stream in shard.slots().keys() {
                let slot = self.overlay.slot(self.tenant, stream);
                found.extend(slot.and_then(|it| wanted(stream, &it.held)));
            }
            match next {
                Some(next) => at = next,
                None => break,
            }
        }
        (found, None)
    }
}
