//! Global ids: one opaque id for every object, bound to the tenant that may see it.

use async_graphql::{Context, ID, Interface, Object};
use domain::id::{CustomerId, EntityId, EventId, LocationId, PlanId, SubscriptionId, TenantId};
use domain::meter::MeterKey;
use projections::catalog::{entities, locations};
use projections::{Model, audit, billing};
use serde::{Deserialize, Serialize};

use super::audit::AuditEvent;
use super::billing::{Customer, Meter, Plan, Subscription};
use super::entity::Entity;
use super::location::Location;
use super::organisation::Tenant;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::opaque;

const PURPOSE: &str = "node";

/// What a global id stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeId {
    /// The tenant itself.
    Tenant(TenantId),
    /// A catalog entity.
    Entity(EntityId),
    /// A catalog location.
    Location(LocationId),
    /// A billing account.
    Customer(CustomerId),
    /// A plan of the tenant itself, or of the operator.
    Plan(PlanId, Seller),
    /// A subscription.
    Subscription(SubscriptionId),
    /// A meter.
    Meter(MeterKey),
    /// A recorded event.
    Event(EventId),
}

/// Whose plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seller {
    /// The tenant's own.
    Itself,
    /// The operator's.
    Operator,
}

impl From<Seller> for billing::plans::Seller {
    fn from(seller: Seller) -> Self {
        match seller {
            Seller::Itself => Self::Itself,
            Seller::Operator => Self::Operator,
        }
    }
}

impl NodeId {
    /// The global id for the caller's tenant.
    #[must_use]
    pub fn seal(&self, request: &RequestContext) -> ID {
        let tenant = request.principal().tenant();
        ID(opaque::seal(request.keyring(), tenant, PURPOSE, self))
    }

    /// What a global id stands for.
    ///
    /// # Errors
    ///
    /// If it is not one of the caller's tenant.
    pub fn open(request: &RequestContext, id: &ID) -> Result<Self, ApiError> {
        let tenant = request.principal().tenant();
        Ok(opaque::open(request.keyring(), tenant, PURPOSE, id)?)
    }
}

/// An object with a global id.
#[derive(Debug, Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "The global id."))]
pub enum Node {
    /// The tenant itself.
    Tenant(Tenant),
    /// A catalog entity.
    Entity(Entity),
    /// A catalog location.
    Location(Location),
    /// A billing account.
    Customer(Customer),
    /// A plan.
    Plan(Plan),
    /// A subscription.
    Subscription(Subscription),
    /// A meter.
    Meter(Meter),
    /// A recorded event.
    AuditEvent(AuditEvent),
}

/// Reading by global id.
#[derive(Debug, Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// The object with this global id. One of another tenant, one that cannot be seen and one
    /// that does not exist look the same.
    async fn node(&self, context: &Context<'_>, id: ID) -> async_graphql::Result<Option<Node>> {
        let request = context.data::<RequestContext>()?;
        match NodeId::open(request, &id) {
            Ok(id) => Ok(find(request, id).await?),
            Err(_) => Ok(None),
        }
    }
}

async fn find(request: &RequestContext, id: NodeId) -> Result<Option<Node>, ApiError> {
    let principal = request.principal();
    Ok(match id {
        NodeId::Tenant(_) => {
            let models = request.read(Model::Organisation).await?;
            let tenant = projections::organisation::find(&models, principal).await?;
            tenant.map(|it| Node::Tenant(Tenant(it)))
        }
        NodeId::Entity(id) => {
            let models = request.read(Model::Catalog).await?;
            let found = entities::find_many_by_id(&models, principal, &[id]).await?;
            found.into_iter().flatten().next().map(|it| Node::Entity(it.into()))
        }
        NodeId::Location(id) => {
            let models = request.read(Model::Catalog).await?;
            let found = locations::find_many(&models, principal, &[id]).await?;
            found.into_iter().flatten().next().map(|it| Node::Location(Location(it)))
        }
        NodeId::Customer(id) => {
            let models = request.read(Model::Billing).await?;
            let found = billing::customers::find_many(&models, principal, &[id]).await?;
            found.into_iter().flatten().next().map(|it| Node::Customer(Customer(it)))
        }
        NodeId::Plan(id, seller) => {
            let models = request.read(Model::Billing).await?;
            let found = billing::plans::find_many(&models, principal, seller.into(), &[id]).await?;
            let found = found.into_iter().flatten().next();
            found.map(|plan| Node::Plan(Plan { plan, seller }))
        }
        NodeId::Subscription(id) => {
            let models = request.read(Model::Billing).await?;
            let found = billing::subscriptions::find_many(&models, principal, &[id]).await?;
            found.into_iter().flatten().next().map(|it| Node::Subscription(Subscription(it)))
        }
        NodeId::Meter(key) => {
            let models = request.read(Model::Billing).await?;
            let found = billing::meters::find_many(&models, principal, &[key]).await?;
            found.into_iter().flatten().next().map(|it| Node::Meter(Meter(it)))
        }
        NodeId::Event(id) => {
            let models = request.read(Model::Audit).await?;
            let found = audit::find_many(&models, principal, &[id]).await?;
            found.into_iter().flatten().next().map(|it| Node::AuditEvent(AuditEvent(it)))
        }
    })
}
