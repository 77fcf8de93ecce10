//! Billing accounts.

use async_graphql::connection::Connection;
use async_graphql::{Context, Description, Enum, ID, Object};
use chrono::{DateTime, Utc};
use domain::customer::Role;
use domain::id::CustomerId;
use projections::Model;
use projections::billing::customers;

use super::subscription::Subscription;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::loaders::Loaders;
use crate::schema::node::NodeId;
use crate::schema::page::{Cursor, Long, PAGE_DEFAULT, PageArguments, connection};

/// A billing account.
#[derive(Clone, Debug, Description)]
pub struct Customer(pub customers::Customer);

/// What an account is to its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Role")]
pub enum CustomerRole {
    /// The tenant itself, buying from the operator.
    Itself,
    /// A customer of the tenant.
    Customer,
    /// A part of the tenant that usage is shown back to.
    CostCentre,
}

#[Object(use_type_description)]
impl Customer {
    /// The global id.
    pub async fn id(&self, context: &Context<'_>) -> async_graphql::Result<ID> {
        Ok(NodeId::Customer(self.0.id).seal(context.data()?))
    }

    /// The identity, `cus_…`, as usage and feeds name it.
    async fn customer_id(&self) -> String {
        self.0.id.to_string()
    }

    /// What it is to the tenant.
    async fn role(&self) -> CustomerRole {
        self.0.role.into()
    }

    /// What it is called; none once that was erased.
    async fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Where invoices go; none if there is none or it was erased.
    async fn contact(&self) -> Option<&str> {
        self.0.contact.as_deref()
    }

    /// The currency it is billed in.
    async fn currency(&self) -> &str {
        self.0.currency.code()
    }

    /// The zone of its billing periods, an IANA name.
    async fn time_zone(&self) -> &'static str {
        self.0.time_zone.name()
    }

    /// When it was opened.
    async fn opened_at(&self) -> DateTime<Utc> {
        self.0.opened_at
    }

    /// When it was closed, if it was.
    async fn closed_at(&self) -> Option<DateTime<Utc>> {
        self.0.closed_at
    }

    /// The stream's revision, to be used as `expectedRevision`.
    async fn revision(&self) -> Long {
        Long(self.0.revision)
    }

    /// Its oldest subscriptions.
    #[graphql(complexity = "first.unwrap_or(20) as usize * child_complexity")]
    async fn subscriptions(
        &self,
        context: &Context<'_>,
        first: Option<u32>,
    ) -> async_graphql::Result<Vec<Subscription>> {
        let arguments = PageArguments { first, ..PageArguments::default() };
        arguments.take()?;
        let loaders = context.data::<Loaders>()?;
        let page = loaders.subscriptions(self.0.id, first.unwrap_or(PAGE_DEFAULT)).await?;
        Ok(page.into_nodes().map(Subscription).collect())
    }
}

/// What is true of all billing accounts.
#[derive(Clone, Copy, Debug, Default, Description)]
pub struct CustomerTotals;

#[Object(use_type_description)]
impl CustomerTotals {
    /// How many there are.
    async fn total_count(&self, context: &Context<'_>) -> async_graphql::Result<Long> {
        let request = context.data::<RequestContext>()?;
        let models = request.read(Model::Billing).await?;
        let count = customers::count(&models, request.principal()).await;
        Ok(Long(count.map_err(ApiError::from)?))
    }
}

/// Reading billing accounts.
#[derive(Debug, Default)]
pub struct CustomerQuery;

#[Object]
impl CustomerQuery {
    /// The billing accounts, the oldest first.
    #[graphql(complexity = "first.or(last).unwrap_or(20) as usize * child_complexity")]
    async fn customers(
        &self,
        context: &Context<'_>,
        first: Option<u32>,
        after: Option<String>,
        last: Option<u32>,
        before: Option<String>,
    ) -> async_graphql::Result<Connection<Cursor, Customer, CustomerTotals>> {
        let request = context.data::<RequestContext>()?;
        let purpose = "cursor/customers";
        let arguments = PageArguments { first, after, last, before };
        let window = arguments.window::<CustomerId>(request, purpose)?;
        let models = request.read(Model::Billing).await?;
        let page = customers::list(&models, request.principal(), &window).await;
        let page = page.map_err(ApiError::from)?;
        Ok(connection(request, purpose, page, CustomerTotals, Customer))
    }
}
