//! The description of these doors (OpenAPI 3.1), made from the code that serves them.

use axum::Json;
use axum::response::IntoResponse;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{
    accounts, async_api, audit, event_schemas, events, health, oidc, operations, problem,
    second_factor, session, setup, usage,
};
use crate::auth::cookie;

#[derive(OpenApi)]
#[openapi(
    info(title = "Callboard", description = "The doors for machines; people use GraphQL."),
    paths(
        usage::record,
        usage::report::show,
        events::feed,
        async_api::show,
        event_schemas::show,
        audit::export,
        audit::keys,
        operations::status,
        operations::rebuild,
        operations::resume,
        operations::metrics,
        accounts::enter,
        accounts::accept,
        accounts::change,
        second_factor::show,
        second_factor::enrol,
        second_factor::confirm,
        second_factor::remove,
        second_factor::renew,
        oidc::leave,
        oidc::prepare,
        oidc::come_back,
        oidc::exchange::change,
        setup::set_up,
        session::end,
        health::live,
        health::ready,
    ),
    components(schemas(problem::Problem)),
    modifiers(&Token),
)]
struct Api;

/// How callers say who they are.
struct Token;

impl Modify for Token {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme.build()));
        let cookie = ApiKey::Cookie(ApiKeyValue::new(cookie::NAME));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    }
}

/// The description.
pub(crate) fn document() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

/// The description of these doors.
pub(super) async fn show() -> impl IntoResponse {
    Json(document())
}
