//! Mutations: one for each operation of the write side, and nothing else.
//!
//! What the rules or the caller's own input forbid comes back in `userErrors`, with a stable
//! code and the path of the field; what is denied or failed is a GraphQL error.

pub mod access;
pub mod api_keys;
pub mod billing;
pub mod catalog;
pub mod organisation;
pub mod providers;
pub mod sessions;
pub mod terms;
pub mod usage;

use async_graphql::{Context, Enum, InputObject, MergedObject, OneofObject, SimpleObject};
use chrono::{DateTime, Utc};
use commands::request::Repetition;
use commands::{CommandError, IdempotencyKey, Mode, Outcome, Request};
use domain::operation::Operation;
use uuid::Uuid;

use super::page::Long;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::opaque::Place;

/// Everything that can be asked for.
#[derive(Debug, Default, MergedObject)]
pub struct Mutation(
    organisation::OrganisationMutation,
    providers::ProviderMutation,
    access::AccessMutation,
    api_keys::ApiKeyMutation,
    sessions::SessionMutation,
    catalog::CatalogMutation,
    billing::BillingMutation,
    usage::UsageMutation,
);

/// How a command is to be taken.
#[derive(Clone, Debug, Default, InputObject)]
pub struct CommandOptions {
    /// What must be true of what the command names. `applyEntities` names several, each change has
    /// its own; `recordUsage` has no use for one.
    pub expected_revision: Option<ExpectedRevision>,
    /// Makes repeating the request safe for seven days: 1 to 255 visible ASCII characters.
    pub idempotency_key: Option<String>,
    /// Decide and answer, but change nothing.
    #[graphql(default)]
    pub preview: bool,
    /// The conversation it belongs to.
    pub correlation_id: Option<Uuid>,
}

