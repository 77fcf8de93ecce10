//! What somebody may do, asked of what this process follows and of no read model.

use std::time::Duration;

use domain::Principal;
use domain::id::{ActorId, TenantId};

use crate::commands::Commands;
use crate::request::CommandError;

/// How often somebody whose stream is open is looked at although nothing has changed, where others
/// write to the log too. In seconds: 1.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

impl Commands {
    /// Who `actor` is in `tenant`: with the grants of its roles there, or none if it has no role.
    ///
    /// # Errors
    ///
    /// [`CommandError::Unavailable`] if this process has not heard of the tenant's partition for
    /// so long that it may not know.
    pub async fn principal(
        &self,
        tenant: TenantId,
        actor: ActorId,
    ) -> Result<Principal, CommandError> {
        let access = &self.inner().views.access;
        if self.inner().is_shared {
            match self.find(tenant).await {
                Ok(partition) if access.is_member(tenant, actor) => partition.is_heard().await?,
                // They may have become one a moment ago, elsewhere.
                Ok(partition) => partition.hear().await?,
                // There is no such tenant, so nobody is anything in it.
                Err(CommandError::Rejected { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Principal::member(tenant, actor, access.grants(tenant, actor)))
    }

    /// Completes once `principal` may do something else than it could when it was asked for, or
    /// nobody here can say any more.
    pub async fn is_another(self, principal: Principal) {
        let (tenant, actor) = (principal.tenant(), principal.actor());
        let mut changes = self.inner().views.access.changes();
        loop {
            changes.mark_unchanged();
            match self.principal(tenant, actor).await {
                Ok(now) if now == principal => {}
                Ok(_) | Err(_) => return,
            }
            if self.inner().is_shared {
                // Whether anything came within that time is told by the next look.
                let _ = tokio::time::timeout(LOOKED_AT_EVERY, changes.changed()).await;
            } else if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether `tenant` has any member within that time, as far as is known here.
    pub async fn has_members_within(&self, tenant: TenantId, within: Duration) -> bool {
        let mut changes = self.inner().views.access.changes();
        let has_members = changes.wait_for(|_| self.has_members(tenant));
        matches!(tokio::time::timeout(within, has_members).await, Ok(Ok(_)))
    }

    /// Whether `tenant` has any member, as far as is known here. One that was registered before
    /// there were members has none.
    #[must_use]
    pub fn has_members(&self, tenant: TenantId) -> bool {
        self.inner().views.access.has_members(tenant)
    }
}
