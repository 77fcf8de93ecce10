//! `callboard tenant`.

use anyhow::Result;
use domain::id::TenantId;
use serde::Serialize;
use serde_json::json;

use super::client::{Api, TenantEntry};
use crate::cli::Tenant;
use crate::config::Config;
use crate::output::{self, Format};

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
            let made = api.change(TenantId::SYSTEM, query, json!({"input": input})).await?;
            let tenant = made["tenantId"].as_str().unwrap_or_default();
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
    api.change(TenantId::SYSTEM, query, json!({"tenant": id.to_string()})).await?;
    let answer = json!({"tenantId": id.to_string(), "done": done});
    output::result(format, &answer, |_| format!("{done} {tenant}"))
}
