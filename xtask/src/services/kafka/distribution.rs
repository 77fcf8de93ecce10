//! Kafka itself: the jars, fetched once by Maven, and how Java runs them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::super::fetching::{fetch_into, maven, property, starts};
use super::super::process;
use super::super::{Purpose, folder, missing};
use super::Plan;

/// What is fetched. Names the version.
const POM: &str = include_str!("../../../kafka/pom.xml");

/// The property in it that is the version.
const VERSION: &str = "kafka.version";

/// The file beside the jars with their classes as Java keeps them in memory.
const ARCHIVE: &str = "classes.jsa";

/// The program that starts a broker.
const BROKER: &str = "kafka.Kafka";

/// The program that prepares a broker's folder.
const FORMATTER: &str = "kafka.tools.StorageTool";

/// Kafka's jars in a folder of this machine.
#[derive(Clone, Debug)]
pub struct Distribution {
    libs: PathBuf,
}

impl Distribution {
    /// The jars that were fetched before into `target/services`, else fetches them now, which
    /// takes about half a minute.
    ///
    /// # Errors
    ///
    /// If Java or Maven is missing, or the jars cannot be had.
    pub fn fetch() -> Result<Self> {
        ensure!(starts("java", "-version"), missing("Java", "openjdk-17-jre-headless"));
        let version = property(POM, VERSION).context("xtask/kafka/pom.xml names no version")?;
        let home = folder::kept().join(format!("kafka-{version}"));
        if !home.is_dir() {
            fetch(&home)?;
        }
        let fetched = Self::at(home.join("libs"));
        if !fetched.archive().is_file() {
            fetched.write_archive()?;
        }
        Ok(fetched)
    }

    /// The jars in `libs`, which [`fetch`](Self::fetch) fetched, maybe in another process.
    #[must_use]
    pub fn at(libs: impl Into<PathBuf>) -> Self {
        Self { libs: libs.into() }
    }

    /// The folder with the jars.
    #[must_use]
    pub fn libs(&self) -> &Path {
        &self.libs
    }

    /// Java about to run the broker of `properties`.
    pub(super) fn broker(&self, properties: &Path, purpose: Purpose, more: &[String]) -> Command {
        let mut command = self.java(purpose, more);
        command.arg(BROKER).arg(properties);
        command
    }

    /// Java about to prepare the folder that `properties` names.
    pub(super) fn formatter(&self, properties: &Path, cluster: &str) -> Command {
        let mut command = self.java(Purpose::Tests, &[]);
        command.args([FORMATTER, "format", "--cluster-id", cluster, "--config"]).arg(properties);
        command
    }

    fn archive(&self) -> PathBuf {
        self.libs.with_file_name(ARCHIVE)
    }

    fn java(&self, purpose: Purpose, more: &[String]) -> Command {
        let mut command = process::command(Path::new("java"), purpose, None);
        // One thread collects garbage: the machine has other things to do.
        command.args(["-Xmx256m", "-XX:+UseSerialGC", "-Djava.awt.headless=true"]);
        if purpose == Purpose::Tests {
            // Compiling better code would take longer than a test runs.
            command.arg("-XX:TieredStopAtLevel=1");
        }
        if self.archive().is_file() {
            command.arg(format!("-XX:SharedArchiveFile={}", self.archive().display()));
        }
        command.args(more);
        command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp"]);
        command.arg(format!("{}/*", self.libs.display()));
        command
    }

    /// Writes down the classes of a broker that has started, so that the next ones start in about
    /// half the time. Java ignores an archive that does not fit it.
    fn write_archive(&self) -> Result<()> {
        let name = format!("{ARCHIVE}.{}", std::process::id());
        let written = self.libs.with_file_name(name);
        let option = format!("-XX:ArchiveClassesAtExit={}", written.display());
        Plan::new(1).with_java(option).start(self)?.broker(0).stop()?;
        std::fs::rename(written, self.archive()).context("Java wrote no archive of classes")
    }
}

/// Fetches the jars into `home`.
fn fetch(home: &Path) -> Result<()> {
    fetch_into(home, |fetched| {
        let pom = fetched.join("pom.xml");
        std::fs::write(&pom, POM)?;
        let libs = format!("-DoutputDirectory={}", fetched.join("libs").display());
        maven(&pom, "dependency:copy-dependencies", &["-DincludeScope=runtime".to_owned(), libs])
    })
}

#[cfg(test)]
mod tests {
    use super::{POM, VERSION, property};

    #[test]
    fn the_version_is_the_one_of_the_pom() {
        assert!(property(POM, VERSION).is_some_and(|it| it.starts_with("4.")));
    }
}
