//! What somebody may do, asked of what this process follows and of no read model.

use std::time::Duration;

use domain::id::{ActorId, TenantId};
use domain::role::{Permit, RoleName};
use domain::tenant::Standing;
use domain::{Permission, Principal, tenant};

use crate::commands::Commands;
use crate::request::CommandError;

/// How often somebody whose stream is open is looked at although nothing has changed, where others
/// write to the log too. In seconds: 1.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// Why somebody may do something, or may not.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Who they are, with all that they may.
    pub principal: Principal,
    /// Whether they belong to the tenant at all.
    pub is_member: bool,
    /// Which of their roles give the permission, and how far each does.
    pub given_by: Vec<(RoleName, Permit)>,
}

impl Commands {
    /// Why `actor` may do something in the tenant of `principal`, or may not.
    ///
    /// # Errors
    ///
    /// [`CommandError::Denied`] if `principal` may not know; else as [`Self::principal`].
    pub async fn explain(
        &self,
        principal: &Principal,
        actor: ActorId,
        permission: Permission,
    ) -> Result<Explanation, CommandError> {
        principal.authorize(Permission::MemberRead)?;
        let tenant = principal.tenant();
        let principal = self.principal(tenant, actor).await?;
        let given_by = self.inner().views.access.given_by(tenant, actor, permission);
        let is_member = given_by.is_some();
        Ok(Explanation { principal, is_member, given_by: given_by.unwrap_or_default() })
    }

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

    /// The same as far as is known here, for who was asked for a moment ago.
    #[must_use]
    pub fn renewed(&self, principal: &Principal) -> Principal {
        let (tenant, actor) = (principal.tenant(), principal.actor());
        Principal::member(tenant, actor, self.inner().views.access.grants(tenant, actor))
    }

    /// Fails unless `tenant` is active as far as is known here: one that is suspended or closed may
    /// read, and follows nothing live.
    ///
    /// # Errors
    ///
    /// [`CommandError::Rejected`].
    pub fn check_active(&self, tenant: TenantId) -> Result<(), CommandError> {
        let rejection = match self.inner().views.standing(tenant) {
            Standing::Active => return Ok(()),
            Standing::NotCreated => tenant::Rejection::NotCreated,
            Standing::Suspended => tenant::Rejection::Suspended,
            Standing::Closed => tenant::Rejection::Closed,
        };
        let (code, reason) = (rejection.code().into(), rejection.to_string());
        Err(CommandError::Rejected { code, reason })
    }

    /// Completes once what was begun for `principal` has to end: it lacks any of what it could do when
    /// it was asked for, its tenant is active no longer, or nobody here can say any more.
    ///
    /// What is begun for a tenant that is not active now does not end for that.
    pub fn ended(
        &self,
        principal: &Principal,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (commands, principal) = (self.clone(), principal.clone());
        let (tenant, actor) = (principal.tenant(), principal.actor());
        let mut was_active = self.check_active(tenant).is_ok();
        async move {
            let mut changes = commands.inner().views.access.changes();
            loop {
                changes.mark_unchanged();
                match commands.principal(tenant, actor).await {
                    Ok(now) if now.covers(&principal) => {}
                    Ok(_) | Err(_) => return,
                }
                let is_active = commands.check_active(tenant).is_ok();
                if was_active && !is_active {
                    return;
                }
                was_active = is_active;
                if commands.inner().is_shared {
                    // Whether anything came within that time is told by the next look.
                    let _ = tokio::time::timeout(LOOKED_AT_EVERY, changes.changed()).await;
                } else if changes.changed().await.is_err() {
                    return;
                }
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
