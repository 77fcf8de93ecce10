//! What `cargo xtask services up` left running, written down in `target/services/running.json`.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::process::until;
use super::providers::{keycloak, oidc_provider};
use super::{Purpose, Variable, both, folder, kafka, postgres};
use super::{of_kafka, of_keycloak, of_node, of_postgres};

/// Services that outlive the process that started them. Some may have ended by themselves.
#[derive(Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Running {
    kafka: Option<Kafka>,
    postgres: Option<Postgres>,
    keycloak: Option<Keycloak>,
    /// Where node's `oidc-provider` is, of which every test starts its own.
    node: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Kafka {
    bootstrap: String,
    libs: PathBuf,
    left: Left,
}

#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Postgres {
    url: String,
    left: Left,
}

#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Keycloak {
    url: String,
    home: PathBuf,
    left: Left,
}

/// What must be stopped and removed at the end.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Left {
    processes: Vec<Known>,
    folder: PathBuf,
}

/// A process, known also by its start: numbers are given out again.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Known {
    id: u32,
    /// In ticks since the system started.
    started: u64,
}

impl Running {
    /// What was written down. Nothing if nothing is.
    ///
    /// # Errors
    ///
    /// If what is written down cannot be read.
    pub fn read() -> Result<Self> {
        Self::read_from(&file())
    }

    /// Starts the services that are not running, and writes down all of them.
    ///
    /// # Errors
    ///
    /// If one cannot be started: what is missing, and how it is installed.
    pub fn up() -> Result<Self> {
        let mut running = Self::read()?;
        running.forget_the_dead()?;
        let ((cluster, server), (keycloak, node)) = both(
            || {
                both(
                    || running.kafka.is_none().then(start_kafka).transpose(),
                    || running.postgres.is_none().then(start_postgres).transpose(),
                )
            },
            || {
                let start_keycloak = || running.keycloak.is_none().then(start_keycloak).transpose();
                both(start_keycloak, oidc_provider::Distribution::fetch)
            },
        )?;
        // Nothing is kept before all of it runs.
        if let Some((cluster, distribution)) = cluster {
            let (bootstrap, libs) = (cluster.bootstrap(), distribution.libs().to_path_buf());
            running.kafka = Some(Kafka { bootstrap, libs, left: Left::from(cluster.keep())? });
        }
        if let Some(server) = server {
            let url = server.url();
            running.postgres = Some(Postgres { url, left: Left::from(server.keep())? });
        }
        if let Some((server, distribution)) = keycloak {
            let (url, home) = (server.url()?, distribution.home().to_path_buf());
            running.keycloak = Some(Keycloak { url, home, left: Left::from(server.keep())? });
        }
        running.node = Some(node.home().to_path_buf());
        running.write_to(&file())?;
        Ok(running)
    }

