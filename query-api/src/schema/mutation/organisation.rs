//! Tenants: the directory for operators, one's own for members.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use commands::Outcome;
use commands::request::Repetition;
use domain::Level;
use domain::directory::Slug;
use domain::id::TenantId;
use domain::operation::Operation;
use uuid::Uuid;

use super::{CommandOptions, CommandOutcome, CommandPayload, UserError, malformed, submit};
use crate::context::RequestContext;
use crate::schema::organisation::{EntityKinds, SuspensionReasonCode};

/// Changing tenants.
#[derive(Debug, Default)]
pub struct OrganisationMutation;

/// A tenant to be created.
#[derive(Clone, Debug, InputObject)]
pub struct RegisterTenantInput {
    /// Its slug: 3 to 40 of `a-z 0-9 -`, beginning with a letter.
    pub slug: String,
    /// Its display name.
    pub name: String,
    /// Its first owner, `usr_…`; who registers it if not given.
    pub owner_id: Option<String>,
}

/// The answer to `registerTenant`.
#[derive(Clone, Debug, SimpleObject)]
pub struct RegisterTenantPayload {
    /// The new tenant, `ten_…`; none if it was not accepted. A repetition with the same key names the tenant
    /// of the first time, unless that has another slug by now.
    pub tenant_id: Option<String>,
    /// What became of it; none if it was not accepted.
    pub outcome: Option<CommandOutcome>,
    /// What the caller has to mend; then nothing was changed.
    pub user_errors: Vec<UserError>,
}

impl From<super::Submitted> for RegisterTenantPayload {
    /// The answer to what was not accepted.
    fn from(submitted: super::Submitted) -> Self {
        let (outcome, user_errors) = (submitted.outcome, submitted.user_errors);
        Self { tenant_id: None, outcome, user_errors }
    }
}

/// A tenant's settings, all of them.
#[derive(Clone, Debug, InputObject)]
pub struct ConfigureTenantInput {
    /// The zone of its billing periods and reports, an IANA name.
    pub time_zone: String,
    /// The currency of its own price lists, an ISO 4217 code.
    pub currency: String,
    /// Which entity kinds its catalog accepts.
    pub kinds: EntityKinds,
}

/// Reads an argument, or answers what is wrong with it.
macro_rules! parsed {
    ($path:literal, $text:expr) => {
        match $text.parse() {
            Ok(value) => value,
            Err(error) => return Ok(Some(malformed($path, error).into())),
        }
    };
}
pub(super) use parsed;

/// The tenant of a registration that was accepted, once it exists in its own partition too: whoever is
/// told of it goes on there at once. A repetition is about the tenant of the first time, if that still has
/// this slug.
async fn registered(
    context: &Context<'_>,
    tenant: TenantId,
    slug: &Slug,
    accepted: &Outcome,
) -> async_graphql::Result<Option<String>> {
    let shared = context.data::<RequestContext>()?.shared();
    let commands = shared.commands();
    let registered = match accepted.repetition {
        Repetition::First => Some(tenant),
        Repetition::Remembered => {
            // It may have been registered by another process.
            let heard = commands.newest_sequence(TenantId::SYSTEM).await;
            heard.ok().and_then(|_| commands.tenant_by_slug(slug))
        }
    };
    let Some(tenant) = registered else { return Ok(None) };
    if let Err(error) = commands.created(tenant, shared.visibility_wait()).await {
        // It is registered all the same, and follows.
        tracing::warn!(%tenant, error = &error as &dyn std::error::Error, "a tenant is not there yet");
    }
    Ok(Some(tenant.to_string()))
}

