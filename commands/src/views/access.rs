//! Who may do what in each tenant, as everybody in the process may see it at any time.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use domain::id::{ActorId, RoleId, SessionId, TenantId};
use domain::member::{ApiKey, Invite, Member, Session, Term};
use domain::personal::Digest;
use domain::role::{BuiltIn, Definition, Permit, Role, RoleName, RoleRef};
use domain::{Grants, Permission, Principal};
use tokio::sync::watch;

/// The grants of every member. Asking costs three lookups and no allocation.
#[derive(Debug, Default)]
pub(crate) struct Access {
    tenants: RwLock<HashMap<TenantId, Company>>,
    /// Those of who is no member.
    nobody: Arc<Grants>,
    /// Counts up whenever somebody's grants may be others, or their tenant stands otherwise.
    changed: watch::Sender<u64>,
}

/// The members of one tenant.
#[derive(Debug, Default)]
struct Company {
    members: HashMap<ActorId, Arc<[RoleRef]>>,
    /// For which time each is one.
    terms: HashMap<ActorId, Term>,
    /// Who was a member, and up to which time.
    former: HashMap<ActorId, Term>,
    /// The API keys that were not revoked, and whose each is.
    keys: HashMap<ActorId, (ActorId, Arc<ApiKey>)>,
    /// Those that are somebody's, where there are any.
    keys_of: HashMap<ActorId, Vec<ActorId>>,
    /// The sessions of each member that were not ended, where there are any.
    sessions: HashMap<ActorId, Vec<(SessionId, Session)>>,
    /// By what each member was invited last.
    invites: HashMap<ActorId, Invite>,
    /// The tenant's own roles.
    roles: HashMap<RoleId, Definition>,
    /// What sets of roles amount to: of those that somebody has.
    sets: HashMap<Arc<[RoleRef]>, Compiled>,
}

/// What a set of roles amounts to.
#[derive(Debug)]
struct Compiled {
    grants: Arc<Grants>,
    /// How many members have these roles.
    members: usize,
}

