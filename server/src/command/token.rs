//! `callboard token`.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::client::Api;
use crate::cli::Token;
use crate::config::Config;
use crate::output::{self, Format};

/// Prints a token of the built-in issuer.
///
/// # Errors
///
/// If there is no data folder or no such tenant.
pub(crate) async fn run(config: &Config, format: Format, options: &Token) -> Result<()> {
    let api = Api::open(config).await?;
    // Before: a member need not have access to the directory.
    let tenant = api.tenant(&options.tenant.tenant).await?;
    let api = api.on_behalf_of(options.member);
    let token = api.token(tenant, options.lifetime.map(Duration::from_secs)).await?;
    let answer = json!({"token": token, "tenant": tenant.to_string()});
    output::result(format, &answer, |_| token)
}