#[Object]
impl OrganisationMutation {
    /// Reserve a slug and create a tenant. For operators. Its first owner can sign in to it once this is
    /// answered, unless the partition of the tenant takes nothing at present.
    async fn register_tenant(
        &self,
        context: &Context<'_>,
        input: RegisterTenantInput,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<RegisterTenantPayload>> {
        let tenant = TenantId(Uuid::now_v7());
        let slug: Slug = parsed!("input.slug", input.slug);
        let name = parsed!("input.name", input.name);
        let owner = match input.owner_id {
            Some(owner) => Some(parsed!("input.ownerId", owner)),
            None => None,
        };
        let operation = Operation::RegisterTenant { tenant, slug: slug.clone(), name, owner };
        let is_preview = options.as_ref().is_some_and(|it| it.preview);
        let submitted = submit(context, operation, options).await?;
        let tenant_id = match &submitted.accepted {
            Some(_) if is_preview => Some(tenant.to_string()),
            Some(accepted) => registered(context, tenant, &slug, accepted).await?,
            None => None,
        };
        Ok(Some(RegisterTenantPayload {
            tenant_id,
            outcome: submitted.outcome,
            user_errors: submitted.user_errors,
        }))
    }

    /// Give a tenant another slug. For operators.
    async fn change_slug(
        &self,
        context: &Context<'_>,
        tenant_id: String,
        slug: String,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let operation = Operation::ChangeSlug {
            tenant: parsed!("tenantId", tenant_id),
            slug: parsed!("slug", slug),
        };
        Ok(Some(submit(context, operation, options).await?.into()))
    }

    /// Let a host name select a tenant. For operators.
    async fn add_host(
        &self,
        context: &Context<'_>,
        tenant_id: String,
        host: String,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let operation = Operation::AddHost {
            tenant: parsed!("tenantId", tenant_id),
            host: parsed!("host", host),
        };
        Ok(Some(submit(context, operation, options).await?.into()))
    }

    /// Stop a host name from selecting a tenant. For operators.
    async fn remove_host(
        &self,
        context: &Context<'_>,
        tenant_id: String,
        host: String,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let operation = Operation::RemoveHost {
            tenant: parsed!("tenantId", tenant_id),
            host: parsed!("host", host),
        };
        Ok(Some(submit(context, operation, options).await?.into()))
    }

    /// Suspend a tenant: it can read but not change anything. For operators.
    async fn suspend_tenant(
        &self,
        context: &Context<'_>,
        tenant_id: String,
        reason: SuspensionReasonCode,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let tenant = parsed!("tenantId", tenant_id);
        let operation = Operation::SuspendTenant { tenant, reason: reason.into() };
        Ok(Some(submit(context, operation, options).await?.into()))
    }

    /// Reactivate a suspended tenant. For operators.
    async fn reactivate_tenant(
        &self,
        context: &Context<'_>,
        tenant_id: String,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let tenant = parsed!("tenantId", tenant_id);
        Ok(Some(submit(context, Operation::ReactivateTenant { tenant }, options).await?.into()))
    }

    /// Let events be written as of the next level of the cluster, which every process that runs has
    /// to speak. For operators.
    async fn raise_cluster_level(
        &self,
        context: &Context<'_>,
        to: u32,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let operation = Operation::RaiseClusterLevel { to: Level(to) };
        Ok(Some(submit(context, operation, options).await?.into()))
    }

    /// Give one's own tenant another display name.
    async fn rename_tenant(
        &self,
        context: &Context<'_>,
        name: String,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let operation = Operation::RenameTenant { name: parsed!("name", name) };
        Ok(Some(submit(context, operation, options).await?.into()))
    }

    /// Replace one's own tenant's settings.
    async fn configure_tenant(
        &self,
        context: &Context<'_>,
        input: ConfigureTenantInput,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let settings = domain::tenant::Settings {
            time_zone: parsed!("input.timeZone", input.time_zone),
            currency: parsed!("input.currency", input.currency),
            kinds: input.kinds.into(),
        };
        Ok(Some(submit(context, Operation::ConfigureTenant { settings }, options).await?.into()))
    }

    /// Close one's own tenant, for good.
    async fn close_tenant(
        &self,
        context: &Context<'_>,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        Ok(Some(submit(context, Operation::CloseTenant, options).await?.into()))
    }
}
