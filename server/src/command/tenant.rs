//! `callboard tenant`.

use anyhow::Result;
use domain::id::TenantId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Api;
use crate::cli::Tenant;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Format};

/// What a mutation answers beside its own fields.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    #[serde(default)]
    tenant_id: Option<String>,
    user_errors: Vec<UserError>,
}

#[derive(Debug, Deserialize)]
struct UserError {
    message: String,
}

/// Creates, lists, suspends or reactivates tenants.
///
/// # Errors
///
/// If the server does not answer or refuses.
pub(crate) async fn run(config: &Config, format: Format, command: &Tenant) -> Result<()> {
    let api = Api::open(config).await?;
    match command {
        Tenant::Create { slug, name } => {
            let input = json!({"slug": slug, "name": name.as_ref().unwrap_or(slug)});
            let query = "mutation($input: RegisterTenantInput!) {
                answer: registerTenant(input: $input) { tenantId userErrors { message } }
            }";
            let payload = ask(&api, query, json!({"input": input})).await?;
            let tenant = payload.tenant_id.unwrap_or_default();
            let answer = json!({"tenantId": tenant, "slug": slug});
            output::result(format, &answer, |_| format!("created {slug} ({tenant})"))
        }
        Tenant::List => list(&api, format).await,
        Tenant::Suspend { tenant } => {
            let query = "mutation($tenant: String!) {
                answer: suspendTenant(tenantId: $tenant, reason: REQUESTED) {
                    userErrors { message }
                }
            }";
            change(&api, format, query, tenant, "suspended").await
        }
        Tenant::Reactivate { tenant } => {
            let query = "mutation($tenant: String!) {
                answer: reactivateTenant(tenantId: $tenant) { userErrors { message } }
            }";
            change(&api, format, query, tenant, "reactivated").await
        }
    }
}

async fn list(api: &Api, format: Format) -> Result<()> {
    let tenants = api.tenants(None).await?;
    let rows: Vec<[String; 4]> = tenants
        .into_iter()
        .map(|it| [it.slug, it.name, it.standing.status.to_lowercase(), it.tenant_id.to_string()])
        .collect();
    let header = ["slug", "name", "standing", "id"];
    output::result(format, &rows, |rows| output::table(header, rows))
}

async fn change(api: &Api, format: Format, query: &str, tenant: &str, done: &str) -> Result<()> {
    let id = api.tenant(tenant).await?;
    ask(api, query, json!({"tenant": id.to_string()})).await?;
    let answer = json!({"tenantId": id.to_string(), "done": done});
    output::result(format, &answer, |_| format!("{done} {tenant}"))
}

async fn ask(api: &Api, query: &str, variables: Value) -> Result<Payload> {
    #[derive(Deserialize)]
    struct Data {
        answer: Payload,
    }
    let Data { answer } = api.graphql(TenantId::SYSTEM, query, variables).await?;
    match answer.user_errors.first() {
        Some(error) => Err(Failure::Rejected(error.message.clone()).into()),
        None => Ok(answer),
    }
}
