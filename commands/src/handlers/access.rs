//! Who may do what: changes of members and roles, and whether whoever asks for anything may.
//!
//! Both are told by the same overlay, so what is asked after a removal in the same batch is
//! already refused.

use chrono::{DateTime, Utc};
use domain::Stream;
use domain::id::{ActorId, RoleId, TenantId};
use domain::member::{self, Member, Session};
use domain::operation::ExpectedRevision;
use domain::principal::{Beyond, Denied, Grants, Means, Need, Permission, Scope, Unfit};
use domain::role::{self, BuiltIn, Permit, Role, RoleRef};

use super::{Decision, Refusal, rejected};
use crate::prepare::{Claim, EntityChange, Prepared};
use crate::request::CommandError;
#[cfg(test)]
use crate::settings::Sabotage;
use crate::state::Overlay;
use crate::within::{Sight, Within};

/// Fails unless the roles of whoever asks permit it now. That holds for a repetition too: what it was
/// answered is nothing for somebody who may not ask any more.
pub(crate) fn authorize(
    overlay: &Overlay<'_>,
    prepared: &Prepared,
    now: DateTime<Utc>,
) -> Result<(), CommandError> {
    let Some(Claim { need, member, means }) = prepared.claim else { return Ok(()) };
    let tenant = prepared.tenant;
    let known = overlay.aggregate::<Member>(tenant, member);
    let is_session_that = |is_good: fn(&Session, DateTime<Utc>) -> bool| match means {
        Means::Session(id) => {
            known.and_then(|it| it.session(id)).is_some_and(|it| is_good(it, now))
        }
        Means::Roles | Means::ApiKey(_) | Means::Proof => true,
    };
    let lasts = is_session_that(|it, now| now < it.expires_at);
    let permission = match need {
        Need::Proof => return Ok(means.admit_proof()?),
        Need::Oneself => {
            means.admit_in_person()?;
            return if lasts { Ok(()) } else { Err(Unfit::NotInPerson.into()) };
        }
        Need::Permission(permission) | Need::Fresh(permission) => permission,
    };
    let permits = |it: &RoleRef| {
        permits_of(overlay, tenant, *it).iter().any(|it| it.permission == permission)
    };
    let is_permitted = roles_of(overlay, tenant, member).iter().any(permits);
    let is_good_for_it = match means {
        Means::ApiKey(key) => {
            let key = known.and_then(|it| it.api_key(key));
            key.is_some_and(|it| it.permits(permission, now))
        }
        Means::Roles | Means::Session(_) => lasts,
        Means::Proof => false,
    };
    if !permission.exists_in(tenant) || !is_permitted || !is_good_for_it {
        return Err(Denied { permission }.into());
    }
    if matches!(need, Need::Fresh(_)) && !is_session_that(Session::is_fresh) {
        return Err(Unfit::NotFresh.into());
    }
    Ok(())
}

fn roles_of<'o>(overlay: &'o Overlay<'_>, tenant: TenantId, actor: ActorId) -> &'o [RoleRef] {
    overlay.aggregate::<Member>(tenant, actor).map_or(&[], Member::roles)
}

fn permits_of<'o>(overlay: &'o Overlay<'_>, tenant: TenantId, role: RoleRef) -> &'o [Permit] {
    match role {
        RoleRef::BuiltIn(role) => role.permits(),
        RoleRef::Own(role) => overlay.aggregate::<Role>(tenant, role).map_or(&[], Role::permits),
    }
}