impl Access {
    /// What `actor` may do in `tenant`.
    pub(crate) fn grants(&self, tenant: TenantId, actor: ActorId) -> Arc<Grants> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let compiled = tenants.get(&tenant).and_then(|it| it.sets.get(it.members.get(&actor)?));
        compiled.map_or(&self.nobody, |it| &it.grants).clone()
    }

    /// The API key that is the actor `key`, and whose it is.
    pub(crate) fn api_key(&self, tenant: TenantId, key: ActorId) -> Option<(ActorId, Arc<ApiKey>)> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.get(&tenant)?.keys.get(&key).cloned()
    }

    /// The API key `key` of `member`, which was issued for `scope`, with what that permits now.
    pub(crate) fn by_api_key(
        &self,
        tenant: TenantId,
        key: ActorId,
        member: ActorId,
        scope: &[Permission],
    ) -> Principal {
        let grants = Arc::new(self.grants(tenant, member).only(scope));
        Principal::api_key(tenant, key, member, grants)
    }

    /// The API keys of `member`, each with the actor it is, in order.
    pub(crate) fn api_keys(
        &self,
        tenant: TenantId,
        member: ActorId,
    ) -> Vec<(ActorId, Arc<ApiKey>)> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let Some(company) = tenants.get(&tenant) else { return Vec::new() };
        let keys = company.keys_of.get(&member).into_iter().flatten();
        keys.filter_map(|it| Some((*it, company.keys.get(it)?.1.clone()))).collect()
    }

    /// The sessions of `member` that were not ended, in order.
    pub(crate) fn sessions(&self, tenant: TenantId, member: ActorId) -> Vec<(SessionId, Session)> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let sessions = tenants.get(&tenant).and_then(|it| it.sessions.get(&member));
        sessions.cloned().unwrap_or_default()
    }

    /// The session of `member` whose text has this digest.
    pub(crate) fn session(
        &self,
        tenant: TenantId,
        member: ActorId,
        secret: Digest,
    ) -> Option<(SessionId, DateTime<Utc>)> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let sessions = tenants.get(&tenant)?.sessions.get(&member)?;
        // Whoever cannot make the digest learns nothing from how long it is compared.
        let found = sessions.iter().find(|it| it.1.secret == secret)?;
        Some((found.0, found.1.expires_at))
    }

    /// Whether `member` has this session, whatever its text is.
    pub(crate) fn has_session(
        &self,
        tenant: TenantId,
        member: ActorId,
        session: SessionId,
    ) -> bool {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let sessions = tenants.get(&tenant).and_then(|it| it.sessions.get(&member));
        sessions.is_some_and(|it| it.iter().any(|(id, _)| *id == session))
    }

    /// By what `member` was invited last.
    pub(crate) fn invite(&self, tenant: TenantId, member: ActorId) -> Option<Invite> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.get(&tenant)?.invites.get(&member).copied()
    }

    /// For which time `actor` is a member of `tenant`; none if they are none.
    pub(crate) fn term(&self, tenant: TenantId, actor: ActorId) -> Option<Term> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.get(&tenant)?.terms.get(&actor).copied()
    }

    /// Everybody who was a member of a tenant and is none, and up to which time they were.
    pub(crate) fn former(&self) -> Vec<(TenantId, ActorId, Term)> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let former = |(tenant, company): (&TenantId, &Company)| {
            let tenant = *tenant;
            let former: Vec<_> = company.former.iter().map(|it| (tenant, *it.0, *it.1)).collect();
            former
        };
        tenants.iter().flat_map(former).collect()
    }

    /// Whether `by` could invite `member` now: may invite, may whatever `member` may, and is an owner if
    /// `member` is one.
    pub(crate) fn could_invite(&self, tenant: TenantId, by: ActorId, member: ActorId) -> bool {
        let (held, asked) = (self.grants(tenant, by), self.grants(tenant, member));
        let may_invite = held.authorize(Permission::MemberWrite).is_ok();
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let is_owner = |it: ActorId| {
            let roles = tenants.get(&tenant).and_then(|company| company.members.get(&it));
            roles.is_some_and(|it| it.contains(&RoleRef::BuiltIn(BuiltIn::Owner)))
        };
        may_invite && held.cover(&asked).is_ok() && (is_owner(by) || !is_owner(member))
    }

    /// Which roles of `actor` in `tenant` give `permission`, each with how far; none if they are no
    /// member.
    pub(crate) fn given_by(
        &self,
        tenant: TenantId,
        actor: ActorId,
        permission: Permission,
    ) -> Option<Vec<(RoleName, Permit)>> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let company = tenants.get(&tenant)?;
        let held = company.members.get(&actor)?;
        let named = held.iter().filter_map(|it| match it {
            RoleRef::BuiltIn(role) => Some((RoleName::from(*role), role.permits())),
            RoleRef::Own(role) => company.roles.get(role).map(|it| (it.name.clone(), &*it.permits)),
        });
        let given = named.flat_map(|(name, permits)| {
            let permits = permits.iter().filter(|it| it.permission == permission);
            permits.map(move |it| (name.clone(), it.clone()))
        });
        Some(given.filter(|_| permission.exists_in(tenant)).collect())
    }

    /// Whether `actor` is a member of `tenant`, as far as is known here.
    pub(crate) fn is_member(&self, tenant: TenantId, actor: ActorId) -> bool {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.get(&tenant).is_some_and(|it| it.members.contains_key(&actor))
    }

    /// Whether `tenant` has any member, as far as is known here.
    pub(crate) fn has_members(&self, tenant: TenantId) -> bool {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.get(&tenant).is_some_and(|it| !it.members.is_empty())
    }

    /// Shows whenever somebody's grants may be others, or their tenant stands otherwise.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn show_member(&self, tenant: TenantId, actor: ActorId, member: &Member) {
        self.change(tenant, |company| {
            company.show_keys(actor, member);
            company.show_sessions(actor, member);
            let before = match member {
                Member::Present { roles, .. } => {
                    company.hold(tenant, roles);
                    company.terms.extend(member.term().map(|it| (actor, it)));
                    company.former.remove(&actor);
                    company.members.insert(actor, roles.clone())
                }
                Member::Removed(term) => {
                    company.terms.remove(&actor);
                    company.former.insert(actor, *term);
                    company.members.remove(&actor)
                }
                Member::NotAdded => None,
            };
            before.iter().for_each(|it| company.release(it));
        });
    }

    pub(super) fn show_role(&self, tenant: TenantId, id: RoleId, role: &Role) {
        self.change(tenant, |company| {
            match role {
                Role::Defined(definition) => {
                    company.roles.insert(id, definition.clone());
                }
                Role::NotDefined | Role::Retired(_) => drop(company.roles.remove(&id)),
            }
            let Company { roles, sets, .. } = company;
            let named = sets.iter_mut().filter(|it| it.0.contains(&RoleRef::Own(id)));
            named.for_each(|(set, it)| it.grants = Arc::new(compile(tenant, set, roles)));
        });
    }

    /// Shows nobody of `tenant` any more.
    pub(super) fn forget(&self, tenant: TenantId) {
        self.change(tenant, |company| *company = Company::default());
    }

    fn change(&self, tenant: TenantId, change: impl FnOnce(&mut Company)) {
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        change(tenants.entry(tenant).or_default());
        drop(tenants);
        self.tell();
    }

    /// Says that what somebody may do may be something else by now.
    pub(super) fn tell(&self) {
        self.changed.send_modify(|it| *it += 1);
    }
}

