//! The keys under which personal texts are sealed, taken before anything is decided.

use std::collections::{HashMap, HashSet};

use domain::id::{SubjectId, TenantId};
use vault::SubjectKeys;

use super::Owner;
use super::envelope::Envelope;
use crate::away::Away;
use crate::request::{CommandError, Mode};

impl Owner {
    /// Makes sure that everybody whose personal texts will be recorded has a durable key.
    /// Requests for which that fails are answered here.
    pub(super) async fn take_keys(
        &mut self,
        requests: Vec<Envelope>,
    ) -> (Vec<Envelope>, HashMap<TenantId, SubjectKeys>) {
        let mut wanted: HashMap<TenantId, Vec<SubjectId>> = HashMap::new();
        for request in requests.iter().map(|it| &it.prepared) {
            if request.mode == Mode::Commit && !request.subjects.is_empty() {
                wanted.entry(request.tenant).or_default().extend(&request.subjects);
            }
        }
        let mut taken = HashMap::with_capacity(wanted.len());
        if wanted.is_empty() {
            return (requests, taken);
        }
        let mut failed: HashSet<TenantId> = HashSet::new();
        for (tenant, subjects) in wanted {
            match self.replica.parts.keyring.ensure_subjects(tenant, &subjects).await {
                Ok(keys) => drop(taken.insert(tenant, keys)),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "no subject keys");
                    failed.insert(tenant);
                }
            }
        }
        let is_doomed = |it: &Envelope| {
            !it.prepared.subjects.is_empty() && failed.contains(&it.prepared.tenant)
        };
        let (doomed, requests): (Vec<_>, _) = requests.into_iter().partition(is_doomed);
        for request in doomed {
            request.refuse(CommandError::Unavailable(Away::Vault));
        }
        (requests, taken)
    }
}
