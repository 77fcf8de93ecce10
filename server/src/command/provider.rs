//! `callboard provider`.

use std::io::Read as _;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::Api;
use crate::cli::Provider;
use crate::config::Config;
use crate::output::{self, Format};

/// How much is read where a secret should be. In bytes: 4 KiB, more than is taken.
const SECRET_BYTES_MAX: u64 = 4 * 1024;

/// A provider of the list.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    provider_id: String,
    name: String,
    issuer: String,
    client_id: String,
    scopes: Vec<String>,
}

/// Adds, lists or removes identity providers of a tenant.
///
/// # Errors
///
/// If the server does not answer or refuses.
pub(crate) async fn run(config: &Config, format: Format, command: &Provider) -> Result<()> {
    let api = Api::open(config).await?;
    match command {
        Provider::Add { tenant, name, issuer, client_id, secret_stdin, scopes } => {
            let tenant = api.tenant(&tenant.tenant).await?;
            let secret = secret_stdin.then(secret).transpose()?;
            let query = "mutation($input: AddProviderInput!) {
                answer: addProvider(input: $input) { providerId userErrors { message } }
            }";
            let input = json!({
                "name": name, "issuer": issuer, "clientId": client_id, "clientSecret": secret,
                "scopes": scopes,
            });
            let answer = api.change(tenant, query, json!({"input": input})).await?;
            let provider = answer["providerId"].as_str().unwrap_or_default().to_owned();
            let callback = format!("/api/v1/sign-in/oidc/{provider}/callback");
            let answer = json!({"providerId": provider, "callback": callback});
            output::result(format, &answer, |_| {
                format!(
                    "added {provider}\n\nHave the provider send people back to `{callback}` at the \
                     tenant's host."
                )
            })
        }
        Provider::List { tenant } => {
            let tenant = api.tenant(&tenant.tenant).await?;
            let query = "{ tenant { providers { providerId name issuer clientId scopes } } }";
            let mut answer: serde_json::Value = api.graphql(tenant, query, json!({})).await?;
            let providers = answer["tenant"]["providers"].take();
            let providers: Vec<Listed> = serde_json::from_value(providers)?;
            output::result(format, &providers, |providers| {
                let rows: Vec<_> = providers.iter().map(row).collect();
                output::table(["provider", "name", "issuer", "client"], &rows)
            })
        }
        Provider::Remove { tenant, provider } => {
            let tenant = api.tenant(&tenant.tenant).await?;
            let query = "mutation($provider: String!) {
                answer: removeProvider(providerId: $provider) { userErrors { message } }
            }";
            api.change(tenant, query, json!({"provider": provider.to_string()})).await?;
            let answer = json!({"providerId": provider.to_string(), "done": "removed"});
            output::result(format, &answer, |_| format!("removed {provider}"))
        }
    }
}

/// What stands on the standard input, without the end of its line.
fn secret() -> Result<String> {
    let mut text = String::new();
    let read = std::io::stdin().take(SECRET_BYTES_MAX).read_to_string(&mut text);
    read.context("the secret cannot be read from the standard input")?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn row(Listed { provider_id, name, issuer, client_id, .. }: &Listed) -> [String; 4] {
    [provider_id.clone(), name.clone(), issuer.clone(), client_id.clone()]
}
