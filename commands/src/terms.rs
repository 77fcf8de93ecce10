//! Under which terms a tenant buys from the operator: looked up before its owner is asked, since they are
//! in another partition.

use domain::id::{CustomerId, PlanId, TenantId};
use domain::plan::Plan;
use domain::subscription::{Sold, Subscription};

use crate::away::Away;
use crate::commands::Commands;
use crate::prepare::{Ask, NoTerms, Prepared, TermsSource};
use crate::replica::Handle;
use crate::request::CommandError;

impl Commands {
    /// Looks up the terms of a sale to the tenant itself in the operator's catalogue.
    ///
    /// That there are none is for the owner to answer: a request that was decided before has
    /// its outcome, whatever has become of the plan.
    pub(crate) async fn find_terms(
        &self,
        owner: &Handle,
        prepared: &mut Prepared,
    ) -> Result<(), CommandError> {
        let tenant = prepared.tenant;
        let itself = CustomerId::of_tenant(tenant);
        let (customer, source) = match &mut prepared.ask {
            Ask::StartSubscription { customer, source, .. } => (Some(*customer), source),
            Ask::ChangePlan { subscription, source } => {
                let id = *subscription;
                let customer = owner.read(move |state| {
                    let state = state.aggregate::<Subscription>(tenant, id);
                    state.and_then(Subscription::sale).map(|it| it.customer)
                });
                (customer.await?, source)
            }
            _ => return Ok(()),
        };
        if let TermsSource::Own { plan, version } = *source
            && customer == Some(itself)
            && tenant != TenantId::SYSTEM
        {
            *source = match self.operator_terms(plan, version).await {
                Ok(sold) => TermsSource::Operator(Box::new(sold)),
                Err(missing) => TermsSource::Missing(missing),
            };
        }
        Ok(())
    }

    /// What the operator sells.
    async fn operator_terms(&self, plan: PlanId, version: Option<u32>) -> Result<Sold, NoTerms> {
        let unavailable = |it| match it {
            CommandError::Unavailable(away) => NoTerms::Unavailable(away),
            _ => NoTerms::Unavailable(Away::Owner),
        };
        let sold = self.owner_of(TenantId::SYSTEM).map_err(unavailable)?.read(move |state| {
            let state = state.aggregate::<Plan>(TenantId::SYSTEM, plan);
            state.cloned().unwrap_or_default().sell(plan, version)
        });
        let sold = sold.await.map_err(unavailable)?;
        sold.map_err(|it| NoTerms::Rejected { code: it.code(), reason: it.to_string() })
    }
}
