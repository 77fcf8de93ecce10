//! Who says who the members of a tenant are, for whoever lets somebody in.

use std::sync::Arc;

use domain::id::{ProviderId, TenantId};
use domain::tenant::{Provider, Tenant};

use crate::Commands;
use crate::request::CommandError;
use crate::views::Providers;

impl Commands {
    /// The provider of this id, if it is one of `tenant`.
    ///
    /// # Errors
    ///
    /// [`CommandError::Unavailable`] if this process has not heard of the tenant's partition for
    /// so long that it may not know.
    pub async fn provider(
        &self,
        tenant: TenantId,
        provider: ProviderId,
    ) -> Result<Option<Provider>, CommandError> {
        let known = || self.inner().views.providers(tenant);
        self.hear(tenant, known().contains_key(&provider)).await?;
        Ok(known().get(&provider).cloned())
    }

    /// All providers of `tenant`, of all that was durable when it was asked.
    ///
    /// # Errors
    ///
    /// [`CommandError::Rejected`] if there is no such tenant, [`CommandError::Unavailable`] if
    /// the log does not answer.
    pub async fn providers(&self, tenant: TenantId) -> Result<Arc<Providers>, CommandError> {
        let owner = self.find(tenant).await?;
        owner
            .read(move |state| {
                let profile = state.aggregate::<Tenant>(tenant, tenant).and_then(Tenant::profile);
                Arc::new(profile.map(|it| it.providers.clone()).unwrap_or_default())
            })
            .await
    }
}
