//! Tenants: one's own, and the directory for operators.

use async_graphql::connection::Connection;
use async_graphql::{Context, Description, Enum, ID, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::catalog::KindSet;
use domain::id::ProviderId;
use domain::tenant::{self, SuspensionReason};
use projections::Model;
use projections::organisation::{self, Standing};
use projections::page::{Edge, Page};

use super::node::NodeId;
use super::page::{Cursor, Long, PageArguments, connection};
use crate::context::RequestContext;
use crate::error::ApiError;

/// A tenant as it sees itself.
#[derive(Clone, Debug, Description)]
pub struct Tenant(pub organisation::Tenant);

#[Object(use_type_description)]
impl Tenant {
    /// The global id.
    pub async fn id(&self, context: &Context<'_>) -> async_graphql::Result<ID> {
        Ok(NodeId::Tenant(self.0.id).seal(context.data()?))
    }

    /// The identity, `ten_…`.
    async fn tenant_id(&self) -> String {
        self.0.id.to_string()
    }

    /// The slug it was created under.
    async fn slug(&self) -> &str {
        self.0.slug.as_str()
    }

    /// The display name.
    async fn name(&self) -> &str {
        self.0.name.as_str()
    }

    /// The zone of its billing periods and reports, an IANA name.
    async fn time_zone(&self) -> &'static str {
        self.0.settings.time_zone.name()
    }

    /// The currency of its own price lists.
    async fn currency(&self) -> &str {
        self.0.settings.currency.code()
    }

    /// Which entity kinds its catalog accepts.
    async fn kinds(&self) -> EntityKinds {
        self.0.settings.kinds.into()
    }

    /// Whether it may change things.
    async fn standing(&self) -> TenantStanding {
        self.0.standing.into()
    }

    /// The other systems that say who its members are.
    async fn providers(&self, context: &Context<'_>) -> async_graphql::Result<Vec<Provider>> {
        let request = context.data::<RequestContext>()?;
        let known = request.shared().commands().providers(self.0.id).await;
        let known = known.map_err(ApiError::from)?;
        Ok(known.iter().map(|(id, it)| Provider::of(*id, it)).collect())
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// The stream's revision, to be used as `expectedRevision`.
    async fn revision(&self) -> Long {
        Long(self.0.revision)
    }
}

/// Another system that says who the members of a tenant are.
#[derive(Clone, Debug, SimpleObject)]
pub struct Provider {
    /// Which, `idp_…`.
    pub provider_id: String,
    /// What it is called where people choose how they sign in.
    pub name: String,
    /// Its address, as it calls itself in what it signs.
    pub issuer: String,
    /// What it calls Callboard.
    pub client_id: String,
    /// What it is asked for beside `openid`.
    pub scopes: Vec<String>,
}

impl Provider {
    fn of(id: ProviderId, provider: &tenant::Provider) -> Self {
        Self {
            provider_id: id.to_string(),
            name: provider.name.as_str().to_owned(),
            issuer: provider.issuer.clone(),
            client_id: provider.client_id.clone(),
            scopes: provider.scopes.iter().cloned().collect(),
        }
    }
}

/// Which entity kinds a catalog accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "KindSet")]
pub enum EntityKinds {
    /// The kinds of a bare Backstage catalog.
    Core,
    /// Those, and the kinds of its add-on modules.
    Extended,
}

/// Whether a tenant may change things, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SimpleObject)]
pub struct TenantStanding {
    /// What holds.
    pub status: TenantStatus,
    /// Why it is suspended, if it is.
    pub reason: Option<SuspensionReasonCode>,
}

/// Whether a tenant may change things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum TenantStatus {
    /// It may.
    Active,
    /// It may only read.
    Suspended,
    /// It is closed for good.
    Closed,
}

/// Why a tenant is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "SuspensionReason")]
pub enum SuspensionReasonCode {
    /// It does not pay.
    NonPayment,
    /// It breaks the terms of use.
    Abuse,
    /// It asked to be.
    Requested,
    /// To contain a security incident.
    Security,
}