impl Company {
    fn show_keys(&mut self, actor: ActorId, member: &Member) {
        for key in self.keys_of.remove(&actor).into_iter().flatten() {
            self.keys.remove(&key);
        }
        let shown: Vec<_> = member.api_keys().map(|it| it.0).collect();
        if !shown.is_empty() {
            let keys = member.api_keys();
            self.keys.extend(keys.map(|(key, it)| (key, (actor, Arc::new(it.clone())))));
            self.keys_of.insert(actor, shown);
        }
    }

    fn show_sessions(&mut self, actor: ActorId, member: &Member) {
        let sessions: Vec<_> = member.sessions().map(|(id, it)| (id, it.clone())).collect();
        if sessions.is_empty() {
            self.sessions.remove(&actor);
        } else {
            self.sessions.insert(actor, sessions);
        }
        match member.invite() {
            Some(invite) => self.invites.insert(actor, *invite),
            None => self.invites.remove(&actor),
        };
    }

    /// Notes that one more member has these roles.
    fn hold(&mut self, tenant: TenantId, set: &Arc<[RoleRef]>) {
        let Self { roles, sets, .. } = self;
        let compiled = sets.entry(set.clone()).or_insert_with(|| Compiled {
            grants: Arc::new(compile(tenant, set, roles)),
            members: 0,
        });
        compiled.members += 1;
    }

    /// Notes that one member less has these roles, and forgets what they amount to with the last.
    fn release(&mut self, set: &Arc<[RoleRef]>) {
        if let Some(compiled) = self.sets.get_mut(set) {
            compiled.members -= 1;
            if compiled.members == 0 {
                self.sets.remove(set);
            }
        }
    }
}

/// What a set of roles amounts to.
fn compile(tenant: TenantId, set: &[RoleRef], roles: &HashMap<RoleId, Definition>) -> Grants {
    let permits = |it: &RoleRef| match it {
        RoleRef::BuiltIn(role) => role.permits(),
        RoleRef::Own(role) => roles.get(role).map_or(&[][..], |it| &it.permits),
    };
    Grants::of(tenant, set.iter().flat_map(permits))
}

#[cfg(test)]
mod tests;
