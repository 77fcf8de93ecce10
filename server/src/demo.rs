//! `callboard up --demo`: three tenants with a believable organisation each.
//!
//! Everything but keys and tokens follows from one seed and today's date, so that two demos of
//! a day are the same. [`organisation`] makes catalogs, [`usage`] makes 90 days of usage, [`members`]
//! those who may do something.

mod members;
mod organisation;
mod random;
pub(crate) mod seed;
mod usage;

use chrono::NaiveDate;
use domain::id::{ActorId, CustomerId, PlanId, SubscriptionId, TenantId};
use domain::operation::Operation;
use uuid::Uuid;

use members::Members;
use random::Random;

/// What the demo's data follows from.
pub(crate) const SEED: u64 = 0x0ca1_1b0a_4d00;

/// One tenant of the demo and what is done on its behalf, in order.
pub(crate) struct Tenant {
    /// Its identity.
    pub id: TenantId,
    /// Its slug.
    pub slug: &'static str,
    /// Its display name.
    pub name: &'static str,
    /// What is done there, the last of it once everything else was.
    pub operations: Vec<Operation>,
    /// The API key that one of its members issues.
    pub key: (ActorId, Operation),
}

/// What the operator publishes and what the tenants do, for a demo begun on `today`.
pub(crate) struct Demo {
    /// The operator's plans.
    pub catalogue: Vec<Operation>,
    /// The tenants.
    pub tenants: Vec<Tenant>,
}

/// The slugs and names of the tenants.
const TENANTS: [(&str, &str); 3] = [
    ("brightwater", "Brightwater Logistics"),
    ("halcyon-bank", "Halcyon Bank"),
    ("orchard-games", "Orchard Games"),
];

impl Demo {
    /// Makes the demo of this day.
    pub(crate) fn new(today: NaiveDate) -> Self {
        let mut random = Random::new(SEED);
        let plans: Vec<PlanId> = (0..3).map(|_| PlanId(random.uuid())).collect();
        let catalogue = usage::catalogue(&plans);
        // Of their own, so that everything else is as it was before there were members.
        let mut others = Random::new(SEED + 1);
        let tenants = TENANTS
            .into_iter()
            .zip(plans)
            .map(|((slug, name), plan)| {
                let members = members::members(slug, today, &mut others);
                tenant(slug, name, plan, today, &mut random, members)
            })
            .collect();
        Self { catalogue, tenants }
    }
}

fn tenant(
    slug: &'static str,
    name: &'static str,
    plan: PlanId,
    today: NaiveDate,
    random: &mut Random,
    Members { mut operations, key }: Members,
) -> Tenant {
    let id = TenantId(random.uuid());
    let customer = CustomerId::of_tenant(id);
    operations.extend(organisation::operations(slug, random));
    operations.extend(usage::meters());
    let subscription = SubscriptionId(random.uuid());
    operations.extend(usage::history(slug, today, random));
    // Last, for it is the same on every day: whether it was done tells whether all was.
    operations.push(Operation::StartSubscription { subscription, customer, plan, version: None });
    Tenant { id, slug, name, operations, key }
}

impl Random {
    /// The next identity; marked as a version 8 UUID, for it is neither random nor dated.
    fn uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next().to_be_bytes());
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

#[cfg(test)]
mod tests;
