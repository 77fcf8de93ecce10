//! Which other systems say who the members of one's own tenant are.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use domain::id::ProviderId;
use domain::operation::Operation;
use domain::tenant::Provider;
use uuid::Uuid;

use super::access::{ask, read};
use super::{CommandOptions, CommandOutcome, CommandPayload, UserError, refused, submit};
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::federation::secret::{self, SECRET_MAX};

/// Changing who says who somebody is.
#[derive(Debug, Default)]
pub struct ProviderMutation;

// It has no text form for logs: it holds the secret.
/// A provider that speaks OpenID Connect.
#[derive(Clone, InputObject)]
pub struct AddProviderInput {
    /// What it is called where people choose how they sign in.
    pub name: String,
    /// Its address, as it calls itself in what it signs: `https://login.example.com/realm`.
    pub issuer: String,
    /// What it calls Callboard.
    pub client_id: String,
    /// What Callboard proves to it who it is with. It is kept sealed and never shown; none if the
    /// provider asks for none.
    pub client_secret: Option<String>,
    /// What it is asked for beside `openid`.
    #[graphql(default)]
    pub scopes: Vec<String>,
}

/// The answer to `addProvider`.
#[derive(Clone, Debug, SimpleObject)]
pub struct AddProviderPayload {
    /// The provider, `idp_…`; none if it was not accepted.
    pub provider_id: Option<String>,
    /// What became of it; none if it was not accepted.
    pub outcome: Option<CommandOutcome>,
    /// What the caller has to mend; then nothing was changed.
    pub user_errors: Vec<UserError>,
}

impl From<super::Submitted> for AddProviderPayload {
    /// The answer without the provider.
    fn from(submitted: super::Submitted) -> Self {
        let (outcome, user_errors) = (submitted.outcome, submitted.user_errors);
        Self { provider_id: None, outcome, user_errors }
    }
}

fn described(input: &AddProviderInput) -> Result<Provider, UserError> {
    if input.client_secret.as_ref().is_some_and(|it| !(1..=SECRET_MAX).contains(&it.len())) {
        let expected = format!("expected 1 to {SECRET_MAX} bytes");
        return Err(super::user_error("BAD_USER_INPUT", expected, Some("input.clientSecret")));
    }
    Ok(Provider {
        name: read("input.name", &input.name)?,
        issuer: input.issuer.clone(),
        client_id: input.client_id.clone(),
        scopes: input.scopes.iter().cloned().collect(),
    })
}

#[Object]
impl ProviderMutation {
    /// Let another system say who the members of one's own tenant are. It makes nobody a member: who is
    /// one signs in there once they have accepted an invite with it.
    async fn add_provider(
        &self,
        context: &Context<'_>,
        input: AddProviderInput,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<AddProviderPayload>> {
        let request = context.data::<RequestContext>()?;
        let described = match described(&input) {
            Ok(described) => described,
            Err(error) => return Ok(Some(refused(vec![error]).into())),
        };
        let provider = ProviderId(Uuid::now_v7());
        let operation = Operation::AddProvider { provider, described: described.clone() };
        let (keyring, tenant) = (request.keyring(), request.principal().tenant());
        let is_preview = options.as_ref().is_some_and(|it| it.preview);
        let kept = input.client_secret.as_ref().filter(|_| !is_preview);
        // Before, so that nobody finds the provider without it; and nothing for who may not ask.
        if let Some(kept) = kept.filter(|_| request.principal().admit(operation.need()).is_ok()) {
            secret::keep(keyring, tenant, provider, kept).await.map_err(ApiError::from)?;
        }
        let submitted = submit(context, operation, options).await;
        let has_come = |it: &super::Submitted| {
            let accepted = it.accepted.as_ref();
            accepted.is_some_and(|it| it.repetition == commands::request::Repetition::First)
        };
        // Where the outcome is unknown it may have been added.
        if kept.is_some() && submitted.as_ref().is_ok_and(|it| !has_come(it)) {
            secret::forget(keyring, tenant, provider).await;
        }
        let submitted = submitted?;
        if submitted.accepted.is_none() {
            return Ok(Some(submitted.into()));
        }
        let provider_id = if has_come(&submitted) {
            Some(provider)
        } else {
            // A repetition answers with the provider of the first time, unless it was removed.
            let known = request.shared().commands().providers(tenant).await;
            let known = known.map_err(ApiError::from)?;
            known.iter().find(|it| *it.1 == described).map(|it| *it.0)
        };
        let provider_id = provider_id.map(|it| it.to_string());
        Ok(Some(AddProviderPayload { provider_id, ..submitted.into() }))
    }

    /// Let what another system says of members count for nothing any more. Sessions that have begun go on.
    async fn remove_provider(
        &self,
        context: &Context<'_>,
        provider_id: String,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let request = context.data::<RequestContext>()?;
        let provider: Result<ProviderId, _> = read("providerId", &provider_id);
        let is_preview = options.as_ref().is_some_and(|it| it.preview);
        let operation = provider.clone().map(|provider| Operation::RemoveProvider { provider });
        let payload = ask(context, operation, options).await?;
        if let (Ok(provider), Some(CommandPayload { outcome: Some(_), .. }), false) =
            (provider, &payload, is_preview)
        {
            secret::forget(request.keyring(), request.principal().tenant(), provider).await;
        }
        Ok(payload)
    }
}
