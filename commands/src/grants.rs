//! What somebody may do, asked of what this process follows and of no read model.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::id::{ActorId, SessionId, TenantId};
use domain::member::{ApiKey, Invite, Session, Term};
use domain::personal::Digest;
use domain::principal::{Denied, Means};
use domain::role::{Permit, RoleName};
use domain::tenant::Standing;
use domain::{Permission, Principal, Scope, tenant};
use tokio::time::Instant;

use crate::away::Away;
use crate::commands::Commands;
use crate::request::CommandError;

/// How often somebody whose stream is open is looked at although nothing has changed, where others
/// write to the log too. In seconds: 1.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// When to ask again if one may do something else than a moment ago. In milliseconds: 1.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Secrets of members, each known by a digest under the key of its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretOf {
    /// An API key.
    ApiKey,
    /// A session.
    Session,
    /// An invite.
    Invite,
}

impl SecretOf {
    /// What tells its digest from those of others.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api-key",
            Self::Session => "session",
            Self::Invite => "invite",
        }
    }
}

/// Why somebody may do something, or may not.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Who they are, with all that they may.
    pub principal: Principal,
    /// Whether they, or whose API key they are, belong to the tenant at all.
    pub is_member: bool,
    /// Which of their roles give the permission, and how far each does. An API key has those of its
    /// member, for what it was issued for.
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
        let mut explained = self.principal(tenant, actor).await?;
        let access = &self.inner().views.access;
        let (mut member, mut is_in_scope) = (actor, true);
        if let Some((owner, issued)) = access.api_key(tenant, actor) {
            explained = access.by_api_key(tenant, actor, owner, &issued.scope);
            (member, is_in_scope) = (owner, issued.scope.contains(&permission));
        }
        let given_by = access.given_by(tenant, member, permission).filter(|_| is_in_scope);
        let is_member = access.is_member(tenant, member);
        Ok(Explanation { principal: explained, is_member, given_by: given_by.unwrap_or_default() })
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
        self.hear(tenant, access.is_member(tenant, actor)).await?;
        Ok(Principal::member(tenant, actor, access.grants(tenant, actor)))
    }

    /// Sees to it that what is known here of who may do what in `tenant` is recent: of this moment,
    /// unless whom it is about `is_known`.
    pub(crate) async fn hear(&self, tenant: TenantId, is_known: bool) -> Result<(), CommandError> {
        if self.inner().views.is_unread(tenant) {
            return Err(CommandError::Unavailable(Away::Key));
        }
        if !self.inner().is_shared {
            return Ok(());
        }
        match self.find(tenant).await {
            Ok(partition) if is_known => partition.is_heard().await,
            // It may have come about a moment ago, elsewhere.
            Ok(partition) => partition.hear().await,
            // There is no such tenant, so nobody is anything in it.
            Err(CommandError::Rejected { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What becomes of a refusal by what is known here of `principal`, which may be some seconds old: it
    /// stands if it rests on all that is recorded by now.
    ///
    /// # Errors
    ///
    /// What to answer, always: [`CommandError::Busy`] if `principal` may do something else by now, and
    /// [`CommandError::Unavailable`] if that cannot be found out.
    pub async fn reconsider(&self, principal: &Principal, denied: Denied) -> CommandError {
        if let Err(error) = self.hear(principal.tenant(), false).await {
            return error;
        }
        let has_it =
            |it: &Principal| it.authorize(denied.permission).is_ok_and(|it| it != Scope::None);
        match self.at_present(principal) {
            Some(present) if present != *principal && has_it(&present) => {
                CommandError::Busy { retry_after: AT_ONCE }
            }
            _ => denied.into(),
        }
    }

    /// `principal` with the grants that it has now; none if it has none of its own.
    fn at_present(&self, principal: &Principal) -> Option<Principal> {
        let (tenant, actor) = (principal.tenant(), principal.actor());
        let (access, member) = (&self.inner().views.access, principal.member_id()?);
        let grants = access.grants(tenant, member);
        match principal.means() {
            Means::Roles => Some(Principal::member(tenant, actor, grants)),
            Means::Session(session) => Some(Principal::session(tenant, actor, session, grants)),
            Means::ApiKey(key) => {
                let (member, issued) = access.api_key(tenant, key)?;
                Some(access.by_api_key(tenant, key, member, &issued.scope))
            }
            Means::Proof => None,
        }
    }

    /// Who the API key `key` of `tenant` is, and when it ends; none if its secret is another, or it
    /// has ended or was never issued.
    ///
    /// # Errors
    ///
    /// As [`Self::principal`], and if the tenant's keys cannot be had.
    pub async fn principal_of_api_key(
        &self,
        tenant: TenantId,
        key: ActorId,
        secret: &str,
    ) -> Result<Option<(Principal, DateTime<Utc>)>, CommandError> {
        let access = &self.inner().views.access;
        self.hear(tenant, access.api_key(tenant, key).is_some()).await?;
        let Some((member, issued)) = access.api_key(tenant, key) else { return Ok(None) };
        // Whoever cannot make the digest learns nothing from how long it is compared.
        let is_it =
            issued.secret == self.digest_of_secret(tenant, SecretOf::ApiKey, secret).await?;
        if !is_it || issued.expires_at <= Utc::now() {
            return Ok(None);
        }
        Ok(Some((access.by_api_key(tenant, key, member, &issued.scope), issued.expires_at)))
    }

    /// Who `actor` is in the session of `tenant` for which `text` stands, and when that ends; none if
    /// it has ended, or is somebody else's, or never was.
    ///
    /// # Errors
    ///
    /// As [`Self::principal_of_api_key`].
    pub async fn principal_of_session(
        &self,
        tenant: TenantId,
        actor: ActorId,
        text: &str,
    ) -> Result<Option<(Principal, DateTime<Utc>)>, CommandError> {
        let access = &self.inner().views.access;
        let digest = self.digest_of_secret(tenant, SecretOf::Session, text).await?;
        let is_known = access.session(tenant, actor, digest).is_some();
        self.hear(tenant, is_known).await?;
        let Some((session, expires_at)) = access.session(tenant, actor, digest) else {
            return Ok(None);
        };
        if expires_at <= Utc::now() {
            return Ok(None);
        }
        let grants = access.grants(tenant, actor);
        Ok(Some((Principal::session(tenant, actor, session, grants), expires_at)))
    }

    /// For which time the member `actor` of `tenant` is one, if `text` is what they were invited by last,
    /// that has not ended, and whoever made it out could still do so. Whether it was used is not
    /// known here.
    ///
    /// # Errors
    ///
    /// As [`Self::principal_of_api_key`].
    pub async fn invited(
        &self,
        tenant: TenantId,
        actor: ActorId,
        text: &str,
    ) -> Result<Option<Term>, CommandError> {
        let access = &self.inner().views.access;
        let digest = self.digest_of_secret(tenant, SecretOf::Invite, text).await?;
        let holds =
            |it: Option<ActorId>| it.is_none_or(|it| access.could_invite(tenant, it, actor));
        let is_it = |it: &Invite| it.secret == digest && Utc::now() < it.expires_at && holds(it.by);
        let is_known = access.invite(tenant, actor).as_ref().is_some_and(is_it);
        self.hear(tenant, is_known).await?;
        let is_invited = access.invite(tenant, actor).as_ref().is_some_and(is_it);
        Ok(access.term(tenant, actor).filter(|_| is_invited))
    }

    /// The same at this moment, and not as it was a moment ago.
    ///
    /// # Errors
    ///
    /// As [`Self::invited`].
    pub async fn invited_still(
        &self,
        tenant: TenantId,
        actor: ActorId,
        text: &str,
    ) -> Result<Option<Term>, CommandError> {
        self.hear(tenant, false).await?;
        self.invited(tenant, actor, text).await
    }

    /// For which time `actor` is a member of `tenant` at this moment; none if they are none.
    ///
    /// # Errors
    ///
    /// As [`Self::principal`].
    pub async fn term_now(
        &self,
        tenant: TenantId,
        actor: ActorId,
    ) -> Result<Option<Term>, CommandError> {
        self.hear(tenant, false).await?;
        Ok(self.term(tenant, actor))
    }

    /// The same as far as is known here.
    #[must_use]
    pub fn term(&self, tenant: TenantId, actor: ActorId) -> Option<Term> {
        self.inner().views.access.term(tenant, actor)
    }

    /// Everybody who was a member of a tenant and is none as far as is known here, and up to which time
    /// they were.
    #[must_use]
    pub fn former_members(&self) -> Vec<(TenantId, ActorId, Term)> {
        self.inner().views.access.former()
    }

    /// By what a secret of `tenant` is known.
    ///
    /// # Errors
    ///
    /// If the tenant's keys cannot be had.
    pub async fn digest_of_secret(
        &self,
        tenant: TenantId,
        of: SecretOf,
        text: &str,
    ) -> Result<Digest, CommandError> {
        let keys = self.keys_in_time(tenant).await?;
        let life = &self.inner().settings.life;
        Ok(match of {
            SecretOf::Session | SecretOf::Invite if !life.is_empty() => {
                keys.digest(&format!("{} {life}", of.name()), text)
            }
            SecretOf::ApiKey | SecretOf::Session | SecretOf::Invite => keys.digest(of.name(), text),
        })
    }

    /// The API keys of `principal` that were not revoked, each with the actor it is: of an API key, itself
    /// alone.
    #[must_use]
    pub fn api_keys(&self, principal: &Principal) -> Vec<(ActorId, Arc<ApiKey>)> {
        let Some(member) = principal.member_id() else { return Vec::new() };
        let mut keys = self.inner().views.access.api_keys(principal.tenant(), member);
        if let Means::ApiKey(own) = principal.means() {
            keys.retain(|it| it.0 == own);
        }
        keys
    }

    /// The API keys of `member` that were not revoked, as far as is known here, each with the actor it is.
    #[must_use]
    pub fn api_keys_of(&self, tenant: TenantId, member: ActorId) -> Vec<(ActorId, Arc<ApiKey>)> {
        self.inner().views.access.api_keys(tenant, member)
    }

    /// The sessions of `principal` that were not ended: an API key has none.
    #[must_use]
    pub fn sessions(&self, principal: &Principal) -> Vec<(SessionId, Session)> {
        match (principal.means(), principal.member_id()) {
            (Means::ApiKey(_), _) | (_, None) => Vec::new(),
            (Means::Roles | Means::Session(_) | Means::Proof, Some(member)) => {
                self.inner().views.access.sessions(principal.tenant(), member)
            }
        }
    }

    /// Who was asked for a moment ago, with what they may do by now as far as is known here.
    #[must_use]
    pub fn renewed(&self, principal: &Principal) -> Principal {
        self.renew(principal).0
    }

    /// The same, and whether that by which `principal` acts is still a part of the member whose it is.
    fn renew(&self, principal: &Principal) -> (Principal, bool) {
        let access = &self.inner().views.access;
        let (tenant, actor) = (principal.tenant(), principal.actor());
        match (principal.means(), principal.member_id()) {
            (Means::ApiKey(key), Some(member)) => {
                let issued = access.api_key(tenant, key).map(|it| it.1);
                let scope = issued.as_ref().map_or(&[][..], |it| &it.scope);
                (access.by_api_key(tenant, key, member, scope), issued.is_some())
            }
            (Means::Session(session), _) => {
                let lasts = access.has_session(tenant, actor, session);
                let grants = if lasts { access.grants(tenant, actor) } else { Arc::default() };
                (Principal::session(tenant, actor, session, grants), lasts)
            }
            (Means::Proof, _) => (principal.clone(), true),
            (Means::ApiKey(_) | Means::Roles, _) => {
                (Principal::member(tenant, actor, access.grants(tenant, actor)), true)
            }
        }
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

    /// When at the latest what is known here of who may do what in `tenant` has to be looked at again;
    /// none if it counts no longer. Whoever is about to find that waits with `patience`.
    async fn look_again(&self, tenant: TenantId, patience: Duration) -> Option<Duration> {
        if !self.inner().is_shared {
            return Some(Duration::MAX);
        }
        match self.owner_of(tenant) {
            Ok(partition) => Some(partition.heard_for(patience).await?.min(LOOKED_AT_EVERY)),
            // There is no such tenant, so nobody is anything in it.
            Err(CommandError::Rejected { .. }) => Some(LOOKED_AT_EVERY),
            Err(_) => None,
        }
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
        let tenant = principal.tenant();
        let mut was_active = self.check_active(tenant).is_ok();
        async move {
            let mut changes = commands.inner().views.access.changes();
            let mut due: Option<Instant> = None;
            loop {
                changes.mark_unchanged();
                // Whoever did not look in time has not seen to it that it is asked for either.
                let is_late = due.is_none_or(|it| it.elapsed() > LOOKED_AT_EVERY);
                let patience = if is_late { LOOKED_AT_EVERY } else { Duration::ZERO };
                let Some(again) = commands.look_again(tenant, patience).await else { return };
                let (renewed, lasts) = commands.renew(&principal);
                if !lasts || !renewed.covers(&principal) {
                    return;
                }
                let is_active = commands.check_active(tenant).is_ok();
                if was_active && !is_active {
                    return;
                }
                was_active = is_active;
                due = Instant::now().checked_add(again);
                // Whether anything came within that time is told by the next look.
                if let Ok(Err(_gone)) = tokio::time::timeout(again, changes.changed()).await {
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
