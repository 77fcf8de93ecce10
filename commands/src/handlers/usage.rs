//! Usage: facts about every entry, then one decision.

use std::collections::{BTreeSet, HashMap};

use domain::customer::{self, Customer};
use domain::id::CustomerId;
use domain::meter::{self, Meter};
use domain::subscription::Subscription;
use domain::usage::{self, Allowance, Command, Timed, Verdict};

use super::{Decision, Refusal};
use crate::prepare::Usage;

impl Decision<'_, '_> {
    pub(super) fn usage(&mut self, asked: &mut Usage) -> Result<(), Refusal> {
        let around = self.around;
        let seen = around.identities.lookup(around.pending, &asked.identities)?;
        let meters: HashMap<_, _> = asked
            .meters
            .iter()
            .map(|(key, id)| {
                let state = self.overlay.aggregate::<Meter>(self.tenant, *id);
                (key.clone(), state.map_or(meter::Standing::NotDefined, Meter::standing))
            })
            .collect();
        let mut customers: HashMap<CustomerId, customer::Standing> = HashMap::new();
        for (candidate, seen) in asked.candidates.iter_mut().zip(seen) {
            let entry = &mut candidate.entry;
            if entry.timed == Timed::ByReceipt {
                entry.at = around.now;
            }
            candidate.seen = seen;
            candidate.meter = meters[&entry.meter].clone();
            candidate.customer = *customers.entry(entry.customer).or_insert_with(|| {
                let state = self.overlay.aggregate::<Customer>(self.tenant, entry.customer);
                state.map_or(customer::Standing::NotOpened, Customer::standing)
            });
        }
        self.verdicts = usage::judge(&asked.candidates, around.now);
        let accepted = self.verdicts.iter().zip(&asked.identities);
        self.accepted = accepted
            .filter(|(verdict, _)| **verdict == Verdict::Accepted)
            .map(|(_, identity)| *identity)
            .collect();
        let allowances = self.allowances(&customers.into_keys().collect());
        let command =
            Command::Record { entries: std::mem::take(&mut asked.candidates), allowances };
        let decided = self.decide::<usage::Usage>((), &command);
        let Command::Record { entries, .. } = command;
        asked.candidates = entries;
        decided
    }

    /// The hard quotas in force for these customers.
    fn allowances(&self, customers: &BTreeSet<CustomerId>) -> Vec<Allowance> {
        let accounts = customers.iter().filter_map(|it| self.overlay.account(self.tenant, *it));
        let running = accounts.flat_map(|it| &it.running);
        let subscriptions =
            running.filter_map(|it| self.overlay.aggregate::<Subscription>(self.tenant, *it));
        subscriptions.flat_map(Subscription::allowances).collect()
    }
}
