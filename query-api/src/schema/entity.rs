//! Catalog entities: the entity page, and lists of them in [`list`].

mod asked;
pub mod list;

use std::sync::Arc;

use async_graphql::connection::Connection;
use async_graphql::{Context, Description, Enum, ID, Json, Object};
use chrono::{DateTime, Utc};
use projections::Model;
use projections::billing::EntityUsageQuery;
use projections::catalog::relations::Part;
use projections::catalog::{entities, history, relations};
use serde_json::Value;

pub use self::list::{EntityFilter, EntityOrder, EntityQuery, EntityTotals};
use super::location::Location;
use super::node::NodeId;
use super::page::{Cursor, Long, PAGE_DEFAULT, PAGE_MAX, PageArguments, connection};
use super::usage::{EntityUsageReport, UsageStep};
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::loaders::Loaders;

/// A catalog entity as it is now.
#[derive(Clone, Debug, Description)]
pub struct Entity(pub Arc<entities::Entity>);

impl From<entities::Entity> for Entity {
    fn from(entity: entities::Entity) -> Self {
        Self(Arc::new(entity))
    }
}

#[Object(use_type_description)]
impl Entity {
    /// The global id.
    pub async fn id(&self, context: &Context<'_>) -> async_graphql::Result<ID> {
        Ok(NodeId::Entity(self.0.id).seal(context.data()?))
    }

    /// This registration's identity, Backstage's `metadata.uid`.
    async fn uid(&self) -> String {
        self.0.uid.to_string()
    }

    /// `kind:namespace/name` in lower case.
    async fn reference(&self) -> &str {
        &self.0.reference
    }

    /// The kind as it was written.
    async fn kind(&self) -> &str {
        &self.0.kind
    }

    /// The namespace.
    async fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// The name as it was written.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// `metadata.title`.
    async fn title(&self) -> Option<&str> {
        self.0.title.as_deref()
    }

    /// `metadata.description`.
    async fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// `spec.type`.
    async fn r#type(&self) -> Option<&str> {
        self.0.spec_type.as_deref()
    }

    /// `spec.lifecycle`.
    async fn lifecycle(&self) -> Option<&str> {
        self.0.lifecycle.as_deref()
    }

    /// `metadata.tags`.
    async fn tags(&self) -> &[String] {
        &self.0.tags
    }

    /// The whole document with defaults, injected annotations, uid and etag.
    async fn document(&self, context: &Context<'_>) -> async_graphql::Result<Json<Value>> {
        context.data::<RequestContext>()?.say(self.0.document_text().len())?;
        Ok(Json(self.0.document()))
    }

    /// Stands for the whole document, Backstage's `metadata.etag`.
    async fn etag(&self) -> &str {
        &self.0.etag
    }

    /// The stream's revision, to be used as `expectedRevision`.
    async fn revision(&self) -> Long {
        Long(self.0.revision)
    }

    /// The tenant sequence of the event that last changed it.
    async fn sequence(&self) -> Long {
        Long(self.0.sequence)
    }

    /// When this registration began.
    async fn registered_at(&self) -> DateTime<Utc> {
        self.0.registered_at
    }

    /// When it last changed.
    async fn changed_at(&self) -> DateTime<Utc> {
        self.0.changed_at
    }

    /// Who changed it last.
    async fn changed_by(&self) -> String {
        self.0.changed_by.to_string()
    }

    /// The location it follows, if any.
    async fn location(&self, context: &Context<'_>) -> async_graphql::Result<Option<Location>> {
        let Some(id) = self.0.location else { return Ok(None) };
        Ok(context.data::<Loaders>()?.location(id).await?.map(Location))
    }

    /// Its relations in both directions, sorted by type and target; of these types only, if any
    /// are named.
    #[graphql(complexity = "types.as_ref().map_or(0, Vec::len) / 10 + \
                            first.unwrap_or(20) as usize * child_complexity")]
    async fn relations(
        &self,
        context: &Context<'_>,
        types: Option<Vec<String>>,
        first: Option<u32>,
        after: Option<String>,
    ) -> async_graphql::Result<Connection<Cursor, Relation, RelationTotals>> {
        let request = context.data::<RequestContext>()?;
        let arguments = PageArguments { first, after, ..PageArguments::default() };
        let (reference, kinds) = (self.0.reference.clone(), types.unwrap_or_default());
        let purpose = format!("cursor/relations/{reference}");
        let window = arguments.window(request, &purpose)?;
        let part = Part {
            kinds: kinds.clone(),
            first: first.unwrap_or(PAGE_DEFAULT),
            after: window.after,
        };
        let columns = asked::targets(asked::nodes(&context.field()).into_iter());
        let page = context.data::<Loaders>()?.neighbours(reference.clone(), part, columns).await?;
        Ok(connection(request, &purpose, page, RelationTotals { reference, kinds }, Relation))
    }

    /// Who owns it.
    #[graphql(complexity = "2 * child_complexity")]
    async fn owners(&self, context: &Context<'_>) -> async_graphql::Result<Vec<Relation>> {
        let part = Part::first(PAGE_MAX, vec!["ownedBy".to_owned()]);
        let loaders = context.data::<Loaders>()?;
        let columns = asked::targets(context.field().selection_set());
        let page = loaders.neighbours(self.0.reference.clone(), part, columns).await?;
        Ok(page.into_nodes().map(Relation).collect())
    }

    /// What was used on its behalf: the usage whose dimension `entity` is its reference, in
    /// whatever case. From the beginning of an hour in UTC until before another one; of these
    /// meters only, if any are named. A list of entities has at most 10,000 spans in all.
    #[graphql(complexity = "50 + meters.as_ref().map_or(0, Vec::len) / 10 + child_complexity")]
    async fn usage(
        &self,
        context: &Context<'_>,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        meters: Option<Vec<String>>,
        #[graphql(default_with = "UsageStep::Day")] step: UsageStep,
    ) -> async_graphql::Result<Option<EntityUsageReport>> {
        let meters = meters.unwrap_or_default();
        let meters = meters.iter().map(|it| it.parse()).collect::<Result<_, _>>();
        let meters = meters.map_err(ApiError::argument)?;
        let query = EntityUsageQuery { meters, from, to, step: step.into() };
        let report = context.data::<Loaders>()?.entity_usage(self.0.id, query).await?;
        Ok(Some(report.into()))
    }

    /// Its newest versions, newest first. Whoever sees some entities only sees those of this
    /// registration, not of one that had the name before.
    #[graphql(complexity = "first.unwrap_or(20) as usize * child_complexity")]
    async fn history(
        &self,
        context: &Context<'_>,
        first: Option<u32>,
        after: Option<String>,
    ) -> async_graphql::Result<Connection<Cursor, EntityVersion>> {
        let request = context.data::<RequestContext>()?;
        let arguments = PageArguments { first, after, ..PageArguments::default() };
        let purpose = format!("cursor/history/{}", self.0.reference);
        let window = arguments.window::<u64>(request, &purpose)?;
        let detail = asked::detail(&asked::nodes(&context.field()));
        let page = match (&window.after, arguments.take()?) {
            (None, projections::page::Take::First(count)) => {
                let loaders = context.data::<Loaders>()?;
                loaders.versions(self.0.reference.clone(), count, detail).await?
            }
            _ => {
                let models = request.read(Model::Catalog).await?;
                let principal = request.principal();
                let reference = &self.0.reference;
                let listed = history::list(&models, principal, reference, &window, detail).await;
                listed.map_err(ApiError::from)?
            }
        };
        Ok(connection(request, &purpose, page, Default::default(), EntityVersion))
    }
}

