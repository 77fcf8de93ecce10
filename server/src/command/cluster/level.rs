//! `callboard cluster level`: the level that events are written as of, and who speaks what.

use anyhow::{Result, bail};
use domain::id::TenantId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::ClusterLevel;
use crate::command::client::Api;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Format};

#[derive(Debug, Deserialize, Serialize)]
struct Cluster {
    level: u32,
    processes: Vec<Process>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Process {
    speaks: u32,
    address: Option<String>,
}

/// Shows the level, or raises it by one.
///
/// # Errors
///
/// If the server does not answer; if it refuses, with what each process speaks.
pub(super) async fn run(
    config: &Config,
    format: Format,
    change: Option<&ClusterLevel>,
) -> Result<()> {
    let api = Api::open(config).await?;
    let cluster = read(&api).await?;
    match change {
        None => output::result(format, &cluster, described),
        Some(ClusterLevel::Raise) => raise(&api, format, &cluster).await,
    }
}

async fn raise(api: &Api, format: Format, before: &Cluster) -> Result<()> {
    #[derive(Deserialize)]
    struct Data {
        answer: Value,
    }
    let query = "mutation($to: Int!) {
        answer: raiseClusterLevel(to: $to) { outcome { commandId } userErrors { message } }
    }";
    let to = before.level + 1;
    let Data { answer } = api.graphql(TenantId::SYSTEM, query, json!({"to": to})).await?;
    if let Some(refused) = answer["userErrors"][0]["message"].as_str() {
        let refused = format!("{refused}\n\n{}", described(before));
        return Err(Failure::Rejected(refused).into());
    }
    if answer["outcome"].is_null() {
        bail!("the server answered nothing");
    }
    output::result(format, &json!({"level": to}), |_| {
        format!("The level is {to}. Binaries that do not speak it cannot be put back.")
    })
}

async fn read(api: &Api) -> Result<Cluster> {
    #[derive(Deserialize)]
    struct Data {
        cluster: Cluster,
    }
    let query = "{ cluster { level processes { speaks address } } }";
    let Data { cluster } = api.graphql(TenantId::SYSTEM, query, Value::Null).await?;
    Ok(cluster)
}

fn described(cluster: &Cluster) -> String {
    let rows: Vec<[String; 2]> = cluster
        .processes
        .iter()
        .map(|it| {
            let address = it.address.clone().unwrap_or_else(|| "this installation".to_owned());
            [address, format!("up to {}", it.speaks)]
        })
        .collect();
    let table = output::table(["process", "speaks"], &rows);
    format!("The level is {}.\n\n{table}", cluster.level)
}