/// What must be true of a stream.
#[derive(Clone, Copy, Debug, OneofObject)]
pub enum ExpectedRevision {
    /// Its last event has this revision.
    Exact(Long),
    /// It is there, or it is not.
    State(ExpectedState),
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ExpectedState {
    /// Either.
    Any,
    /// It is.
    Exists,
    /// It is not.
    None,
}

impl From<ExpectedRevision> for domain::operation::ExpectedRevision {
    fn from(expected: ExpectedRevision) -> Self {
        match expected {
            ExpectedRevision::Exact(Long(revision)) => Self::Exact(revision),
            ExpectedRevision::State(ExpectedState::Any) => Self::Any,
            ExpectedRevision::State(ExpectedState::Exists) => Self::Exists,
            ExpectedRevision::State(ExpectedState::None) => Self::None,
        }
    }
}

/// What became of a command that was accepted.
#[derive(Clone, Debug, SimpleObject)]
pub struct CommandOutcome {
    /// The command, `cmd_…`; the same for a repetition with the same key.
    pub command_id: String,
    /// Send it back in the header `Callboard-Position`, and an answer will have seen this.
    pub position: String,
    /// The tenant's last sequence after the command.
    pub sequence: Long,
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// Whether this is the remembered outcome of an earlier request with the same key.
    pub remembered: bool,
    /// What happened: nothing, if what was asked held already.
    pub events: Vec<OutcomeEvent>,
}

/// One event of an outcome, without its content.
#[derive(Clone, Debug, SimpleObject)]
pub struct OutcomeEvent {
    /// The identity, `evt_…`.
    pub id: String,
    /// The stream it belongs to.
    pub stream: String,
    /// Its place in the stream.
    pub revision: Long,
    /// What happened: `<noun>.<fact>.v<N>`.
    pub r#type: String,
}

/// Something the caller has to mend.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject)]
pub struct UserError {
    /// A stable code, for programs.
    pub code: String,
    /// What is wrong, with the value and the fix.
    pub message: String,
    /// The field of the input, as a path; none if it is not about one.
    pub path: Option<String>,
}

/// The answer to a command that needs no other fields.
#[derive(Clone, Debug, SimpleObject)]
pub struct CommandPayload {
    /// What became of it; none if it was not accepted.
    pub outcome: Option<CommandOutcome>,
    /// What the caller has to mend; then nothing was changed.
    pub user_errors: Vec<UserError>,
}

/// A command's outcome, or what the caller has to mend.
pub(super) struct Submitted {
    pub(super) accepted: Option<Outcome>,
    pub(super) outcome: Option<CommandOutcome>,
    pub(super) user_errors: Vec<UserError>,
}

impl From<Submitted> for CommandPayload {
    fn from(submitted: Submitted) -> Self {
        Self { outcome: submitted.outcome, user_errors: submitted.user_errors }
    }
}

/// Submits `operation` for the caller.
pub(super) async fn submit(
    context: &Context<'_>,
    operation: Operation,
    options: Option<CommandOptions>,
) -> async_graphql::Result<Submitted> {
    let request = context.data::<RequestContext>()?;
    let asked = match asked(operation, options.unwrap_or_default(), request.traceparent()) {
        Ok(asked) => asked,
        Err(error) => return Ok(refused(vec![error])),
    };
    match request.shared().submit(request.session(), asked).await {
        Ok(accepted) => {
            let outcome = Some(outcome(request, &accepted));
            Ok(Submitted { accepted: Some(accepted), outcome, user_errors: Vec::new() })
        }
        Err(error) => user_errors(error).map(refused).map_err(|it| ApiError::from(it).into()),
    }
}

/// An input that is no operation at all, answered like one that was refused.
pub(super) fn malformed(path: &str, message: impl std::fmt::Display) -> Submitted {
    refused(vec![user_error("BAD_USER_INPUT", message, Some(path))])
}

fn refused(user_errors: Vec<UserError>) -> Submitted {
    Submitted { accepted: None, outcome: None, user_errors }
}

fn user_error(code: &str, message: impl std::fmt::Display, path: Option<&str>) -> UserError {
    UserError { code: code.into(), message: message.to_string(), path: path.map(Into::into) }
}

fn asked(
    operation: Operation,
    options: CommandOptions,
    traceparent: Option<&str>,
) -> Result<Request, UserError> {
    let key: Option<IdempotencyKey> = options
        .idempotency_key
        .map(|it| it.parse())
        .transpose()
        .map_err(|error| user_error("BAD_USER_INPUT", error, Some("options.idempotencyKey")))?;
    let expected = options.expected_revision.map(Into::into).unwrap_or_default();
    if expected != domain::operation::ExpectedRevision::Any
        && let Some(instead) = without_one_revision(&operation)
    {
        let message = format!("`{}` names no single thing; {instead}", operation.name());
        return Err(user_error("BAD_USER_INPUT", message, Some("options.expectedRevision")));
    }
    Ok(Request {
        operation,
        expected,
        idempotency_key: key,
        mode: if options.preview { Mode::Preview } else { Mode::Commit },
        correlation: options.correlation_id,
        traceparent: traceparent.map(str::to_owned),
    })
}

/// What to do about revisions in an operation that is not about one thing that has one.
fn without_one_revision(operation: &Operation) -> Option<&'static str> {
    match operation {
        Operation::ApplyEntities { .. } => Some("use the `expectedRevision` of each change"),
        Operation::RecordUsage { .. } => {
            Some("leave `expectedRevision` out, the `id` of each entry makes repeating it safe")
        }
        _ => None,
    }
}

/// What the caller has to mend, if it is the caller who must act.
fn user_errors(error: CommandError) -> Result<Vec<UserError>, CommandError> {
    match error {
        CommandError::Invalid(violations) => Ok(violations
            .into_iter()
            .map(|it| user_error("BAD_USER_INPUT", it.message, Some(&it.field)))
            .collect()),
        CommandError::Rejected { code, reason } => Ok(vec![user_error(&code, reason, None)]),
        error @ CommandError::Conflict { .. } => {
            Ok(vec![user_error("REVISION_CONFLICT", error, None)])
        }
        error @ CommandError::KeyReused(_) => {
            Ok(vec![user_error("IDEMPOTENCY_KEY_REUSED", error, None)])
        }
        error => Err(error),
    }
}

fn outcome(request: &RequestContext, accepted: &Outcome) -> CommandOutcome {
    let place = Place { partition: accepted.partition, position: accepted.position };
    let events = accepted.events.iter().map(|it| OutcomeEvent {
        id: it.id.to_string(),
        stream: it.stream.to_string(),
        revision: Long(it.revision),
        r#type: it.name.clone().into_owned(),
    });
    CommandOutcome {
        command_id: accepted.command.to_string(),
        position: request.position_token(&place),
        sequence: Long(accepted.sequence),
        at: accepted.at,
        remembered: accepted.repetition == Repetition::Remembered,
        events: events.collect(),
    }
}