impl From<Standing> for TenantStanding {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Active => Self { status: TenantStatus::Active, reason: None },
            Standing::Suspended(reason) => {
                Self { status: TenantStatus::Suspended, reason: Some(reason.into()) }
            }
            Standing::Closed => Self { status: TenantStatus::Closed, reason: None },
        }
    }
}

/// A tenant as the directory lists it, for operators.
#[derive(Clone, Debug, Description)]
pub struct Registration(organisation::Registration);

#[Object(use_type_description)]
impl Registration {
    /// The identity, `ten_…`.
    async fn tenant_id(&self) -> String {
        self.0.tenant.to_string()
    }

    /// The slug it goes by.
    async fn slug(&self) -> &str {
        self.0.slug.as_str()
    }

    /// The display name it was registered with.
    async fn name(&self) -> &str {
        self.0.name.as_str()
    }

    /// The partition that holds it.
    async fn partition(&self) -> u32 {
        self.0.partition
    }

    /// The hosts that select it.
    async fn hosts(&self) -> Vec<&str> {
        self.0.hosts.iter().map(domain::directory::Host::as_str).collect()
    }

    /// Whether it may change things.
    async fn standing(&self) -> TenantStanding {
        self.0.standing.into()
    }

    /// When it was registered.
    async fn registered_at(&self) -> DateTime<Utc> {
        self.0.registered_at
    }
}

/// What is true of the whole directory.
#[derive(Clone, Copy, Debug, Default, Description)]
pub struct DirectoryTotals;

#[Object(use_type_description)]
impl DirectoryTotals {
    /// How many tenants there are.
    async fn total_count(&self, context: &Context<'_>) -> async_graphql::Result<Long> {
        let request = context.data::<RequestContext>()?;
        let models = request.read(Model::Organisation).await?;
        let count = organisation::count_registrations(&models, request.principal()).await;
        Ok(Long(count.map_err(ApiError::from)?))
    }
}

/// Reading tenants.
#[derive(Debug, Default)]
pub struct OrganisationQuery;

#[Object]
impl OrganisationQuery {
    /// One's own tenant.
    async fn tenant(&self, context: &Context<'_>) -> async_graphql::Result<Option<Tenant>> {
        let request = context.data::<RequestContext>()?;
        let models = request.read(Model::Organisation).await?;
        let found = organisation::find(&models, request.principal()).await;
        Ok(found.map_err(ApiError::from)?.map(Tenant))
    }

    /// The directory of tenants, or the one with this slug. For operators.
    #[graphql(complexity = "first.or(last).unwrap_or(20) as usize * child_complexity")]
    async fn tenants(
        &self,
        context: &Context<'_>,
        slug: Option<String>,
        first: Option<u32>,
        after: Option<String>,
        last: Option<u32>,
        before: Option<String>,
    ) -> async_graphql::Result<Connection<Cursor, Registration, DirectoryTotals>> {
        let request = context.data::<RequestContext>()?;
        let (principal, purpose) = (request.principal(), "cursor/tenants");
        let models = request.read(Model::Organisation).await?;
        let page = if let Some(slug) = slug {
            let slug = slug.parse().map_err(ApiError::argument)?;
            let found = organisation::find_registration_by_slug(&models, principal, &slug).await;
            let edges = found.map_err(ApiError::from)?.into_iter();
            let edges = edges.map(|node| Edge { cursor: node.slug.as_str().to_owned(), node });
            Page { edges: edges.collect(), has_previous: false, has_next: false }
        } else {
            let arguments = PageArguments { first, after, last, before };
            let window = arguments.window::<String>(request, purpose)?;
            let page = organisation::list_registrations(&models, principal, &window).await;
            page.map_err(ApiError::from)?
        };
        Ok(connection(request, purpose, page, DirectoryTotals, Registration))
    }
}
