//! Who asks and what they may; members, roles, and why somebody may do something.

pub mod member;
pub mod role;

use async_graphql::{ComplexObject, Context, MergedObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::id::{ActorId, SessionId};
use domain::{Permission, Scope};

use crate::context::RequestContext;
use crate::loaders::Loaders;

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
    /// Their API keys that were not revoked; of an API key, itself alone.
    pub api_keys: Vec<ApiKey>,
    /// Their sessions that were not ended; an API key has none.
    pub sessions: Vec<Session>,
}

/// Somebody has proved who they are, and need not again until it ends.
#[derive(Clone, Debug, SimpleObject)]
pub struct Session {
    /// Which, `ses_…`.
    pub session_id: String,
    /// How they have proved it, by the names of RFC 8176, say `pwd`.
    pub methods: Vec<String>,
    /// When it began.
    pub since: DateTime<Utc>,
    /// When they have proved it; none if their provider has not said so. For 15 minutes from then they may do
    /// what is refused with `STEP_UP_REQUIRED` otherwise.
    pub proved_at: Option<DateTime<Utc>>,
    /// When it ends, or has ended.
    pub until: DateTime<Utc>,
}

impl From<(SessionId, domain::member::Session)> for Session {
    fn from((session, opened): (SessionId, domain::member::Session)) -> Self {
        Self {
            session_id: session.to_string(),
            methods: opened.methods.iter().map(|it| it.name().to_owned()).collect(),
            since: opened.since,
            proved_at: opened.proved_at,
            until: opened.expires_at,
        }
    }
}

/// By what a machine may do a part of what a member may. What it does is recorded under its own id.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct ApiKey {
    #[graphql(skip)]
    key: ActorId,
    #[graphql(skip)]
    member: ActorId,
    /// The actor that it is, `usr_…`.
    pub key_id: String,
    /// What it is called.
    pub name: String,
    /// What may be done by it as long as its member may do so.
    pub scope: Vec<String>,
    /// When it ends, or has ended.
    pub expires_at: DateTime<Utc>,
}

impl ApiKey {
    fn of(member: ActorId, key: ActorId, issued: &domain::member::ApiKey) -> Self {
        Self {
            key,
            member,
            key_id: key.to_string(),
            name: issued.name.to_string(),
            scope: issued.scope.iter().map(|it| it.name().to_owned()).collect(),
            expires_at: issued.expires_at,
        }
    }
}

#[ComplexObject]
impl ApiKey {
    /// When it was last used, at whatever process; none if it never was. A request counts when its credential
    /// is accepted, and what stays open (a stream, a WebSocket) when it is opened. This is noted some seconds
    /// later, and by each process at most once in five minutes, so the last use may be that much later than this says.
    async fn last_used_at(
        &self,
        context: &Context<'_>,
    ) -> async_graphql::Result<Option<DateTime<Utc>>> {
        let uses = context.data::<Loaders>()?.key_uses(self.member).await?;
        Ok(uses.get(&self.key).copied())
    }
}

/// A permission that somebody has.
#[derive(Clone, Debug, SimpleObject)]
pub struct GrantedPermission {
    /// Its name, say `entity.read`.
    pub name: String,
    /// Whether it reaches some entities only.
    pub is_conditioned: bool,
}

fn own_keys(request: &RequestContext) -> Vec<ApiKey> {
    let Some(member) = request.principal().member_id() else { return Vec::new() };
    let keys = request.shared().commands().api_keys(request.principal());
    keys.iter().map(|(key, it)| ApiKey::of(member, *key, it)).collect()
}

fn own_sessions(request: &RequestContext) -> Vec<Session> {
    let sessions = request.shared().commands().sessions(request.principal());
    sessions.into_iter().map(Session::from).collect()
}

#[Object]
impl ViewerQuery {
    /// Who the credential says is asking, and what they may do.
    async fn viewer(&self, context: &Context<'_>) -> async_graphql::Result<Viewer> {
        let request = context.data::<RequestContext>()?;
        let principal = request.principal();
        let granted = |it: &Permission| {
            let scope = principal.authorize(*it).ok().filter(|it| *it != Scope::None)?;
            let is_conditioned = matches!(scope, Scope::Where(_));
            Some(GrantedPermission { name: it.name().to_owned(), is_conditioned })
        };
        Ok(Viewer {
            actor: principal.actor().to_string(),
            tenant_id: principal.tenant().to_string(),
            permissions: Permission::ALL.iter().filter_map(granted).collect(),
            api_keys: own_keys(request),
            sessions: own_sessions(request),
        })
    }
}
