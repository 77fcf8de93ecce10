//! How much the portal is used, and by how many.

use async_graphql::{Context, Object, SimpleObject};
use chrono::NaiveDate;
use projections::Model;
use projections::analytics::{self, Day};

use super::page::Long;
use crate::context::RequestContext;
use crate::error::ApiError;

/// One day of a tenant, in UTC.
#[derive(Clone, Debug, SimpleObject)]
pub struct AnalyticsDay {
    /// Which.
    pub date: NaiveDate,
    /// How many entities were in the catalog when it ended.
    pub entities: Long,
    /// How many were registered.
    pub registered: Long,
    /// How many updates were made.
    pub updated: Long,
    /// How many were deregistered.
    pub deregistered: Long,
    /// How many different people and machines changed something.
    pub active_actors: Long,
    /// How many commands changed something.
    pub commands: Long,
    /// The same by the noun that changed.
    pub commands_by_noun: Vec<NounCount>,
}

/// How many commands changed one kind of thing.
#[derive(Clone, Debug, SimpleObject)]
pub struct NounCount {
    /// What changed.
    pub noun: String,
    /// How many commands.
    pub commands: Long,
}

impl From<Day> for AnalyticsDay {
    fn from(day: Day) -> Self {
        let nouns = day.commands_by_noun.into_iter();
        let nouns = nouns.map(|(noun, count)| NounCount { noun, commands: Long(count) });
        Self {
            date: day.date,
            entities: Long(day.entities),
            registered: Long(day.registered),
            updated: Long(day.updated),
            deregistered: Long(day.deregistered),
            active_actors: Long(day.active_actors),
            commands: Long(day.commands),
            commands_by_noun: nouns.collect(),
        }
    }
}

/// Reading how the portal is used.
#[derive(Debug, Default)]
pub struct AnalyticsQuery;

#[Object]
impl AnalyticsQuery {
    /// The days from `from` to `to`, both inclusive, on which something happened.
    #[graphql(complexity = "50 + child_complexity")]
    async fn analytics(
        &self,
        context: &Context<'_>,
        from: NaiveDate,
        to: NaiveDate,
    ) -> async_graphql::Result<Vec<AnalyticsDay>> {
        let request = context.data::<RequestContext>()?;
        let models = request.read(Model::Analytics).await?;
        let days = analytics::days(&models, request.principal(), from, to).await;
        Ok(days.map_err(ApiError::from)?.into_iter().map(AnalyticsDay::from).collect())
    }
}
