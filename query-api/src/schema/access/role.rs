//! Roles, and what they permit.

use std::sync::Arc;

use async_graphql::connection::Connection;
use async_graphql::{Context, Description, Object, SimpleObject};
use domain::principal::Predicate;
use domain::role::{BuiltIn, Permit};
use projections::Model;
use projections::organisation::roles;

use crate::context::RequestContext;
use crate::error::ApiError;
use crate::schema::page::{Cursor, Long, PageArguments, connection};

/// What whoever has it may do.
#[derive(Clone, Debug, Description)]
pub struct Role(pub Kind);

/// Where a role is from.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Every tenant has it.
    BuiltIn(BuiltIn),
    /// The tenant has defined it.
    Own(roles::Role),
}

/// A permission that a role gives.
#[derive(Clone, Debug, SimpleObject)]
pub struct RolePermit {
    /// What may be done, say `entity.read`.
    pub permission: String,
    /// To which entities only; to everything if none.
    pub when: Option<Condition>,
}

/// A condition on entities: one of its fields says which.
#[derive(Clone, Debug, Default, SimpleObject)]
pub struct Condition {
    /// The entity is of this kind.
    pub kind: Option<String>,
    /// The entity is owned by this group.
    pub owned_by: Option<String>,
    /// The entity has this label.
    pub label: Option<ConditionKey>,
    /// The entity has this annotation.
    pub annotation: Option<ConditionKey>,
    /// The entity has this tag.
    pub tag: Option<String>,
    /// All of these hold.
    pub all: Option<Vec<Condition>>,
    /// Any of these holds.
    pub any: Option<Vec<Condition>>,
}

/// A key that is there.
#[derive(Clone, Debug, SimpleObject)]
pub struct ConditionKey {
    /// The key.
    pub key: String,
    /// Its value; any if none.
    pub value: Option<String>,
}

impl From<&Predicate> for Condition {
    fn from(predicate: &Predicate) -> Self {
        let key = |key: &String, value: &Option<String>| {
            Some(ConditionKey { key: key.clone(), value: value.clone() })
        };
        let each = |parts: &Vec<Predicate>| Some(parts.iter().map(Self::from).collect());
        let nothing = Self::default();
        match predicate {
            Predicate::Kind(kind) => Self { kind: Some(kind.clone()), ..nothing },
            Predicate::OwnedBy(owner) => Self { owned_by: Some(owner.clone()), ..nothing },
            Predicate::Label { key: it, value } => Self { label: key(it, value), ..nothing },
            Predicate::Annotation { key: it, value } => {
                Self { annotation: key(it, value), ..nothing }
            }
            Predicate::Tag(tag) => Self { tag: Some(tag.clone()), ..nothing },
            Predicate::All(parts) => Self { all: each(parts), ..nothing },
            Predicate::Any(parts) => Self { any: each(parts), ..nothing },
        }
    }
}

impl From<&Permit> for RolePermit {
    fn from(permit: &Permit) -> Self {
        let when = permit.condition.as_ref().map(Arc::as_ref).map(Condition::from);
        Self { permission: permit.permission.name().to_owned(), when }
    }
}

#[Object(use_type_description)]
impl Role {
    /// What it is called.
    pub async fn name(&self) -> &str {
        match &self.0 {
            Kind::BuiltIn(role) => role.name(),
            Kind::Own(role) => role.name.as_str(),
        }
    }

    /// Whether every tenant has it.
    async fn is_built_in(&self) -> bool {
        matches!(self.0, Kind::BuiltIn(_))
    }

    /// Whether it permits nothing any more, for good.
    async fn is_retired(&self) -> bool {
        matches!(&self.0, Kind::Own(role) if role.is_retired)
    }

    /// What it permits here.
    async fn permits(&self, context: &Context<'_>) -> async_graphql::Result<Vec<RolePermit>> {
        let tenant = context.data::<RequestContext>()?.principal().tenant();
        let permits = match &self.0 {
            Kind::BuiltIn(role) => role.permits(),
            Kind::Own(role) => &role.permits,
        };
        let here = permits.iter().filter(|it| it.permission.exists_in(tenant));
        Ok(here.map(RolePermit::from).collect())
    }

    /// The stream's revision, to be used as `expectedRevision`; none if every tenant has it.
    async fn revision(&self) -> Option<Long> {
        match &self.0 {
            Kind::BuiltIn(_) => None,
            Kind::Own(role) => Some(Long(role.revision)),
        }
    }
}

/// What is true of all roles that the tenant has defined.
#[derive(Clone, Copy, Debug, Default, Description)]
pub struct RoleTotals;

#[Object(use_type_description)]
impl RoleTotals {
    /// How many there are.
    async fn total_count(&self, context: &Context<'_>) -> async_graphql::Result<Long> {
        let request = context.data::<RequestContext>()?;
        let models = request.read(Model::Organisation).await?;
        let count = roles::count(&models, request.principal()).await;
        Ok(Long(count.map_err(ApiError::from)?))
    }
}

/// Reading roles.
#[derive(Debug, Default)]
pub struct RoleQuery;

#[Object]
impl RoleQuery {
    /// The roles that the tenant has defined, by name.
    #[graphql(complexity = "first.or(last).unwrap_or(20) as usize * child_complexity")]
    async fn roles(
        &self,
        context: &Context<'_>,
        first: Option<u32>,
        after: Option<String>,
        last: Option<u32>,
        before: Option<String>,
    ) -> async_graphql::Result<Connection<Cursor, Role, RoleTotals>> {
        let request = context.data::<RequestContext>()?;
        let purpose = "cursor/roles";
        let arguments = PageArguments { first, after, last, before };
        let window = arguments.window::<String>(request, purpose)?;
        let models = request.read(Model::Organisation).await?;
        let page = roles::list(&models, request.principal(), &window).await;
        let page = page.map_err(ApiError::from)?;
        Ok(connection(request, purpose, page, RoleTotals, |it| Role(Kind::Own(it))))
    }

    /// The roles that every tenant has, and what they permit here.
    async fn built_in_roles(&self) -> Vec<Role> {
        BuiltIn::ALL.iter().map(|it| Role(Kind::BuiltIn(*it))).collect()
    }
}
