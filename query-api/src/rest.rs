//! The doors for machines: usage, the event feed, operations, health.

use std::sync::Arc;

use axum::Router;

use crate::auth::Verifier;
use crate::context::Context;
use crate::doors::Settings;

/// Renders the metrics of the process in the Prometheus text format.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

pub(crate) fn router(
    context: Context,
    verifier: Verifier,
    settings: &Settings,
    metrics: RenderMetrics,
) -> Router {
    let _ = (context, verifier, settings, metrics);
    Router::new()
}