    /// Stops all that is running, and removes its data.
    ///
    /// # Errors
    ///
    /// If something does not end, or cannot be removed.
    pub fn down(self) -> Result<()> {
        let Self { kafka, postgres, keycloak, node: _ } = self;
        both(
            || kafka.map_or(Ok(()), |it| it.left.remove(Signal::TERM)),
            || postgres.map_or(Ok(()), |it| it.left.remove(Signal::INT)),
        )?;
        keycloak.map_or(Ok(()), |it| it.left.remove(Signal::TERM))?;
        match std::fs::remove_file(file()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Kafka's bootstrap servers and the folder of its jars, if it runs.
    #[must_use]
    pub fn kafka(&self) -> Option<(&str, &Path)> {
        let kafka = self.kafka.as_ref().filter(|it| it.left.runs())?;
        Some((&kafka.bootstrap, &kafka.libs))
    }

    /// PostgreSQL's URL, if it runs.
    #[must_use]
    pub fn postgres(&self) -> Option<&str> {
        let postgres = self.postgres.as_ref().filter(|it| it.left.runs())?;
        Some(&postgres.url)
    }

    /// Keycloak's URL and the folder that it is in, if it runs.
    #[must_use]
    pub fn keycloak(&self) -> Option<(&str, &Path)> {
        let keycloak = self.keycloak.as_ref().filter(|it| it.left.runs())?;
        Some((&keycloak.url, &keycloak.home))
    }

    /// Where node's `oidc-provider` is, if it is there.
    #[must_use]
    pub fn node(&self) -> Option<&Path> {
        self.node.as_deref().filter(|it| it.is_dir())
    }

    /// What tests find those by that run.
    #[must_use]
    pub fn variables(&self) -> Vec<Variable> {
        let mut variables = Vec::new();
        variables.extend(self.kafka().into_iter().flat_map(|(all, libs)| of_kafka(all, libs)));
        variables.extend(self.postgres().map(of_postgres));
        variables
            .extend(self.keycloak().into_iter().flat_map(|(url, home)| of_keycloak(url, home)));
        variables.extend(self.node().map(|it| of_node(&oidc_provider::Distribution::at(it))));
        variables
    }

    /// Removes what those left that have ended by themselves, or in part.
    fn forget_the_dead(&mut self) -> Result<()> {
        if let Some(kafka) = self.kafka.take_if(|it| !it.left.runs()) {
            kafka.left.remove(Signal::TERM)?;
        }
        if let Some(postgres) = self.postgres.take_if(|it| !it.left.runs()) {
            postgres.left.remove(Signal::INT)?;
        }
        if let Some(keycloak) = self.keycloak.take_if(|it| !it.left.runs()) {
            keycloak.left.remove(Signal::TERM)?;
        }
        Ok(())
    }

    fn read_from(file: &Path) -> Result<Self> {
        let text = match std::fs::read(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            read => read.with_context(|| format!("cannot read {}", file.display()))?,
        };
        serde_json::from_slice(&text).with_context(|| {
            format!("{} is not ours: stop what it names, then remove it", file.display())
        })
    }

    fn write_to(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        let mut options = std::fs::OpenOptions::new();
        // A password is in it.
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut opened =
            options.open(file).with_context(|| format!("cannot write to {}", file.display()))?;
        Ok(opened.write_all(&text)?)
    }
}

fn file() -> PathBuf {
    folder::kept().join("running.json")
}

fn start_kafka() -> Result<(kafka::Cluster, kafka::Distribution)> {
    let distribution = kafka::Distribution::fetch()?;
    let plan = kafka::Plan::new(1).with_purpose(Purpose::Development);
    Ok((plan.start(&distribution)?, distribution))
}

fn start_postgres() -> Result<postgres::Server> {
    postgres::Server::start(&postgres::Binaries::find()?, Purpose::Development)
}

fn start_keycloak() -> Result<(keycloak::Server, keycloak::Distribution)> {
    let distribution = keycloak::Distribution::fetch()?;
    Ok((keycloak::Server::start(&distribution, Purpose::Development)?, distribution))
}

impl Left {
    fn from((processes, folder): (Vec<u32>, PathBuf)) -> Result<Self> {
        let known = |id| Known::find(id).with_context(|| format!("process {id} has just ended"));
        let processes = processes.into_iter().map(known).collect::<Result<_>>()?;
        Ok(Self { processes, folder })
    }

    /// Whether all of its processes run.
    fn runs(&self) -> bool {
        self.processes.iter().all(Known::runs)
    }

    fn remove(self, signal: Signal) -> Result<()> {
        self.processes.iter().try_for_each(|it| it.stop(signal))?;
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.folder.display()))
            }
            _ => Ok(()),
        }
    }
}

impl Known {
    /// The process with this number, if there is one.
    fn find(id: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        Some(Self { id, started: started(&status)? })
    }

    fn runs(&self) -> bool {
        Self::find(self.id).as_ref() == Some(self)
    }

    fn stop(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.id).ok().and_then(Pid::from_raw);
        let Some(id) = id.filter(|_| self.runs()) else { return Ok(()) };
        kill_process(id, signal).with_context(|| format!("cannot stop process {}", self.id))?;
        until("a process ends", || Ok((!self.runs()).then_some(())))
    }
}

/// When a process started, out of the text of its `/proc/<id>/stat`; none once it has ended and
/// only waits to be forgotten.
///
/// The second field is the name of the program in parentheses and may hold anything; the start is
/// the 22nd.
fn started(status: &str) -> Option<u64> {
    let (_, rest) = status.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    (fields.first() != Some(&"Z")).then(|| fields.get(19)?.parse().ok())?
}

#[cfg(test)]
mod tests;