impl Decision<'_, '_> {
    /// Changes a member on behalf of `grantor`, who can neither give nor take what they lack.
    pub(super) fn change_member(
        &mut self,
        member: ActorId,
        command: &mut member::Command,
        grantor: Option<Claim>,
        expected: ExpectedRevision,
    ) -> Result<(), Refusal> {
        use member::Command::{
            Add, ChangeCredential, ChangeRoles, Invite, IssueApiKey, Remove, RevokeApiKey, SignIn,
            SignOut,
        };

        // Nobody has to stay signed in because their tenant is suspended.
        if !matches!(command, SignOut { .. }) {
            self.active()?;
        }
        self.expect(&Stream::Member(member), expected, &member)?;
        let mut roles = self.roles_of(member).to_vec();
        match command {
            Add { roles: given, .. } => roles.extend(self.existing(&*given)?),
            ChangeRoles { roles: given, owners } => {
                roles.extend(self.existing(&*given)?);
                *owners = self.overlay.tally(self.tenant).owners;
            }
            Remove { owners } => *owners = self.overlay.tally(self.tenant).owners,
            Invite { by, .. } => {
                self.check_inviter(grantor, member)?;
                *by = grantor.map(|it| it.member);
            }
            IssueApiKey { .. }
            | RevokeApiKey { .. }
            | SignIn { .. }
            | SignOut { .. }
            | ChangeCredential { .. } => {}
        }
        // Whose keys or sessions end loses nothing that was theirs alone, but whoever an API key got to
        // would keep everybody out who could revoke it.
        let is_by_key = grantor.is_some_and(|it| matches!(it.means, Means::ApiKey(_)));
        let is_checked = match command {
            RevokeApiKey { .. } | SignOut { .. } => is_by_key,
            // Who proves who they are gains nothing that was not theirs before.
            SignIn { .. } | ChangeCredential { .. } => false,
            Add { .. }
            | ChangeRoles { .. }
            | Remove { .. }
            | Invite { .. }
            | IssueApiKey { .. } => true,
        };
        if is_checked {
            let permits: Vec<_> = roles.iter().flat_map(|it| self.permits_of(*it)).collect();
            self.check_grantor(grantor, permits)?;
            self.check_owner(grantor, &roles)?;
        }
        self.decide::<Member>(member, command)
    }

    /// Fails if an API key invites: whoever it got to would sign in as somebody, and go on when the key
    /// has ended. So if who has signed in invites themselves: whoever a session got to would set
    /// their password without knowing the one before.
    fn check_inviter(&self, grantor: Option<Claim>, member: ActorId) -> Result<(), Refusal> {
        #[cfg(test)]
        if self.around.sabotage == Some(Sabotage::DelegateAnything) {
            return Ok(());
        }
        match grantor.map(|it| (it.means, it.member == member)) {
            Some((Means::ApiKey(_), _)) => {
                Err(rejected("BEYOND_GRANTOR", &"an API key invites nobody"))
            }
            Some((Means::Session(_), true)) => {
                let why = "who has signed in does not invite themselves; change your password";
                Err(rejected("BEYOND_GRANTOR", &why))
            }
            Some((Means::Session(_) | Means::Roles | Means::Proof, _)) | None => Ok(()),
        }
    }

    /// Fails if somebody who is no owner makes one or changes what one is. In the system tenant an
    /// admin has all the permissions that an owner has.
    fn check_owner(&self, grantor: Option<Claim>, roles: &[RoleRef]) -> Result<(), Refusal> {
        let owner = RoleRef::BuiltIn(BuiltIn::Owner);
        let Some(grantor) = grantor.filter(|_| roles.contains(&owner)) else { return Ok(()) };
        #[cfg(test)]
        if self.around.sabotage == Some(Sabotage::DelegateAnything) {
            return Ok(());
        }
        if self.roles_of(grantor.member).contains(&owner) {
            return Ok(());
        }
        Err(rejected(
            "BEYOND_GRANTOR",
            &"only an owner makes somebody an owner, or no owner any more",
        ))
    }

    /// Changes a role on behalf of `grantor`, who can neither give nor take what they lack.
    pub(super) fn change_role(
        &mut self,
        role: RoleId,
        command: &role::Command,
        grantor: Option<Claim>,
        expected: ExpectedRevision,
    ) -> Result<(), Refusal> {
        self.active()?;
        self.expect(&Stream::Role(role), expected, &role)?;
        let given: &[Permit] = match command {
            role::Command::Define { permits, .. } | role::Command::Change { permits } => permits,
            role::Command::Retire => &[],
        };
        let permits = self.permits_of(RoleRef::Own(role)).iter().chain(given).collect();
        self.check_grantor(grantor, permits)?;
        self.decide::<Role>(role, command)
    }

