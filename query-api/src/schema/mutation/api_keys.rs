//! API keys: one's own, and those of members.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use commands::SecretOf;
use commands::request::Repetition;
use domain::Permission;
use domain::id::ActorId;
use domain::member;
use domain::operation::Operation;
use uuid::Uuid;

use super::access::{ask, read};
use super::{CommandOptions, CommandOutcome, CommandPayload, UserError, refused, submit};
use crate::auth::Secret;
use crate::context::RequestContext;
use crate::error::ApiError;

/// Changing API keys.
#[derive(Debug, Default)]
pub struct ApiKeyMutation;

/// An API key to be issued.
#[derive(Clone, Debug, InputObject)]
pub struct IssueApiKeyInput {
    /// What it is called, say `nightly-import`: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter.
    pub name: String,
    /// What may be done by it as long as one may do so oneself, say `entity.write`.
    pub scope: Vec<String>,
    /// When it ends: within 366 days from now.
    pub expires_at: DateTime<Utc>,
}

// It has no text form for logs: it holds the key.
/// The answer to `issueApiKey`.
#[derive(Clone, SimpleObject)]
pub struct IssueApiKeyPayload {
    /// The actor that the key is, `usr_…`; none if it was not accepted.
    pub key_id: Option<String>,
    /// The key, to be sent as `Authorization: Bearer cbk_…`. It is shown once: a repetition with the
    /// same idempotency key has none, nor has a preview.
    pub secret: Option<String>,
    /// What became of it; none if it was not accepted.
    pub outcome: Option<CommandOutcome>,
    /// What the caller has to mend; then nothing was changed.
    pub user_errors: Vec<UserError>,
}

impl From<super::Submitted> for IssueApiKeyPayload {
    /// The answer without the key.
    fn from(submitted: super::Submitted) -> Self {
        let (outcome, user_errors) = (submitted.outcome, submitted.user_errors);
        Self { key_id: None, secret: None, outcome, user_errors }
    }
}

fn read_input(input: &IssueApiKeyInput) -> Result<member::ApiKey, UserError> {
    let scope = input.scope.iter().map(|it| read::<Permission>("input.scope", it));
    Ok(member::ApiKey {
        name: read("input.name", &input.name)?,
        scope: scope.collect::<Result<_, _>>()?,
        secret: member::ApiKey::UNKNOWN,
        expires_at: input.expires_at,
    })
}

#[Object]
impl ApiKeyMutation {
    /// Issue an API key of one's own: by it a machine may do a part of what one may oneself.
    async fn issue_api_key(
        &self,
        context: &Context<'_>,
        input: IssueApiKeyInput,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<IssueApiKeyPayload>> {
        let request = context.data::<RequestContext>()?;
        let (tenant, commands) = (request.principal().tenant(), request.shared().commands());
        let mut asked = match read_input(&input) {
            Ok(asked) => asked,
            Err(error) => return Ok(Some(refused(vec![error]).into())),
        };
        let key = ActorId(Uuid::now_v7());
        let text = Secret::draw(request.keyring(), SecretOf::ApiKey, tenant, key);
        let digest = commands.digest_of_secret(tenant, SecretOf::ApiKey, &text).await;
        asked.secret = digest.map_err(ApiError::from)?;
        let is_preview = options.as_ref().is_some_and(|it| it.preview);
        let operation = Operation::IssueApiKey { key, asked: asked.clone() };
        let submitted = submit(context, operation, options).await?;
        let Some(accepted) = &submitted.accepted else { return Ok(Some(submitted.into())) };
        let (key_id, secret) = match accepted.repetition {
            Repetition::First => (Some(key), Some(text).filter(|_| !is_preview)),
            Repetition::Remembered => (issued_before(request, &asked), None),
        };
        let key_id = key_id.map(|it| it.to_string());
        Ok(Some(IssueApiKeyPayload { key_id, secret, ..submitted.into() }))
    }

    /// Let an API key be good for nothing any more. Who has `member.write` may name whose it is; one's own
    /// is meant otherwise.
    async fn revoke_api_key(
        &self,
        context: &Context<'_>,
        key_id: String,
        member_id: Option<String>,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let operation = || {
            let member = member_id.as_deref().map(|it| read("memberId", it)).transpose()?;
            Ok((member, Operation::RevokeApiKey { member, key: read("keyId", &key_id)? }))
        };
        let (member, operation) =
            operation().map_or_else(|it| (None, Err(it)), |it| (it.0, Ok(it.1)));
        let payload = ask(context, operation, options).await?;
        let request = context.data::<RequestContext>()?;
        let principal = request.principal();
        if let Some(member) = member.or(principal.member_id()) {
            request.shared().key_uses().look_again(principal.tenant(), member);
        }
        Ok(payload)
    }
}

/// The key that an earlier request like this one has issued, unless it was revoked.
fn issued_before(request: &RequestContext, asked: &member::ApiKey) -> Option<ActorId> {
    let keys = request.shared().commands().api_keys(request.principal());
    let is_it = |it: &member::ApiKey| it.name == asked.name && it.expires_at == asked.expires_at;
    keys.into_iter().find(|it| is_it(&it.1)).map(|it| it.0)
}
