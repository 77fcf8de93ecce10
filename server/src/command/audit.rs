//! `callboard audit`. What verifies runs anywhere: it needs no settings, folder or server.

mod export;
mod verify;

use std::io::IsTerminal;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use outbound::Request;
use serde::{Deserialize, Serialize};

use super::client::Api;
use crate::cli::{Audit, ForTenant};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::stores::OpenVault;

/// Does what is said.
///
/// # Errors
///
/// If the server does not answer or refuses, a file cannot be read or written, or one is not as it was exported.
pub(crate) async fn run(config: &Config, format: Format, command: &Audit) -> Result<()> {
    match command {
        Audit::Export(options) => export::run(config, format, options).await,
        Audit::Verify(options) => verify::run(format, options),
        Audit::Keys { tenant } => keys(config, format, tenant).await,
        Audit::ReplaceKey => replace_key(config, format).await,
    }
}

/// What verifies a tenant's exports, as the server publishes it.
#[derive(Debug, Deserialize, Serialize)]
struct Published {
    origin: String,
    keys: Vec<String>,
}

impl Published {
    async fn of(api: &Api, tenant: domain::id::TenantId) -> Result<Self> {
        api.json(tenant, Request::get(api.url("/api/v1/audit/keys")?)).await
    }
}

async fn keys(config: &Config, format: Format, tenant: &ForTenant) -> Result<()> {
    let api = Api::open(config).await?;
    let tenant = api.tenant(&tenant.tenant).await?;
    let published = Published::of(&api, tenant).await?;
    output::result(format, &published, |it| it.keys.join("\n"))
}

/// Makes the new key in the vault, where every process finds it.
async fn replace_key(config: &Config, format: Format) -> Result<()> {
    let folder = config.storage.existing()?;
    let keyring = OpenVault::of(config, &folder).await?.keyring(&folder).await?;
    let replaced = keyring.replace_audit_key().await?;
    let most = || {
        let most = vault::AUDIT_KEYS_MAX;
        Failure::Rejected(format!("there are {most} keys already, and there cannot be more"))
    };
    let generation = replaced.ok_or_else(most)?.generation();
    let answer = serde_json::json!({ "key": generation });
    output::result(format, &answer, |_| {
        format!("key {generation} signs from now on; publish what `callboard audit keys` shows")
    })
}

/// A bar over `bytes` of a file, or what there is of it if nobody knows how many there will be.
fn progress(format: Format, bytes: Option<u64>) -> ProgressBar {
    let target = match format {
        Format::Text if std::io::stderr().is_terminal() => ProgressDrawTarget::stderr(),
        Format::Text | Format::Json => ProgressDrawTarget::hidden(),
    };
    let template = match bytes {
        Some(_) => "{bar:40} {bytes} of {total_bytes}, {eta} left",
        None => "{spinner} {bytes}, {bytes_per_sec}",
    };
    let style = ProgressStyle::with_template(template).expect("the template is constant");
    ProgressBar::with_draw_target(bytes, target).with_style(style)
}
