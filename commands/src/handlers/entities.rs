//! Changes of catalog entities.

use domain::Stream;
use domain::catalog::KindSet;
use domain::entity::{Command, Entity, Facts};
use domain::id::CustomerId;
use domain::location::Location;
use domain::subscription::Subscription;
use domain::tenant::Tenant;

use super::{Decision, Refusal};
use crate::prepare::{Claim, Content, EntityChange};
use crate::request::{CommandError, Violation};
use crate::within::Within;

impl Decision<'_, '_> {
    /// Makes every change that whoever asks may make, or none.
    pub(super) fn entities(
        &mut self,
        kinds: KindSet,
        changes: &mut [EntityChange],
        content: Content,
        claim: Option<Claim>,
        within: Option<&Within>,
    ) -> Result<(), Refusal> {
        self.check_entities(claim, changes, within)?;
        self.active()?;
        if content == Content::LeftOut {
            return Err(Refusal::Stale);
        }
        self.still_accepts(kinds)?;
        let entities_max = self.entities_max();
        for EntityChange { entity, reference, command, expected } in changes {
            let stream = Stream::Entity(*entity);
            self.expect(&stream, *expected, reference)?;
            if let Command::Put { location, facts, .. } = command {
                let known = location.and_then(|it| self.overlay.aggregate(self.tenant, it));
                *facts = Facts {
                    entities: self.overlay.tally(self.tenant).entities,
                    entities_max,
                    location: known.copied().unwrap_or(Location::NotRegistered),
                };
            }
            self.decide::<Entity>(*entity, command)?;
        }
        Ok(())
    }

    /// Refuses changes that no catalog of these kinds accepts.
    pub(super) fn malformed(
        &mut self,
        kinds: KindSet,
        violations: &[Violation],
    ) -> Result<(), Refusal> {
        self.still_accepts(kinds)?;
        Err(Refusal::Caller(CommandError::Invalid(violations.to_vec())))
    }

    /// Fails if the catalog accepts other kinds by now than it did when a request was prepared.
    fn still_accepts(&self, kinds: KindSet) -> Result<(), Refusal> {
        let state = self.overlay.aggregate::<Tenant>(self.tenant, self.tenant);
        let accepted = state.and_then(Tenant::profile).map(|it| it.settings.kinds);
        if accepted.is_some_and(|it| it != kinds) { Err(Refusal::Stale) } else { Ok(()) }
    }

    /// How many entities the tenant's own running subscriptions allow; of several the most, as
    /// who buys a second one wants more and not less.
    fn entities_max(&self) -> Option<u64> {
        let account = self.overlay.account(self.tenant, CustomerId::of_tenant(self.tenant))?;
        let subscription = |it| self.overlay.aggregate::<Subscription>(self.tenant, it);
        let limits = account.running.iter().filter_map(|it| subscription(*it));
        // Without a limit in one of them there is none at all.
        let limits: Option<Vec<_>> = limits.map(Subscription::entities_max).collect();
        limits?.into_iter().max()
    }
}
