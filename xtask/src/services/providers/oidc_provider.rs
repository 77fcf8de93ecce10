//! The library `oidc-provider` for node, which is certified by the OpenID Foundation, as a provider of
//! a test's own.
//!
//! What it is like is said by [`Settings`], which may change while it runs; start at [`Server`]. Who
//! signs in types a name that is in them, and any password.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::super::fetching::{fetch_into, run, starts};
use super::super::process::{self, PATIENCE, until};
use super::super::{Purpose, folder, missing};
use super::unit::Unit;

/// What is installed. Names the version.
const MANIFEST: &str = include_str!("../../../oidc-provider/package.json");

/// All that is installed with it, and the digest of each.
const LOCK: &str = include_str!("../../../oidc-provider/package-lock.json");

/// The program.
const PROGRAM: &str = include_str!("../../../oidc-provider/provider.mjs");

/// Where it says what it is.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// The library with all that it needs, in a folder of this machine.
#[derive(Clone, Debug)]
pub struct Distribution {
    home: PathBuf,
}

/// What a provider is like.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it knows of clients, by the names of OpenID Connect's registration.
    pub clients: Vec<Value>,
    /// Who may sign in, and what it says of them.
    pub accounts: serde_json::Map<String, Value>,
    /// The names of its keys: it signs with the first, and shows all.
    pub keys: Vec<String>,
    /// With which algorithm: `RS256` or `ES256`.
    pub algorithm: String,
    /// Paths at which it does not answer.
    pub silent: Vec<String>,
}

/// A provider, up or down. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Server {
    unit: Unit,
    settings: Mutex<Settings>,
}

impl Distribution {
    /// What was installed before into `target/services`, else installs it now, which takes a few
    /// seconds.
    ///
    /// # Errors
    ///
    /// If node or npm is missing, or it cannot be had.
    pub fn fetch() -> Result<Self> {
        ensure!(starts("node", "--version"), missing("node", "nodejs"));
        let manifest: Value = serde_json::from_str(MANIFEST)?;
        let version = manifest["dependencies"]["oidc-provider"].as_str();
        let version = version.context("xtask/oidc-provider/package.json names no version")?;
        let home = folder::kept().join(format!("oidc-provider-{version}"));
        if !home.is_dir() {
            fetch_into(&home, install)?;
        }
        Ok(Self::at(home))
    }

    /// What is in `home`, where [`fetch`](Self::fetch) put it, maybe in another process.
    #[must_use]
    pub fn at(home: impl Into<PathBuf>) -> Self {
        Self { home: home.into() }
    }

    /// The folder that it is in.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }
}

/// Installs what the lock names, and runs nothing that comes with it.
fn install(fetched: &Path) -> Result<()> {
    ensure!(starts("npm", "--version"), missing("npm", "npm"));
    std::fs::write(fetched.join("package.json"), MANIFEST)?;
    std::fs::write(fetched.join("package-lock.json"), LOCK)?;
    let mut command = Command::new("npm");
    command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(fetched);
    run(&mut command).context("npm cannot install `oidc-provider`")
}

impl Server {
    /// One that is down, with an address that it will have.
    ///
    /// # Errors
    ///
    /// If there is no folder or address for it.
    pub fn prepare(distribution: &Distribution, settings: Settings) -> Result<Self> {
        let unit = Unit::new(Purpose::Tests)?;
        let modules = distribution.home().join("node_modules");
        std::os::unix::fs::symlink(modules, unit.folder().join("node_modules"))?;
        std::fs::write(unit.folder().join("provider.mjs"), PROGRAM)?;
        Ok(Self { unit, settings: Mutex::new(settings) })
    }

    /// What it calls itself.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("http://{}", self.unit.address())
    }

    /// What it printed since it was first started.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.unit.log()
    }

    /// Starts it if it is down, and waits until it serves. It has forgotten who was signed in.
    ///
    /// # Errors
    ///
    /// If it cannot be started, with the end of what it said.
    pub fn restart(&self) -> Result<()> {
        self.write()?;
        let mut command = process::command(Path::new("node"), Purpose::Tests, None);
        let folder = self.unit.folder();
        command.arg(folder.join("provider.mjs")).arg(self.file()).current_dir(folder);
        self.unit.restart(command, DISCOVERY, PATIENCE)
    }

    /// Ends it at once. Does nothing if it is down.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn kill(&self) -> Result<()> {
        self.unit.kill()
    }

    /// Changes what it is like while it runs: who is signed in stays so, and codes stay good.
    ///
    /// # Errors
    ///
    /// If it is down, or does not do so.
    pub fn change(&self, change: impl FnOnce(&mut Settings)) -> Result<()> {
        change(&mut self.settings.lock().unwrap_or_else(PoisonError::into_inner));
        self.write()?;
        let changes = || std::fs::read_to_string(self.log()).map(|it| it.matches(CHANGED).count());
        let before = changes()?;
        self.unit.signal(Signal::HUP)?;
        until("a provider reads its settings", || Ok((before < changes()?).then_some(())))
    }

    fn file(&self) -> PathBuf {
        self.unit.folder().join("settings.json")
    }

    fn write(&self) -> Result<()> {
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let Settings { clients, accounts, keys, algorithm, silent } = &*settings;
        let text = json!({
            "issuer": self.issuer(), "port": self.unit.address().port(), "clients": clients,
            "accounts": accounts, "keys": keys, "algorithm": algorithm, "silent": silent,
        });
        Ok(std::fs::write(self.file(), text.to_string())?)
    }
}

/// What it prints when it has read its settings again.
const CHANGED: &str = "read again: ";

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{CHANGED, LOCK, MANIFEST, PROGRAM};

    #[test]
    fn the_lock_is_of_the_manifest_and_has_a_digest_of_everything() {
        let [manifest, lock] =
            [MANIFEST, LOCK].map(|it| serde_json::from_str::<Value>(it).unwrap());
        let packages = lock["packages"].as_object().unwrap();
        assert_eq!(packages[""]["dependencies"], manifest["dependencies"]);
        let version = &packages["node_modules/oidc-provider"]["version"];
        assert_eq!(*version, manifest["dependencies"]["oidc-provider"]);
        for (name, package) in packages.iter().filter(|it| !it.0.is_empty()) {
            let digest = package["integrity"].as_str().unwrap_or_default();
            assert!(digest.starts_with("sha512-"), "{name}: {package}");
        }
    }

    #[test]
    fn the_program_says_when_it_has_read_its_settings_again() {
        assert!(PROGRAM.contains(CHANGED));
    }
}
