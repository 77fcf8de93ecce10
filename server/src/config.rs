//! The settings: built-in defaults, then a file, then the environment. Unknown keys fail.
//!
//! The only module that reads the environment. `config.default.toml` is the manual.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use query_api::Proxies;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::{Table, Value};

mod cluster;
mod kafka;
mod ranges;
#[cfg(feature = "sabotage")]
pub(crate) mod sabotage;
mod secret;
mod storage;

pub(crate) use cluster::{Cluster, Membership};
pub(crate) use kafka::Kafka;
pub(crate) use secret::Secret;
pub(crate) use storage::{Kind as StorageKind, Storage};

/// The commented defaults, as built in.
pub(crate) const DEFAULTS: &str = include_str!("../config.default.toml");

/// What an environment variable that sets something begins with.
const PREFIX: &str = "CALLBOARD_";

/// Variables with the prefix that are not settings: the command line and the tests read them.
const NOT_SETTINGS: [&str; 6] = [
    "CALLBOARD_CONFIG",
    "CALLBOARD_SHARED",
    "CALLBOARD_TEST_KAFKA",
    "CALLBOARD_TEST_KAFKA_LIBS",
    "CALLBOARD_TEST_POSTGRES",
    "CALLBOARD_TEST_PROFILE",
];

/// All settings.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// What the installation is for.
    pub environment: Environment,
    /// Where everything is kept.
    pub storage: Storage,
    /// The doors.
    pub http: Http,
    /// The identity providers of tenants.
    pub providers: Providers,
    /// Limits of the GraphQL door.
    pub graphql: Graphql,
    /// The log.
    pub log: Log,
    /// The other processes of the installation.
    pub cluster: Cluster,
    /// The write side.
    pub commands: Commands,
    /// The read side.
    pub reads: Reads,
    /// The built-in issuer.
    pub tokens: Tokens,
    /// Logs and traces.
    pub telemetry: Telemetry,
}

/// What an installation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Environment {
    /// Trying and building.
    Development,
    /// Serving others.
    Production,
}

/// The doors.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    /// The address to listen on.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// What the hosts end in that select a tenant.
    #[serde(deserialize_with = "host")]
    pub host_suffix: String,
    /// The proxies that are trusted to say who asks.
    #[serde(deserialize_with = "proxies", serialize_with = "as_text")]
    pub trusted_proxies: Proxies,
    /// The largest request body, in bytes.
    pub body_bytes_max: usize,
    /// How many connections may be open at a time.
    pub connections_max: NonZeroUsize,
    /// How many of them one address may have.
    pub connections_per_address_max: NonZeroUsize,
    /// How long the head of a request may take, in milliseconds.
    pub head_time_max_ms: NonZeroU64,
    /// How long a connection may be idle between two requests, in milliseconds.
    pub idle_time_max_ms: NonZeroU64,
    /// How long a query waits for its position token, in milliseconds.
    pub visibility_wait_ms: u64,
}

/// The identity providers of tenants.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Providers {
    /// Where they may be.
    pub reach: ProviderReach,
}

/// Where identity providers may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProviderReach {
    /// At public addresses.
    Public,
    /// On this machine.
    Loopback,
}

/// Limits of the GraphQL door.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Graphql {
    /// How deep a query may nest.
    pub depth_max: usize,
    /// How much a query may cost.
    pub complexity_max: usize,
    /// How many aliases one document may use.
    pub aliases_max: usize,
    /// How many operations one request may carry.
    pub batch_max: usize,
}

/// The log.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    /// Where events are kept.
    pub kind: LogKind,
    /// How many partitions the embedded log has.
    pub partitions: u32,
    /// The size of one segment file, in bytes.
    pub segment_bytes: u64,
    /// The cluster.
    pub kafka: Kafka,
}

/// Where events are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogKind {
    /// In the data folder.
    Embedded,
    /// On a cluster.
    Kafka,
}

/// The write side.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Commands {
    /// How many requests of one tenant may wait.
    pub waiting_per_tenant_max: usize,
    /// Events between snapshots.
    pub snapshot_every_events: NonZeroU64,
    /// Outcomes of keyed requests that are remembered beyond what is reserved for each tenant.
    pub remembered_in_common_max: usize,
    /// Large content that requests of one tenant have under way, in bytes.
    pub large_bytes_max: usize,
}

/// The read side.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reads {
    /// How many connections the readers of one model share.
    pub connections_max: NonZeroU32,
    /// The longest one read may take, in milliseconds.
    pub time_max_ms: NonZeroU64,
    /// How much one operation may read and say, in bytes.
    pub bytes_max: usize,
}

/// The built-in issuer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tokens {
    /// How long a token is good for, in seconds.
    pub lifetime_seconds: u64,
}

