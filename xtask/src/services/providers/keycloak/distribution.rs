//! Keycloak itself: fetched once by Maven, made ready once, and how Java runs it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::super::super::fetching::{fetch_into, maven, property, run, starts};
use super::super::super::process;
use super::super::super::{Purpose, folder, missing};
use super::super::unit::Unit;
use super::{ADMINISTRATOR, DISCOVERY, PATIENCE};

/// What is fetched. Names the version, and the digest of the archive.
const POM: &str = include_str!("../../../../keycloak/pom.xml");

/// The folder beside the programs with the data of a server that has started once.
const FRESH: &str = "fresh";

/// The file beside the programs with the administrator's password.
const PASSWORD: &str = "password";

/// What every server is built for: a database in a file of its own, and nothing that nobody asks.
const BUILD: [&str; 3] = ["--db=dev-file", "--health-enabled=false", "--metrics-enabled=false"];

/// Keycloak in a folder of this machine, built, and with the data that a first start makes.
#[derive(Clone, Debug)]
pub struct Distribution {
    home: PathBuf,
}

impl Distribution {
    /// What was fetched before into `target/services`, else fetches it now and makes it ready, which
    /// takes about a minute.
    ///
    /// # Errors
    ///
    /// If Java or Maven is missing, or it cannot be had.
    pub fn fetch() -> Result<Self> {
        ensure!(starts("java", "-version"), missing("Java", "openjdk-17-jre-headless"));
        let version = property(POM, "keycloak.version");
        let version = version.context("xtask/keycloak/pom.xml names no version")?;
        let home = folder::kept().join(format!("keycloak-{version}"));
        if !home.is_dir() {
            fetch_into(&home, |fetched| {
                unpack(fetched)?;
                std::fs::rename(fetched.join(format!("keycloak-{version}")), programs(fetched))?;
                Self::at(fetched).make_ready()
            })?;
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

    /// By what the administrator of every server that is started from here proves who they are.
    pub(super) fn password(&self) -> Result<String> {
        let file = self.home.join(PASSWORD);
        std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    }

    /// Gives a server that has never started a folder of its own at `home`, with the data that a first
    /// start makes: making them takes half of its time.
    pub(super) fn furnish(&self, home: &Path) -> Result<()> {
        for part in std::fs::read_dir(programs(&self.home))? {
            let part = part?;
            std::os::unix::fs::symlink(part.path(), home.join(part.file_name()))?;
        }
        let fresh = self.home.join(FRESH);
        if fresh.is_dir() {
            run(Command::new("cp").arg("--recursive").arg(fresh).arg(home.join("data")))?;
        }
        Ok(())
    }

    /// Java about to run the server whose folder is `home`.
    pub(super) fn server(&self, home: &Path, address: SocketAddr, purpose: Purpose) -> Command {
        let mut command = java(home, purpose);
        command
            .args(["start", "--optimized", "--http-enabled=true", "--hostname-strict=false"])
            .args(["--cache=local", "--http-pool-max-threads=8"])
            .arg(format!("--http-host={}", address.ip()))
            .arg(format!("--http-port={}", address.port()));
        command
    }

    /// Does once what otherwise every first start does: puts the program together, and makes the
    /// database with the administrator in it.
    fn make_ready(&self) -> Result<()> {
        let mut build = java(&programs(&self.home), Purpose::Tests);
        run(build.arg("build").args(BUILD)).context("Keycloak cannot be built")?;
        let (unit, password) = (Unit::new(Purpose::Tests)?, folder::secret(32)?);
        self.furnish(unit.folder())?;
        let mut command = self.server(unit.folder(), unit.address(), Purpose::Tests);
        command
            .env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMINISTRATOR)
            .env("KC_BOOTSTRAP_ADMIN_PASSWORD", &password);
        unit.restart(command, DISCOVERY, PATIENCE).context("Keycloak cannot be started")?;
        unit.stop()?;
        let (data, fresh) = (unit.folder().join("data"), self.home.join(FRESH));
        run(Command::new("cp").arg("--recursive").arg(data).arg(fresh))?;
        Ok(std::fs::write(self.home.join(PASSWORD), password)?)
    }
}

/// Where the programs are below the folder of a distribution.
fn programs(home: &Path) -> PathBuf {
    home.join("programs")
}

/// Fetches the archive, and unpacks it if it is the one that is meant.
fn unpack(fetched: &Path) -> Result<()> {
    let pom = fetched.join("pom.xml");
    std::fs::write(&pom, POM)?;
    let into = |folder: &Path| [format!("-DoutputDirectory={}", folder.display())];
    let archives = fetched.join("archive");
    maven(&pom, "dependency:copy-dependencies", &into(&archives))?;
    let digest = property(POM, "keycloak.sha256");
    let digest = digest.context("xtask/keycloak/pom.xml names no digest")?;
    for archive in std::fs::read_dir(&archives)? {
        let archive = archive?.path();
        let listed = fetched.join("sha256");
        std::fs::write(&listed, format!("{digest}  {}\n", archive.display()))?;
        let checked = run(Command::new("sha256sum").arg("--check").arg(&listed));
        checked.context("what was fetched is not the Keycloak that is meant")?;
    }
    std::fs::remove_dir_all(archives)?;
    maven(&pom, "dependency:unpack-dependencies", &into(fetched))?;
    // Notes of Maven's.
    Ok(std::fs::remove_dir_all(fetched.join("target"))?)
}

/// Java about to run Keycloak's program in `home`: as its own script starts it, but that nothing is
/// between us and its process, and that it has few threads and little memory.
fn java(home: &Path, purpose: Purpose) -> Command {
    let mut command = process::command(Path::new("java"), purpose, None);
    command.args(["-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-Xshare:auto"]);
    if purpose == Purpose::Tests {
        // Compiling better code would take longer than a test runs.
        command.arg("-XX:TieredStopAtLevel=1");
    }
    for package in ["java.util", "java.util.concurrent", "java.security"] {
        command.arg(format!("--add-opens=java.base/{package}=ALL-UNNAMED"));
    }
    let threads = "io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory";
    command
        .args(["-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8"])
        .arg(format!("-Djava.util.concurrent.ForkJoinPool.common.threadFactory={threads}"))
        .arg(format!("-Dkc.home.dir={}", home.display()))
        .arg(format!("-Djboss.server.config.dir={}", home.join("conf").display()))
        .arg("-Djava.util.logging.manager=org.jboss.logmanager.LogManager")
        .arg("-Dpicocli.disable.closures=true")
        .arg("-cp")
        .arg(home.join("lib/quarkus-run.jar"))
        .arg("io.quarkus.bootstrap.runner.QuarkusEntryPoint")
        .current_dir(home);
    command
}

#[cfg(test)]
mod tests {
    use super::{POM, property};

    #[test]
    fn the_version_and_the_digest_are_those_of_the_pom() {
        assert!(property(POM, "keycloak.version").is_some_and(|it| it.starts_with("26.")));
        let digest = property(POM, "keycloak.sha256").unwrap();
        assert!(digest.len() == 64 && digest.bytes().all(|it| it.is_ascii_hexdigit()), "{digest}");
    }
}
