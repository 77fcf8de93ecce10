//! The `callboard` binary: command line, settings, wiring, supervision. It holds no logic.
//!
//! [`cli`] is what can be typed, [`command`] what each of it does; [`node`] wires the parts of a
//! running process, [`stores`] what it keeps, [`import`] and [`demo`] bring data in through the
//! same doors and commands as anybody's, and [`backup`] takes everything away and back.

mod background;
mod backup;
mod bench;
mod cli;
mod command;
mod config;
mod connections;
mod demo;
mod failure;
mod folder;
mod import;
mod node;
mod output;
mod ownership;
mod peers;
mod providers;
mod stores;
mod telemetry;
mod tidying;
mod waiting;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use tokio::runtime::Runtime;

use cli::{Cli, Command};
use config::Config;
use failure::{Failure, exit_code};
use folder::Purpose;
use output::Format;

/// Memory that one thread takes and another gives back is the rule here, between doors and
/// databases; the system's allocator spends a fifth of a request on that. SQLite uses it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long what still blocks at the end is waited for: somebody may ask a cluster that does not
/// answer. In milliseconds: 100.
const ENDING_MAX: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    folder::keep_private();
    let cli = Cli::parse();
    let ended = Runtime::new().context("no threads to run on").and_then(|runtime| {
        let ended = runtime.block_on(run(cli));
        runtime.shutdown_timeout(ENDING_MAX);
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = exit_code(&error);
            output::problem(&format!("callboard: {error:#}"));
            ExitCode::from(code)
        }
    }
}

async fn run(cli: Cli) -> Result<()> {
    let format = if cli.json { Format::Json } else { Format::Text };
    if let Command::Config { defaults: true } = cli.command {
        return output::line(config::DEFAULTS.trim_end());
    }
    let loaded = Config::load(cli.config.as_deref());
    let mut config = loaded.map_err(|error| Failure::Usage(format!("{error:#}")))?;
    if let Some(folder) = cli.folder {
        config.storage.folder = folder;
    }
    if let Command::Up(up) = &cli.command {
        config.http.listen = up.listen.unwrap_or(config.http.listen);
    }
    match &cli.command {
        Command::Up(up) => {
            let _telemetry = telemetry::start(&config.telemetry)?;
            let purpose = if up.demo { Purpose::Demo } else { Purpose::Serve };
            command::up::run(&config, purpose).await
        }
        Command::Import(options) => command::import::run(&config, format, options).await,
        Command::Token(options) => command::token::run(&config, format, options).await,
        Command::Tenant(what) => command::tenant::run(&config, format, what).await,
        Command::Provider(what) => command::provider::run(&config, format, what).await,
        Command::Member(what) => command::member::run(&config, format, what).await,
        Command::Role(what) => command::role::run(&config, format, what).await,
        Command::ApiKey(what) => command::api_key::run(&config, format, what).await,
        Command::Usage(what) => command::usage::run(&config, format, what).await,
        Command::Events(what) => command::events::run(&config, format, what).await,
        Command::Audit(what) => command::audit::run(&config, format, what).await,
        Command::Projections(what) => command::projections::run(&config, format, what).await,
        Command::Bench(options) => command::bench::run(&config, format, options).await,
        Command::Cluster(what) => command::cluster::run(&config, format, what).await,
        Command::Kafka(what) => command::kafka::run(&config, format, what).await,
        Command::Backup { to } => command::backup::make(&config, format, to).await,
        Command::Restore { from } => command::backup::restore(&config, format, from).await,
        Command::Doctor => command::doctor::run(&config, format).await,
        Command::Config { .. } => {
            output::result(format, &config, |it| toml::to_string(it).unwrap_or_default())
        }
    }
}