/// Logs and traces.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Telemetry {
    /// How log lines look.
    pub format: LogFormat,
    /// What is logged.
    pub filter: String,
    /// Where spans are sent; empty for nowhere.
    #[serde(deserialize_with = "shown_address")]
    pub otlp_endpoint: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads the settings of this process.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, a key is unknown, or a value does not fit; the message names
    /// the source and the key.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self> {
        let file = match file {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| {
                    format!("could not read the settings in `{}`", path.display())
                })?;
                Some((path.display().to_string(), text))
            }
            None => None,
        };
        let file = file.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
        Self::layered(file, variables()?.into_iter())
    }

    /// Has `command`, which runs this same binary, run with these settings and no others. They are
    /// written to `file`, but for what is secret.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub(crate) fn hand_on(&self, command: &mut Command, file: &Path) -> Result<()> {
        let mut shown = self.clone();
        let secrets = [
            ("CALLBOARD_LOG_KAFKA_PASSWORD", &mut shown.log.kafka.password),
            ("CALLBOARD_STORAGE_POSTGRESQL_URL", &mut shown.storage.postgresql.url),
        ];
        let secrets = secrets.map(|(name, secret)| (name, std::mem::take(&mut secret.0)));
        std::fs::write(file, toml::to_string(&shown)?)
            .with_context(|| format!("could not write `{}`", file.display()))?;
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(PREFIX) {
                command.env_remove(name);
            }
        }
        command.arg("--config").arg(file).envs(secrets);
        Ok(())
    }

    /// What holds where nothing is set.
    #[cfg(test)]
    pub(crate) fn defaults() -> Self {
        Self::layered(None, std::iter::empty()).expect("the defaults are complete")
    }

    fn layered(
        file: Option<(&str, &str)>,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self> {
        let mut table: Table = DEFAULTS.parse().context("the built-in defaults are not TOML")?;
        if let Some((name, text)) = file {
            let layer: Table = text.parse().with_context(|| format!("`{name}` is not TOML"))?;
            merge(&mut table, layer, "")
                .and_then(|()| ranges::check(&table))
                .with_context(|| format!("in `{name}`"))?;
        }
        for (name, text) in variables.filter(|(name, _)| !NOT_SETTINGS.contains(&name.as_str())) {
            set(&mut table, &name, &text)
                .and_then(|()| ranges::check(&table))
                .with_context(|| format!("in the variable `{name}`"))?;
        }
        Value::Table(table).try_into().context("a setting does not fit")
    }
}

/// An address and port; an error names what was there instead.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!(
            "expected `http.listen` to be an address and a port like `127.0.0.1:7420`, got `{text}`"
        ))
    })
}

/// The name of a host in lower case, without a port; an error names what was there instead.
fn host<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let is_label = |it: &str| {
        let is_inner = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
        (1..=63).contains(&it.len()) && it.bytes().all(is_inner)
    };
    if text.len() <= 200 && text.split('.').all(is_label) {
        return Ok(text);
    }
    Err(D::Error::custom(format!(
        "expected `http.host_suffix` to be a host in lower case like `callboard.example.com`, got \
         `{text}`"
    )))
}

/// Proxies; an error names what was there instead.
fn proxies<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Proxies, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|error| D::Error::custom(format!("in `http.trusted_proxies`: {error}")))
}

fn as_text<S: Serializer>(proxies: &Proxies, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(proxies)
}

/// The settings among the environment's variables.
fn variables() -> Result<Vec<(String, String)>> {
    let named =
        std::env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text)));
    let ours = named.filter(|(name, _)| name.starts_with(PREFIX));
    ours.map(|(name, text)| match text.into_string() {
        Ok(text) => Ok((name, text)),
        Err(_) => bail!("the variable `{name}` is not text in UTF-8"),
    })
    .collect()
}

/// An address that may be shown: it names nobody who may come in.
fn shown_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let authority = text.split_once("://").map_or(&*text, |(_, rest)| rest);
    if authority.split('/').next().is_some_and(|it| it.contains('@')) {
        return Err(D::Error::custom(
            "expected `telemetry.otlp_endpoint` without a user; what lets it in belongs into the \
             variable `OTEL_EXPORTER_OTLP_HEADERS`",
        ));
    }
    Ok(text)
}

/// Lays `layer` over `table`; every key must be there already.
fn merge(table: &mut Table, layer: Table, path: &str) -> Result<()> {
    for (key, value) in layer {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (table.get_mut(&key), value) {
            (None, _) => bail!("unknown setting `{path}`; `callboard config --defaults` lists all"),
            (Some(Value::Table(inner)), Value::Table(layer)) => merge(inner, layer, &path)?,
            (Some(slot), value) if slot.same_type(&value) => *slot = value,
            (Some(slot), value) => {
                bail!("expected `{path}` to be of type {}, got `{value}`", slot.type_str())
            }
        }
    }
    Ok(())
}

/// Sets the one key that an environment variable names: `CALLBOARD_HTTP_LISTEN` is `http.listen`,
/// `CALLBOARD_LOG_KAFKA_USER` is `log.kafka.user`.
fn set(table: &mut Table, name: &str, text: &str) -> Result<()> {
    let path = name.trim_start_matches(PREFIX).to_lowercase();
    match slot(table, &path) {
        Some(slot @ Value::String(_)) => *slot = Value::String(text.to_owned()),
        Some(slot @ Value::Integer(_)) => {
            let number =
                text.parse().with_context(|| format!("expected a number, got `{text}`"))?;
            *slot = Value::Integer(number);
        }
        Some(_) | None => bail!("unknown setting; `callboard config --defaults` lists all"),
    }
    Ok(())
}

/// The value at `path`, a key or a section and what is in it. Names of sections have no `_`.
fn slot<'a>(table: &'a mut Table, path: &str) -> Option<&'a mut Value> {
    if table.contains_key(path) {
        return table.get_mut(path);
    }
    let (section, rest) = path.split_once('_')?;
    slot(table.get_mut(section)?.as_table_mut()?, rest)
}

#[cfg(test)]
mod tests;
