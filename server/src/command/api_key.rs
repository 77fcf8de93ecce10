//! `callboard api-key`.

use anyhow::{Context, Result};
use chrono::{SecondsFormat, TimeDelta, Utc};
use domain::id::TenantId;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::Api;
use crate::cli::ApiKey;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Format};

/// A member with their keys.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    member_id: String,
    api_keys: Vec<Key>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    key_id: String,
    name: String,
    scope: Vec<String>,
    expires_at: String,
    last_used_at: Option<String>,
}

/// A key of the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    key_id: String,
    name: String,
    member_id: String,
    scope: Vec<String>,
    expires_at: String,
    last_used_at: Option<String>,
}

/// Issues, lists or revokes API keys.
///
/// # Errors
///
/// If the server does not answer or refuses.
pub(crate) async fn run(config: &Config, format: Format, command: &ApiKey) -> Result<()> {
    let api = Api::open(config).await?;
    match command {
        ApiKey::Issue { tenant, name, scope, days, expires, member } => {
            let tenant = api.tenant(&tenant.tenant).await?;
            let after = days.map(|it| Utc::now() + TimeDelta::days(it.into()));
            let expires = expires.or(after).context("one of both is given")?;
            let expires = expires.to_rfc3339_opts(SecondsFormat::Secs, true);
            let query = "mutation($input: IssueApiKeyInput!) {
                answer: issueApiKey(input: $input) { keyId secret userErrors { message } }
            }";
            let input = json!({"name": name, "scope": scope, "expiresAt": expires});
            let api = api.on_behalf_of(*member);
            let issued = api.change(tenant, query, json!({"input": input})).await?;
            let (key, secret) = (issued["keyId"].as_str(), issued["secret"].as_str());
            let (key, secret) = key.zip(secret).context("the server names no key")?;
            let answer = json!({"keyId": key, "secret": secret, "expiresAt": expires});
            output::result(format, &answer, |_| {
                format!("{secret}\n\nThis is {key}, until {expires}. It is not shown again.")
            })
        }
        ApiKey::List { tenant } => {
            let keys = list(&api, api.tenant(&tenant.tenant).await?, "lastUsedAt").await?;
            output::result(format, &keys, |keys| {
                let rows: Vec<_> = keys.iter().map(row).collect();
                output::table(["key", "name", "member", "scope", "until", "last used"], &rows)
            })
        }
        ApiKey::Revoke { tenant, key } => {
            let name = &tenant.tenant;
            let (tenant, key) = (api.tenant(name).await?, key.to_string());
            // Not when it was used: a key is revoked whatever is known of that.
            let known = list(&api, tenant, "").await?.into_iter().find(|it| it.key_id == key);
            let unknown = || Failure::Usage(format!("`{name}` has no API key `{key}`"));
            let member = known.ok_or_else(unknown)?.member_id;
            let query = "mutation($key: String!, $member: String!) {
                answer: revokeApiKey(keyId: $key, memberId: $member) { userErrors { message } }
            }";
            api.change(tenant, query, json!({"key": key, "member": member})).await?;
            let answer = json!({"keyId": key, "done": "revoked"});
            output::result(format, &answer, |_| format!("revoked {key}"))
        }
    }
}

/// The keys of all members, and what `more` asks of each.
async fn list(api: &Api, tenant: TenantId, more: &str) -> Result<Vec<Listed>> {
    let query = format!(
        "query($after: String) {{
            page: members(first: 100, after: $after) {{
                nodes {{ memberId apiKeys {{ keyId name scope expiresAt {more} }} }}
                pageInfo {{ hasNextPage endCursor }}
            }}
        }}"
    );
    let members: Vec<Member> = api.all(tenant, &query, json!({})).await?;
    let of = |Member { member_id, api_keys }| {
        api_keys.into_iter().map(move |Key { key_id, name, scope, expires_at, last_used_at }| {
            let member_id = String::clone(&member_id);
            Listed { key_id, name, member_id, scope, expires_at, last_used_at }
        })
    };
    Ok(members.into_iter().flat_map(of).collect())
}

fn row(key: &Listed) -> [String; 6] {
    let Listed { key_id, name, member_id, scope, expires_at, last_used_at } = key;
    let (scope, used) = (scope.join(", "), last_used_at.as_deref().unwrap_or("never"));
    [key_id, name, member_id, &scope, expires_at, used].map(str::to_owned)
}
