//! The audit trail: every event of the tenant, searchable, with its body from the log.

use async_graphql::connection::Connection;
use async_graphql::{Context, Description, ID, InputObject, Json, Object, SimpleObject};
use chrono::{DateTime, Utc};
use projections::Model;
use projections::audit::{self, AuditFilter, AuditRow};
use serde_json::Value;
use uuid::Uuid;

use super::node::NodeId;
use super::page::{Cursor, Long, PageArguments, connection};
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::loaders::Loaders;
use crate::streams::begun;

/// How many events a tree is counted as before it is read. Few have more; what is read counts, too.
const CAUSED_USUAL: usize = 50;

/// A recorded event.
#[derive(Clone, Debug, Description)]
pub struct AuditEvent(pub AuditRow);

#[Object(use_type_description)]
impl AuditEvent {
    /// The global id.
    pub async fn id(&self, context: &Context<'_>) -> async_graphql::Result<ID> {
        Ok(NodeId::Event(self.0.id).seal(context.data()?))
    }

    /// The identity, `evt_…`.
    async fn event_id(&self) -> String {
        self.0.id.to_string()
    }

    /// Its place in the tenant's history: gapless, from 1.
    async fn sequence(&self) -> Long {
        Long(self.0.sequence)
    }

    /// What happened: `<noun>.<fact>.v<N>`.
    async fn r#type(&self) -> &str {
        &self.0.name
    }

    /// The stream it belongs to.
    async fn stream(&self) -> String {
        self.0.stream.to_string()
    }

    /// Its place in that stream.
    async fn revision(&self) -> Long {
        Long(self.0.revision)
    }

    /// When it was recorded.
    async fn at(&self) -> DateTime<Utc> {
        self.0.at
    }

    /// Who did it.
    async fn actor(&self) -> String {
        self.0.actor.to_string()
    }

    /// The command that caused it.
    async fn command_id(&self) -> String {
        self.0.command.to_string()
    }

    /// Its place among the events of that command, `n/m`.
    async fn batch_position(&self) -> &str {
        &self.0.batch_position
    }

    /// The conversation it belongs to.
    async fn correlation_id(&self) -> Option<Uuid> {
        self.0.correlation
    }

    /// What led to it: the event that a reaction followed, `evt_…`, or else the command itself, `cmd_…`.
    async fn causation_id(&self) -> Option<&str> {
        self.0.causation.as_deref()
    }

    /// What it says; personal texts in it are sealed.
    #[graphql(complexity = 5)]
    async fn body(&self, context: &Context<'_>) -> async_graphql::Result<Option<Json<Value>>> {
        let loaders = context.data::<Loaders>()?;
        Ok(loaders.body((self.0.partition, self.0.position)).await?.map(Json))
    }
}

/// Which events.
#[derive(Clone, Debug, Default, InputObject)]
pub struct AuditMatching {
    /// Done by this actor, `usr_…`.
    pub actor: Option<String>,
    /// Of these types, each whole (`entity.updated.v1`) or the beginning of one (`entity`); the
    /// prefix that all types have may stand before it.
    #[graphql(default)]
    pub types: Vec<String>,
    /// Of this stream.
    pub stream: Option<String>,
    /// Recorded at or after this instant.
    pub from: Option<DateTime<Utc>>,
    /// Recorded before this instant.
    pub to: Option<DateTime<Utc>>,
    /// Of this conversation.
    pub correlation_id: Option<Uuid>,
    /// Caused by this command, `cmd_…`.
    pub command_id: Option<String>,
    /// Having followed from this event, `evt_…`, by a reaction.
    pub causation_id: Option<String>,
}

