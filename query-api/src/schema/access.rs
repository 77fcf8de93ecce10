//! Who asks and what they may; members, roles, and why somebody may do something.

pub mod member;
pub mod role;

use async_graphql::{Context, MergedObject, Object, SimpleObject};
use domain::{Permission, Scope};

use crate::context::RequestContext;

/// Reading who may do what.
#[derive(Debug, Default, MergedObject)]
pub struct AccessQuery(ViewerQuery, member::MemberQuery, role::RoleQuery);

/// Reading who asks.
#[derive(Debug, Default)]
pub struct ViewerQuery;

/// Who asks.
#[derive(Clone, Debug, SimpleObject)]
pub struct Viewer {
    /// The actor, `usr_…`.
    pub actor: String,
    /// The tenant that the credential grants, `ten_…`.
    pub tenant_id: String,
    /// What they may do at this moment: nothing, if they are no member.
    pub permissions: Vec<GrantedPermission>,
}

/// A permission that somebody has.
#[derive(Clone, Debug, SimpleObject)]
pub struct GrantedPermission {
    /// Its name, say `entity.read`.
    pub name: String,
    /// Whether it reaches some entities only.
    pub is_conditioned: bool,
}

#[Object]
impl ViewerQuery {
    /// Who the credential says is asking, and what they may do.
    async fn viewer(&self, context: &Context<'_>) -> async_graphql::Result<Viewer> {
        let principal = context.data::<RequestContext>()?.principal();
        let granted = |it: &Permission| {
            let scope = principal.authorize(*it).ok().filter(|it| *it != Scope::None)?;
            let is_conditioned = matches!(scope, Scope::Where(_));
            Some(GrantedPermission { name: it.name().to_owned(), is_conditioned })
        };
        Ok(Viewer {
            actor: principal.actor().to_string(),
            tenant_id: principal.tenant().to_string(),
            permissions: Permission::ALL.iter().filter_map(granted).collect(),
        })
    }
}