/// What is true of all relations of an entity.
#[derive(Clone, Debug, Description)]
pub struct RelationTotals {
    reference: String,
    kinds: Vec<String>,
}

#[Object(use_type_description)]
impl RelationTotals {
    /// How many there are.
    async fn total_count(&self, context: &Context<'_>) -> async_graphql::Result<Long> {
        let loaders = context.data::<Loaders>()?;
        let count = loaders.relation_count(self.reference.clone(), self.kinds.clone());
        Ok(Long(count.await?))
    }
}

/// One end of a relation, seen from the other.
#[derive(Clone, Debug, Description)]
pub struct Relation(relations::Neighbour);

#[Object(use_type_description)]
impl Relation {
    /// The type, say `ownedBy`.
    async fn r#type(&self) -> &str {
        &self.0.relation.kind
    }

    /// The reference at the far end, in lower case.
    async fn target_reference(&self) -> &str {
        &self.0.relation.target
    }

    /// The entity at the far end; none where the reference dangles or it cannot be seen.
    async fn target(&self) -> Option<Entity> {
        self.0.entity.clone().map(Entity)
    }
}

/// One version of an entity.
#[derive(Clone, Debug, Description)]
pub struct EntityVersion(Arc<history::Version>);

#[Object(use_type_description)]
impl EntityVersion {
    /// The registration it belongs to; none where the history does not say.
    async fn uid(&self) -> Option<String> {
        self.0.uid.map(|it| it.to_string())
    }

    /// The stream's revision.
    async fn revision(&self) -> Long {
        Long(self.0.revision)
    }

    /// What happened.
    async fn change(&self) -> EntityVersionChange {
        match self.0.kind {
            history::VersionKind::Registered => EntityVersionChange::Registered,
            history::VersionKind::Updated => EntityVersionChange::Updated,
            history::VersionKind::Deregistered => EntityVersionChange::Deregistered,
        }
    }

    /// What was said, defaults and injections left out; none when it was deregistered.
    async fn descriptor(
        &self,
        context: &Context<'_>,
    ) -> async_graphql::Result<Option<Json<Value>>> {
        let Some(descriptor) = &self.0.descriptor else { return Ok(None) };
        context.data::<RequestContext>()?.say(self.0.bytes)?;
        Ok(Some(Json(descriptor.clone())))
    }

    /// The tenant sequence of the event.
    async fn sequence(&self) -> Long {
        Long(self.0.sequence)
    }

    /// When it was recorded.
    async fn at(&self) -> DateTime<Utc> {
        self.0.at
    }

    /// Who did it.
    async fn actor(&self) -> String {
        self.0.actor.to_string()
    }
}

/// What made a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum EntityVersionChange {
    /// The entity was registered.
    Registered,
    /// Something else was said about it.
    Updated,
    /// It was deregistered.
    Deregistered,
}
