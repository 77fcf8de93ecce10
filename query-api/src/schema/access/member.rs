//! Members, and why somebody may do something.

use async_graphql::connection::Connection;
use async_graphql::{Context, Description, Object, SimpleObject};
use chrono::{DateTime, Utc};
use commands::grants;
use domain::id::ActorId;
use domain::role::RoleRef;
use domain::{Permission, Scope};
use projections::Model;
use projections::catalog::entities;
use projections::organisation::members;

use super::role::{Condition, Kind, Role, RolePermit};
use super::{ApiKey, Session};
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::loaders::Loaders;
use crate::schema::page::{Cursor, Long, PageArguments, connection};

/// Somebody who may do something in the tenant.
#[derive(Clone, Debug, Description)]
pub struct Member(members::Member);

#[Object(use_type_description)]
impl Member {
    /// Who, `usr_…`.
    async fn member_id(&self) -> String {
        self.0.id.to_string()
    }

    /// What they are called; none if that was never said or was erased.
    async fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// The roles they have.
    async fn roles(&self, context: &Context<'_>) -> async_graphql::Result<Vec<Role>> {
        let loaders = context.data::<Loaders>()?;
        let role = async |it: &RoleRef| match it {
            RoleRef::BuiltIn(role) => Ok(Some(Kind::BuiltIn(*role))),
            RoleRef::Own(id) => loaders.role(*id).await.map(|it| it.map(Kind::Own)),
        };
        let roles = futures::future::try_join_all(self.0.roles.iter().map(role)).await?;
        Ok(roles.into_iter().flatten().map(Role).collect())
    }

    /// Their API keys that were not revoked.
    async fn api_keys(&self) -> Vec<ApiKey> {
        self.0.api_keys.iter().map(|(key, it)| ApiKey::of(self.0.id, *key, it)).collect()
    }

    /// Their sessions that were not ended.
    async fn sessions(&self) -> Vec<Session> {
        self.0.sessions.clone().into_iter().map(Session::from).collect()
    }

    /// Since when they belong to the tenant.
    async fn added_at(&self) -> DateTime<Utc> {
        self.0.added_at
    }

    /// The stream's revision, to be used as `expectedRevision`.
    async fn revision(&self) -> Long {
        Long(self.0.revision)
    }
}

/// What is true of all members.
#[derive(Clone, Copy, Debug, Default, Description)]
pub struct MemberTotals;

#[Object(use_type_description)]
impl MemberTotals {
    /// How many there are.
    async fn total_count(&self, context: &Context<'_>) -> async_graphql::Result<Long> {
        let request = context.data::<RequestContext>()?;
        let models = request.read(Model::Organisation).await?;
        let count = members::count(&models, request.principal()).await;
        Ok(Long(count.map_err(ApiError::from)?))
    }
}

/// Why somebody may do something, or may not.
#[derive(Clone, Debug, Description)]
pub struct Explanation {
    permission: Permission,
    found: grants::Explanation,
}

/// A role that gives a permission.
#[derive(Clone, Debug, SimpleObject)]
pub struct GivenBy {
    /// What the role is called.
    pub role: String,
    /// To which entities only; to everything if none.
    pub when: Option<Condition>,
}

#[Object(use_type_description)]
impl Explanation {
    /// Whether they belong to the tenant.
    async fn is_member(&self) -> bool {
        self.found.is_member
    }

    /// Whether they may do it at all.
    async fn is_permitted(&self) -> bool {
        self.scope() != Scope::None
    }

    /// Their roles that permit it: together they reach whatever any of them does.
    async fn given_by(&self) -> Vec<GivenBy> {
        let given = self.found.given_by.iter();
        let given = given.map(|(role, permit)| {
            let RolePermit { when, .. } = permit.into();
            GivenBy { role: role.to_string(), when }
        });
        given.collect()
    }

    /// Whether they may do it to the entity with this reference; none if you may not see that entity
    /// yourself, or there is none.
    async fn reaches(
        &self,
        context: &Context<'_>,
        reference: String,
    ) -> async_graphql::Result<Option<bool>> {
        let key = reference.to_lowercase();
        if context.data::<Loaders>()?.entity(key.clone()).await?.is_none() {
            return Ok(None);
        }
        if !matches!(self.scope(), Scope::Where(_)) {
            return Ok(Some(self.scope() == Scope::All));
        }
        let request = context.data::<RequestContext>()?;
        let models = request.read(Model::Catalog).await?;
        let keys = [key];
        let principal = &self.found.principal;
        let sights = entities::sights(&models, principal, self.permission, &keys).await;
        let sights = sights.map_err(ApiError::from)?;
        Ok(Some(sights.get(&keys[0]).is_some_and(|(_revision, holds)| *holds)))
    }
}

impl Explanation {
    fn scope(&self) -> Scope {
        self.found.principal.authorize(self.permission).unwrap_or_default()
    }
}

/// Reading members.
#[derive(Debug, Default)]
pub struct MemberQuery;

#[Object]
impl MemberQuery {
    /// The members of the tenant, by identity.
    #[graphql(complexity = "first.or(last).unwrap_or(20) as usize * child_complexity")]
    async fn members(
        &self,
        context: &Context<'_>,
        first: Option<u32>,
        after: Option<String>,
        last: Option<u32>,
        before: Option<String>,
    ) -> async_graphql::Result<Connection<Cursor, Member, MemberTotals>> {
        let request = context.data::<RequestContext>()?;
        let purpose = "cursor/members";
        let arguments = PageArguments { first, after, last, before };
        let window = arguments.window::<ActorId>(request, purpose)?;
        let models = request.read(Model::Organisation).await?;
        let page = members::list(&models, request.principal(), &window).await;
        let page = page.map_err(ApiError::from)?;
        Ok(connection(request, purpose, page, MemberTotals, Member))
    }

    /// Why somebody may do something in the tenant at this moment, say `entity.read`, or may not.
    async fn explain(
        &self,
        context: &Context<'_>,
        member_id: String,
        permission: String,
    ) -> async_graphql::Result<Explanation> {
        let actor = member_id.parse().map_err(ApiError::argument)?;
        let permission = permission.parse().map_err(ApiError::argument)?;
        let request = context.data::<RequestContext>()?;
        let commands = request.shared().commands();
        let found = commands.explain(request.principal(), actor, permission).await;
        Ok(Explanation { permission, found: found.map_err(ApiError::from)? })
    }
}
