//! How members come in: inviting them, and ending their sessions. That somebody signs in is no
//! mutation, for nobody is signed in before.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use commands::SecretOf;
use commands::request::Repetition;
use domain::id::{ActorId, SessionId};
use domain::member::Lifetime;
use domain::operation::Operation;
use domain::principal::Means;

use super::access::{ask, read};
use super::{CommandOptions, CommandOutcome, CommandPayload, UserError, refused, submit};
use crate::auth::Secret;
use crate::context::RequestContext;
use crate::error::ApiError;

/// Changing who is, or may come, signed in.
#[derive(Debug, Default)]
pub struct SessionMutation;

/// Somebody to be invited.
#[derive(Clone, Debug, InputObject)]
pub struct InviteMemberInput {
    /// Who, `usr_…`: a member already.
    pub member_id: String,
    /// For how long, in hours: 168 at most, which are seven days.
    #[graphql(default = 168)]
    pub hours: u32,
}

// It has no text form for logs: it holds the text.
/// An invite.
#[derive(Clone, SimpleObject)]
pub struct Invite {
    /// What the member signs up with, `cbi_…`: it is good once, and for nothing once another invite
    /// was made out for them. It is shown once: a repetition with the same idempotency key has none, nor has
    /// a preview.
    pub text: Option<String>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

// It has no text form for logs: it holds the invite.
/// The answer to `inviteMember`.
#[derive(Clone, SimpleObject)]
pub struct InviteMemberPayload {
    /// The invite; none if it was not accepted.
    pub invite: Option<Invite>,
    /// What became of it; none if it was not accepted.
    pub outcome: Option<CommandOutcome>,
    /// What the caller has to mend; then nothing was changed.
    pub user_errors: Vec<UserError>,
}

/// Sessions to be ended: that of this request, if nothing else is said.
#[derive(Clone, Debug, Default, InputObject)]
pub struct SignOutInput {
    /// Which, `ses_…`.
    pub session_id: Option<String>,
    /// Every one.
    #[graphql(default)]
    pub everywhere: bool,
    /// Whose; one's own if not given. For who has `member.write`.
    pub member_id: Option<String>,
}

impl From<super::Submitted> for InviteMemberPayload {
    /// The answer without the invite.
    fn from(submitted: super::Submitted) -> Self {
        let (outcome, user_errors) = (submitted.outcome, submitted.user_errors);
        Self { invite: None, outcome, user_errors }
    }
}

#[Object]
impl SessionMutation {
    /// Let a member say how they sign in, for the first time or because they have forgotten it: whoever
    /// has the text of the invite does. What the member was invited by before is good for nothing.
    async fn invite_member(
        &self,
        context: &Context<'_>,
        input: InviteMemberInput,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<InviteMemberPayload>> {
        let request = context.data::<RequestContext>()?;
        let (tenant, commands) = (request.principal().tenant(), request.shared().commands());
        let member: ActorId = match read("input.memberId", &input.member_id) {
            Ok(member) => member,
            Err(error) => return Ok(Some(refused(vec![error]).into())),
        };
        let text = Secret::draw(request.keyring(), SecretOf::Invite, tenant, member);
        let digest = commands.digest_of_secret(tenant, SecretOf::Invite, &text).await;
        let (secret, lifetime) = (digest.map_err(ApiError::from)?, Lifetime::hours(input.hours));
        let is_preview = options.as_ref().is_some_and(|it| it.preview);
        let operation = Operation::InviteMember { member, secret, lifetime };
        let submitted = submit(context, operation, options).await?;
        let Some(accepted) = &submitted.accepted else { return Ok(Some(submitted.into())) };
        let is_first = accepted.repetition == Repetition::First;
        let text = Some(text).filter(|_| is_first && !is_preview);
        let invite = Some(Invite { text, expires_at: lifetime.after(accepted.at) });
        Ok(Some(InviteMemberPayload { invite, ..submitted.into() }))
    }

    /// End the session of this request, a given one, or every one of a member.
    async fn sign_out(
        &self,
        context: &Context<'_>,
        input: Option<SignOutInput>,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let request = context.data::<RequestContext>()?;
        let input = input.unwrap_or_default();
        let operation = match which(request, &input) {
            Ok(session) => {
                let member = input.member_id.as_deref();
                let member = member.map(|it| read("input.memberId", it)).transpose();
                member.map(|member| Operation::SignOut { member, session })
            }
            Err(error) => Err(error),
        };
        ask(context, operation, options).await
    }
}

/// Which session is meant; none if it is every one.
fn which(request: &RequestContext, input: &SignOutInput) -> Result<Option<SessionId>, UserError> {
    match (&input.session_id, input.everywhere, request.principal().means()) {
        (Some(session), false, _) => read("input.sessionId", session).map(Some),
        (None, true, _) => Ok(None),
        (None, false, Means::Session(session)) if input.member_id.is_none() => Ok(Some(session)),
        (None, false, _) => Err(super::user_error(
            "BAD_USER_INPUT",
            "this request is not in a session of theirs; name one, or all with `everywhere`",
            Some("input.sessionId"),
        )),
        (Some(_), true, _) => Err(super::user_error(
            "BAD_USER_INPUT",
            "expected a session or `everywhere`, got both",
            Some("input.everywhere"),
        )),
    }
}
