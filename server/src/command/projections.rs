//! `callboard projections`.

use anyhow::Result;
use domain::id::TenantId;
use outbound::Request;
use serde_json::{Value, json};

use super::client::Api;
use crate::cli::Projections;
use crate::config::Config;
use crate::output::{self, Format};

/// Shows, rebuilds or resumes read models.
///
/// # Errors
///
/// If the server does not answer or refuses.
pub(crate) async fn run(config: &Config, format: Format, command: &Projections) -> Result<()> {
    let api = Api::open(config).await?;
    let post = |path: &str, body: Value| -> Result<Request> {
        Ok(Request::post(api.url(path)?, "application/json", serde_json::to_vec(&body)?))
    };
    match command {
        Projections::Status => {
            let request = Request::get(api.url("/api/v1/projections")?);
            let status: Value = api.json(TenantId::SYSTEM, request).await?;
            output::result(format, &status, table)
        }
        Projections::Rebuild { model } => {
            let request = post(&format!("/api/v1/projections/{model}/rebuild"), json!({}))?;
            let status: Value = api.patient().json(TenantId::SYSTEM, request).await?;
            output::result(format, &status, table)
        }
        Projections::Resume { model, tenant } => {
            let tenant = api.tenant(&tenant.tenant).await?;
            let body = json!({"tenant": tenant.to_string()});
            let request = post(&format!("/api/v1/projections/{model}/resume"), body)?;
            let resumed: Value = api.json(TenantId::SYSTEM, request).await?;
            output::result(format, &resumed, |it| match it["parked"]["reason"].as_str() {
                Some(reason) => format!("parked again: {reason}"),
                None => "resumed".to_owned(),
            })
        }
    }
}

fn table(status: &Value) -> String {
    let models = status.as_array().into_iter().flatten();
    let rows = models.flat_map(|model| {
        let partitions = model["partitions"].as_array().into_iter().flatten();
        partitions.map(|partition| {
            let parked = model["parked"].as_array().map_or(0, Vec::len);
            let state = match (partition["stopped"].as_str(), &model["live"]) {
                (Some(reason), _) => format!("stopped: {reason}"),
                (None, Value::Bool(true)) => "live".to_owned(),
                (None, _) => "building".to_owned(),
            };
            [
                model["model"].as_str().unwrap_or_default().to_owned(),
                model["generation"].to_string(),
                partition["partition"].to_string(),
                partition["position"].to_string(),
                partition["eventsBehind"].to_string(),
                parked.to_string(),
                state,
            ]
        })
    });
    let rows: Vec<[String; 7]> = rows.collect();
    let header = ["model", "generation", "partition", "position", "behind", "parked", "state"];
    output::table(header, &rows)
}
