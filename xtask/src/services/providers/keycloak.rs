//! Keycloak, which many organisations run themselves: a Java program with realms, each of which is a
//! provider.
//!
//! Start at [`Server`]. Its realms and users are made through its own administration by whoever needs
//! them; it begins with none but the administrator's.

mod distribution;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::super::Purpose;
use super::unit::Unit;

pub use distribution::Distribution;

/// Who may do everything.
const ADMINISTRATOR: &str = "admin";

/// Where it says what it is.
const DISCOVERY: &str = "/realms/master/.well-known/openid-configuration";

/// How long it may take to start. In seconds: 600; it takes 13 where two processors do much else, and
/// one that had never started took more than 240 of a machine that was busier still.
const PATIENCE: Duration = Duration::from_secs(600);

/// A server, up or down. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Server {
    unit: Unit,
    distribution: Distribution,
    purpose: Purpose,
}

impl Server {
    /// Starts a server and waits until it serves.
    ///
    /// # Errors
    ///
    /// If it cannot be started, with the end of what it said.
    pub fn start(distribution: &Distribution, purpose: Purpose) -> Result<Self> {
        let unit = Unit::new(purpose)?;
        distribution.furnish(unit.folder())?;
        let server = Self { unit, distribution: distribution.clone(), purpose };
        server.restart()?;
        Ok(server)
    }

    /// Where it is and how to sign in, as who may do everything. Stays the same.
    ///
    /// # Errors
    ///
    /// If the distribution has lost its password.
    pub fn url(&self) -> Result<String> {
        let password = self.distribution.password()?;
        Ok(format!("http://{ADMINISTRATOR}:{password}@{}", self.unit.address()))
    }

    /// What it printed since it was first started.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.unit.log()
    }

    /// Ends it at once, without warning (`kill -9`). Does nothing if it is down.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn kill(&self) -> Result<()> {
        self.unit.kill()
    }

    /// Ends it in good order. Does nothing if it is down.
    ///
    /// # Errors
    ///
    /// If it does not end; then it is killed.
    pub fn stop(&self) -> Result<()> {
        self.unit.stop()
    }

    /// Starts it if it is down, and waits until it serves. It has its realms and users still.
    ///
    /// # Errors
    ///
    /// If it cannot be started, with the end of what it said.
    pub fn restart(&self) -> Result<()> {
        let (home, address) = (self.unit.folder(), self.unit.address());
        let command = self.distribution.server(home, address, self.purpose);
        self.unit.restart(command, DISCOVERY, PATIENCE).context("Keycloak cannot be started")
    }

    /// Lets the server outlive us. Answers its process and the folder of its data.
    pub(in super::super) fn keep(self) -> (Vec<u32>, PathBuf) {
        self.unit.keep()
    }
}
