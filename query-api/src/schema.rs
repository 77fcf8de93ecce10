//! The GraphQL schema: what can be asked, and in which words.
//!
//! A resolver parses its arguments, calls one function and maps the result; it decides nothing
//! and reads no table. Queries are in files by noun, mutations in [`mutation`], what happens
//! live in [`subscription`].

pub mod access;
pub mod analytics;
pub mod audit;
pub mod billing;
pub mod cluster;
pub mod entity;
pub mod location;
pub mod mutation;
pub mod node;
pub mod organisation;
pub mod page;
pub mod subscription;
pub mod usage;

use async_graphql::{MergedObject, Schema, SchemaBuilder};

/// Everything that can be read.
#[derive(Debug, Default, MergedObject)]
pub struct Query(
    node::NodeQuery,
    entity::EntityQuery,
    location::LocationQuery,
    organisation::OrganisationQuery,
    access::AccessQuery,
    cluster::ClusterQuery,
    billing::BillingQuery,
    usage::UsageQuery,
    audit::AuditQuery,
    analytics::AnalyticsQuery,
);

/// The schema itself.
pub type CallboardSchema = Schema<Query, mutation::Mutation, subscription::Subscription>;

/// The schema before limits are set.
#[must_use]
pub fn builder() -> SchemaBuilder<Query, mutation::Mutation, subscription::Subscription> {
    Schema::build(Query::default(), mutation::Mutation::default(), subscription::Subscription)
        .register_output_type::<node::Node>()
}
