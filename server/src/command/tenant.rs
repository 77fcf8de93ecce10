//! `callboard tenant`.

use anyhow::Result;
use domain::id::TenantId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Api, TenantEntry};
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

/// A tenant of the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    slug: String,
    name: String,
    standing: String,
    tenant_id: TenantId,
}

impl From<TenantEntry> for Listed {
    fn from(TenantEntry { tenant_id, slug, name, standing }: TenantEntry) -> Self {
        Self { slug, name, standing: standing.status.to_lowercase(), tenant_id }
    }
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
    let tenants: Vec<Listed> = api.tenants(None).await?.into_iter().map(Listed::from).collect();
    let row = |it: &Listed| {
        [it.slug.clone(), it.name.clone(), it.standing.clone(), it.tenant_id.to_string()]
    };
    let header = ["slug", "name", "standing", "id"];
    output::result(format, &tenants, |tenants| {
        output::table(header, &tenants.iter().map(row).collect::<Vec<_>>())
    })
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
