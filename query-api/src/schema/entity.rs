//! Catalog entities: lists, facets, the entity page.

use async_graphql::connection::Connection;
use async_graphql::{Context, Description, Enum, ID, InputObject, Json, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::id::EntityUid;
use projections::Model;
use projections::catalog::entities::{
    self, EntityCursor, Missing, Order, OrderBy, Selection, TextSearch,
};
use projections::catalog::filter::Filter;
use projections::catalog::{history, relations};
use serde_json::Value;

use super::location::Location;
use super::node::NodeId;
use super::page::{Long, PageArguments, connection};
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::loaders::Loaders;

/// A catalog entity as it is now.
#[derive(Clone, Debug, Description)]
pub struct Entity(pub entities::Entity);

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
    async fn document(&self) -> Json<Value> {
        Json(self.0.document())
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
    #[graphql(complexity = "10 * child_complexity")]
    async fn relations(
        &self,
        context: &Context<'_>,
        types: Option<Vec<String>>,
    ) -> async_graphql::Result<Vec<Relation>> {
        let loaders = context.data::<Loaders>()?;
        let kinds = types.unwrap_or_default();
        let neighbours = loaders.neighbours(self.0.reference.clone(), kinds).await?;
        Ok(neighbours.into_iter().map(Relation).collect())
    }

    /// Who owns it.
    #[graphql(complexity = "2 * child_complexity")]
    async fn owners(&self, context: &Context<'_>) -> async_graphql::Result<Vec<Relation>> {
        let loaders = context.data::<Loaders>()?;
        let kinds = vec!["ownedBy".to_owned()];
        let neighbours = loaders.neighbours(self.0.reference.clone(), kinds).await?;
        Ok(neighbours.into_iter().map(Relation).collect())
    }

    /// Its newest versions, newest first.
    #[graphql(complexity = "first.unwrap_or(20) as usize * child_complexity")]
    async fn history(
        &self,
        context: &Context<'_>,
        first: Option<u32>,
        after: Option<String>,
    ) -> async_graphql::Result<Connection<String, EntityVersion>> {
        let request = context.data::<RequestContext>()?;
        let arguments = PageArguments { first, after, ..PageArguments::default() };
        let purpose = format!("cursor/history/{}", self.0.reference);
        let window = arguments.window::<u64>(request, &purpose)?;
        let page = match (&window.after, arguments.take()?) {
            (None, projections::page::Take::First(count)) => {
                let loaders = context.data::<Loaders>()?;
                loaders.versions(self.0.reference.clone(), count).await?
            }
            _ => {
                let models = request.read(Model::Catalog).await?;
                let principal = request.principal();
                let listed = history::list(models, principal, &self.0.reference, &window).await;
                listed.map_err(ApiError::from)?
            }
        };
        Ok(connection(request, &purpose, page, Default::default(), EntityVersion))
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
pub struct EntityVersion(history::Version);

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
    async fn descriptor(&self) -> Option<Json<Value>> {
        self.0.descriptor.clone().map(Json)
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

/// Which entities are meant.
#[derive(Clone, Debug, Default, InputObject)]
pub struct EntityFilter {
    /// Backstage's filter sets, say `kind=component,spec.type=service`; one of them must hold.
    pub filter: Option<Vec<String>>,
    /// A Backstage filter predicate, say `{"$not": {"spec.lifecycle": "deprecated"}}`.
    pub predicate: Option<Json<Value>>,
    /// Words that must all be found, each as the beginning of a word.
    pub text: Option<String>,
}

impl EntityFilter {
    /// The filter as readers take it.
    ///
    /// # Errors
    ///
    /// If a filter set or the predicate is malformed.
    pub fn filter(&self) -> Result<Filter, ApiError> {
        let mut all = Vec::new();
        if let Some(sets) = &self.filter {
            all.push(Filter::parse_sets(sets).map_err(ApiError::argument)?);
        }
        if let Some(Json(predicate)) = &self.predicate {
            all.push(Filter::parse_predicate(predicate).map_err(ApiError::argument)?);
        }
        Ok(Filter::All(all))
    }

    fn selection(&self, order: Option<EntityOrder>) -> Result<Selection, ApiError> {
        let text = self.text.clone().map(|terms| TextSearch { terms });
        let order = match (order, &text) {
            (Some(order), _) => order.into(),
            (None, Some(_)) => Order { by: OrderBy::Relevance, descending: false },
            (None, None) => Order::default(),
        };
        Ok(Selection { filter: self.filter()?, text, order })
    }
}

/// An order of entities.
#[derive(Clone, Debug, InputObject)]
pub struct EntityOrder {
    /// What they are compared by: `reference` (the default), `relevance`, `changed`, or a key
    /// of the flattened document such as `metadata.title`.
    #[graphql(default_with = "\"reference\".to_owned()")]
    pub by: String,
    /// Whether the largest comes first.
    #[graphql(default)]
    pub descending: bool,
}

impl From<EntityOrder> for Order {
    fn from(order: EntityOrder) -> Self {
        let by = match order.by.as_str() {
            "reference" => OrderBy::Reference,
            "relevance" => OrderBy::Relevance,
            "changed" => OrderBy::Changed,
            key => OrderBy::Key { key: key.to_lowercase(), missing: Missing::Last },
        };
        Self { by, descending: order.descending }
    }
}

/// What is true of a whole list of entities.
#[derive(Clone, Debug, Description)]
pub struct EntityTotals(Selection);

#[Object(use_type_description)]
impl EntityTotals {
    /// How many entities there are.
    async fn total_count(&self, context: &Context<'_>) -> async_graphql::Result<Long> {
        let request = context.data::<RequestContext>()?;
        let models = request.read(Model::Catalog).await?;
        let count = entities::count(models, request.principal(), &self.0).await;
        Ok(Long(count.map_err(ApiError::from)?))
    }

    /// The values that these keys have among all of them, say `kind` and `metadata.tags`.
    #[graphql(complexity = "keys.len() * 10 * child_complexity")]
    async fn facets(
        &self,
        context: &Context<'_>,
        keys: Vec<String>,
    ) -> async_graphql::Result<Vec<Facet>> {
        let request = context.data::<RequestContext>()?;
        let models = request.read(Model::Catalog).await?;
        let facets = entities::facets(models, request.principal(), &self.0, &keys).await;
        Ok(facets.map_err(ApiError::from)?.into_iter().map(Facet::from).collect())
    }
}

/// The values one key has.
#[derive(Clone, Debug, SimpleObject)]
pub struct Facet {
    /// The key.
    pub key: String,
    /// Its values, sorted.
    pub values: Vec<FacetValue>,
}

/// One value of a key.
#[derive(Clone, Debug, SimpleObject)]
pub struct FacetValue {
    /// The value as it was written.
    pub value: String,
    /// How many entities have it.
    pub count: Long,
}

impl From<entities::Facet> for Facet {
    fn from(facet: entities::Facet) -> Self {
        let values = facet.values.into_iter();
        let values = values.map(|it| FacetValue { value: it.value, count: Long(it.count) });
        Self { key: facet.key, values: values.collect() }
    }
}

/// Reading entities.
#[derive(Debug, Default)]
pub struct EntityQuery;

#[Object]
impl EntityQuery {
    /// One entity, by its reference (`kind:namespace/name`) or by its uid.
    async fn entity(
        &self,
        context: &Context<'_>,
        reference: Option<String>,
        uid: Option<String>,
    ) -> async_graphql::Result<Option<Entity>> {
        let request = context.data::<RequestContext>()?;
        let models = request.read(Model::Catalog).await?;
        let found = match (reference, uid) {
            (Some(reference), None) => {
                entities::find(models, request.principal(), &reference).await
            }
            (None, Some(uid)) => {
                let uid: EntityUid = uid.parse().map_err(ApiError::argument)?;
                entities::find_by_uid(models, request.principal(), uid).await
            }
            _ => {
                return Err(ApiError::argument("expected `reference` or `uid`, one of them").into());
            }
        };
        Ok(found.map_err(ApiError::from)?.map(Entity))
    }

    /// The entities that match, with totals and facets.
    #[graphql(complexity = "first.or(last).unwrap_or(20) as usize * child_complexity")]
    #[expect(clippy::too_many_arguments, reason = "a connection has four of its own")]
    async fn entities(
        &self,
        context: &Context<'_>,
        #[graphql(default)] matching: EntityFilter,
        order: Option<EntityOrder>,
        first: Option<u32>,
        after: Option<String>,
        last: Option<u32>,
        before: Option<String>,
    ) -> async_graphql::Result<Connection<String, Entity, EntityTotals>> {
        let request = context.data::<RequestContext>()?;
        let selection = matching.selection(order)?;
        let purpose = format!("cursor/entities/{selection:?}");
        let arguments = PageArguments { first, after, last, before };
        let window = arguments.window::<EntityCursor>(request, &purpose)?;
        let models = request.read(Model::Catalog).await?;
        let page = entities::list(models, request.principal(), &selection, &window).await;
        let page = page.map_err(ApiError::from)?;
        Ok(connection(request, &purpose, page, EntityTotals(selection), Entity))
    }
}
