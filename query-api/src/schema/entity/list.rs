//! Lists of entities: which, in which order, with totals and facets.

use async_graphql::connection::Connection;
use async_graphql::{Context, Description, InputObject, Json, Object, SimpleObject};
use domain::id::EntityUid;
use projections::Model;
use projections::catalog::entities::{
    self, EntityCursor, FACET_VALUES_MAX, Missing, Order, OrderBy, Selection, TextSearch,
};
use projections::catalog::filter::Filter;
use serde_json::Value;

use super::{Entity, asked};
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::schema::page::{Cursor, Long, PageArguments, connection};

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
        let count = entities::count(&models, request.principal(), &self.0).await;
        Ok(Long(count.map_err(ApiError::from)?))
    }

    /// The values that these keys have among all of them, say `kind` and `metadata.tags`; of
    /// each key the most frequent, at most 100 and as many if nothing is said.
    #[graphql(complexity = "keys.len() * 10 * child_complexity")]
    async fn facets(
        &self,
        context: &Context<'_>,
        keys: Vec<String>,
        first: Option<u32>,
    ) -> async_graphql::Result<Vec<Facet>> {
        let request = context.data::<RequestContext>()?;
        let models = request.read(Model::Catalog).await?;
        let (principal, most) = (request.principal(), first.unwrap_or(FACET_VALUES_MAX));
        let facets = entities::facets(&models, principal, &self.0, &keys, most).await;
        Ok(facets.map_err(ApiError::from)?.into_iter().map(Facet::from).collect())
    }
}

/// The values one key has.
#[derive(Clone, Debug, SimpleObject)]
pub struct Facet {
    /// The key.
    pub key: String,
    /// Its values, the most frequent first.
    pub values: Vec<FacetValue>,
    /// Whether there are values beyond those.
    pub has_more: bool,
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
        Self { key: facet.key, values: values.collect(), has_more: facet.more }
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
                entities::find(&models, request.principal(), &reference).await
            }
            (None, Some(uid)) => {
                let uid: EntityUid = uid.parse().map_err(ApiError::argument)?;
                entities::find_by_uid(&models, request.principal(), uid).await
            }
            _ => {
                return Err(ApiError::argument("expected `reference` or `uid`, one of them").into());
            }
        };
        Ok(found.map_err(ApiError::from)?.map(Entity::from))
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
    ) -> async_graphql::Result<Connection<Cursor, Entity, EntityTotals>> {
        let request = context.data::<RequestContext>()?;
        let selection = matching.selection(order)?;
        let purpose = format!("cursor/entities/{selection:?}");
        let arguments = PageArguments { first, after, last, before };
        let window = arguments.window::<EntityCursor>(request, &purpose)?;
        let models = request.read(Model::Catalog).await?;
        let (principal, columns) =
            (request.principal(), asked::columns(&asked::nodes(&context.field())));
        let page = entities::list_columns(&models, principal, &selection, &window, columns).await;
        let page = page.map_err(ApiError::from)?;
        Ok(connection(request, &purpose, page, EntityTotals(selection), Entity::from))
    }
}