    /// Fails unless whoever asks may make these changes: of each entity that is there, the condition under
    /// which they may must hold now. That it holds afterwards was looked at before.
    pub(super) fn check_entities(
        &self,
        claim: Option<Claim>,
        changes: &[EntityChange],
        within: Option<&Within>,
    ) -> Result<(), Refusal> {
        let permission = Permission::EntityWrite;
        let Some(Scope::Where(held)) = claim.map(|it| self.scope(it.member, permission)) else {
            return Ok(());
        };
        let denied = || Refusal::Caller(Denied { permission }.into());
        let within = within.ok_or_else(denied)?;
        if !within.condition.is_within(&held) {
            return Err(Refusal::Stale);
        }
        for EntityChange { entity, reference, .. } in changes {
            let slot = self.overlay.slot(self.tenant, &Stream::Entity(*entity));
            let Some(slot) = slot.filter(|it| it.held.is_registered_entity()) else { continue };
            match within.seen.get(reference) {
                Some(Sight { revision, holds }) if *revision == slot.revision => {
                    if !holds {
                        return Err(denied());
                    }
                }
                Some(_) | None => return Err(Refusal::Stale),
            }
        }
        Ok(())
    }

    /// How far `member` may do something.
    fn scope(&self, member: ActorId, permission: Permission) -> Scope {
        let permits = self.roles_of(member).iter().flat_map(|it| self.permits_of(*it));
        let given = permits.filter(|it| it.permission == permission);
        given.fold(Scope::None, |scope, it| scope.or(Scope::of(it.condition.as_ref())))
    }

    /// The given roles, of which the tenant's own must exist.
    fn existing<'r>(
        &self,
        given: impl IntoIterator<Item = &'r RoleRef>,
    ) -> Result<Vec<RoleRef>, Refusal> {
        let known = given.into_iter().map(|it| match it {
            RoleRef::Own(role) => match self.overlay.aggregate::<Role>(self.tenant, *role) {
                Some(Role::Defined(_)) => Ok(*it),
                Some(Role::NotDefined | Role::Retired(_)) | None => {
                    Err(rejected("ROLE_NOT_FOUND", &"a role that is given does not exist"))
                }
            },
            RoleRef::BuiltIn(_) => Ok(*it),
        });
        known.collect()
    }

    /// Fails if `grantor` lacks any of what is given or taken away.
    fn check_grantor(&self, grantor: Option<Claim>, permits: Vec<&Permit>) -> Result<(), Refusal> {
        let Some(grantor) = grantor else { return Ok(()) };
        #[cfg(test)]
        if self.around.sabotage == Some(Sabotage::DelegateAnything) {
            return Ok(());
        }
        let held = self.roles_of(grantor.member).iter().flat_map(|it| self.permits_of(*it));
        let mut held = Grants::of(self.tenant, held);
        if let Means::ApiKey(key) = grantor.means {
            let grantor = self.overlay.aggregate::<Member>(self.tenant, grantor.member);
            let issued = grantor.and_then(|it| it.api_key(key));
            held = held.only(issued.map_or(&[], |it| &it.scope));
        }
        let Err(Beyond(permission)) = held.cover(&Grants::of(self.tenant, permits)) else {
            return Ok(());
        };
        let name = permission.name();
        let reason =
            format!("`{name}` would be given or taken away by who does not have it so far");
        Err(rejected("BEYOND_GRANTOR", &reason))
    }

    fn roles_of(&self, actor: ActorId) -> &[RoleRef] {
        roles_of(self.overlay, self.tenant, actor)
    }

    fn permits_of(&self, role: RoleRef) -> &[Permit] {
        permits_of(self.overlay, self.tenant, role)
    }
}