impl AuditMatching {
    fn filter(&self) -> Result<AuditFilter, ApiError> {
        let actor = self.actor.as_deref().map(str::parse).transpose();
        let stream = self.stream.as_deref().map(str::parse).transpose();
        let names = self.types.iter().map(|it| begun(it)).collect::<Result<_, _>>();
        let command = self.command_id.as_deref().map(str::parse).transpose();
        let cause = self.causation_id.as_deref().map(str::parse).transpose();
        Ok(AuditFilter {
            actor: actor.map_err(ApiError::argument)?,
            names: names.map_err(ApiError::argument)?,
            stream: stream.map_err(ApiError::argument)?,
            from: self.from,
            to: self.to,
            correlation: self.correlation_id,
            command: command.map_err(ApiError::argument)?,
            causes: cause.map_err(ApiError::argument)?.into_iter().collect(),
        })
    }
}

/// What is true of a whole list of events.
#[derive(Clone, Debug, Description)]
pub struct AuditTotals(AuditFilter);

#[Object(use_type_description)]
impl AuditTotals {
    /// How many events there are.
    async fn total_count(&self, context: &Context<'_>) -> async_graphql::Result<Long> {
        let request = context.data::<RequestContext>()?;
        let models = request.read(Model::Audit).await?;
        let count = audit::count(&models, request.principal(), &self.0).await;
        Ok(Long(count.map_err(ApiError::from)?))
    }
}

/// What a command has caused in the tenant.
#[derive(Clone, Debug, SimpleObject)]
pub struct CausalTree {
    /// Its events and what followed from them, by step and then as recorded; at most 1,000.
    pub caused: Vec<Caused>,
    /// Whether there is more, or may be: `audit` finds it by `commandId`, and what followed by `causationId`.
    pub is_cut: bool,
}

/// An event that a command has caused.
#[derive(Clone, Debug, SimpleObject)]
pub struct Caused {
    /// How many reactions lie between it and the command: 0 for an event of the command itself.
    pub step: u32,
    /// What happened. From step 1 on its `causationId` is the event that it followed from.
    pub event: AuditEvent,
}

impl From<audit::CausalTree> for CausalTree {
    fn from(tree: audit::CausalTree) -> Self {
        let caused = tree.caused.into_iter();
        let caused = caused.map(|it| Caused { step: it.step, event: AuditEvent(it.row) });
        Self { caused: caused.collect(), is_cut: tree.is_cut }
    }
}

/// Reading the audit trail.
#[derive(Debug, Default)]
pub struct AuditQuery;

#[Object]
impl AuditQuery {
    /// The events that match, the newest first.
    #[graphql(complexity = "first.or(last).unwrap_or(20) as usize * child_complexity")]
    async fn audit(
        &self,
        context: &Context<'_>,
        #[graphql(default)] matching: AuditMatching,
        first: Option<u32>,
        after: Option<String>,
        last: Option<u32>,
        before: Option<String>,
    ) -> async_graphql::Result<Connection<Cursor, AuditEvent, AuditTotals>> {
        let request = context.data::<RequestContext>()?;
        let filter = matching.filter()?;
        let purpose = format!("cursor/audit/{filter:?}");
        let arguments = PageArguments { first, after, last, before };
        let window = arguments.window::<u64>(request, &purpose)?;
        let models = request.read(Model::Audit).await?;
        let page = audit::list(&models, request.principal(), &filter, &window).await;
        let page = page.map_err(ApiError::from)?;
        Ok(connection(request, &purpose, page, AuditTotals(filter), AuditEvent))
    }

    /// What a command, `cmd_…`, has caused: its events, what reactions did because of them, and so on. What
    /// followed in another tenant is in that one's trail.
    #[graphql(complexity = "CAUSED_USUAL * child_complexity")]
    async fn causal_tree(
        &self,
        context: &Context<'_>,
        command_id: String,
    ) -> async_graphql::Result<CausalTree> {
        let request = context.data::<RequestContext>()?;
        let command = command_id.parse().map_err(ApiError::argument)?;
        let models = request.read(Model::Audit).await?;
        let tree = audit::tree(&models, request.principal(), command).await;
        Ok(tree.map_err(ApiError::from)?.into())
    }
}
