//! Catalog locations.

use async_graphql::connection::Connection;
use async_graphql::{Context, Description, Enum, ID, Object};
use chrono::{DateTime, Utc};
use domain::id::LocationId;
use projections::Model;
use projections::catalog::locations;

use super::node::NodeId;
use super::page::{Cursor, Long, PageArguments, connection};
use crate::context::RequestContext;
use crate::error::ApiError;

/// Where entities come from.
#[derive(Clone, Debug, Description)]
pub struct Location(pub locations::Location);

/// How a location's target is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::location::LocationKind")]
pub enum LocationKind {
    /// An address on the network.
    Url,
    /// A path in what was imported.
    File,
}

#[Object(use_type_description)]
impl Location {
    /// The global id.
    pub async fn id(&self, context: &Context<'_>) -> async_graphql::Result<ID> {
        Ok(NodeId::Location(self.0.id).seal(context.data()?))
    }

    /// How its target is read.
    async fn kind(&self) -> LocationKind {
        self.0.kind.into()
    }

    /// The address or path.
    async fn target(&self) -> &str {
        &self.0.target
    }

    /// The tenant sequence of its registration.
    async fn sequence(&self) -> Long {
        Long(self.0.sequence)
    }

    /// When it was registered.
    async fn registered_at(&self) -> DateTime<Utc> {
        self.0.registered_at
    }
}

/// What is true of all locations.
#[derive(Clone, Copy, Debug, Default, Description)]
pub struct LocationTotals;

#[Object(use_type_description)]
impl LocationTotals {
    /// How many locations there are.
    async fn total_count(&self, context: &Context<'_>) -> async_graphql::Result<Long> {
        let request = context.data::<RequestContext>()?;
        let models = request.read(Model::Catalog).await?;
        let count = locations::count(&models, request.principal()).await;
        Ok(Long(count.map_err(ApiError::from)?))
    }
}

/// Reading locations.
#[derive(Debug, Default)]
pub struct LocationQuery;

#[Object]
impl LocationQuery {
    /// The locations that are known.
    #[graphql(complexity = "first.or(last).unwrap_or(20) as usize * child_complexity")]
    async fn locations(
        &self,
        context: &Context<'_>,
        first: Option<u32>,
        after: Option<String>,
        last: Option<u32>,
        before: Option<String>,
    ) -> async_graphql::Result<Connection<Cursor, Location, LocationTotals>> {
        let request = context.data::<RequestContext>()?;
        let purpose = "cursor/locations";
        let arguments = PageArguments { first, after, last, before };
        let window = arguments.window::<LocationId>(request, purpose)?;
        let models = request.read(Model::Catalog).await?;
        let page = locations::list(&models, request.principal(), &window).await;
        let page = page.map_err(ApiError::from)?;
        Ok(connection(request, purpose, page, LocationTotals, Location))
    }
}
