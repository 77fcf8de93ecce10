//! PostgreSQL servers of the installed version, each with a temporary cluster of databases.
//!
//! The server that Debian's package starts by itself is not touched. Start at [`Server`].

mod binaries;
mod paused;

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use super::account::Account;
use super::process::{self, Process, last_lines, until};
use super::{Purpose, folder, ports};

pub use binaries::Binaries;
pub use paused::Paused;

/// The user that may do everything.
const SUPERUSER: &str = "callboard_test";

/// As whom the server runs where we are root, which it refuses to be. Its package makes the user.
const ACCOUNT: &str = "postgres";

/// Connections that all clients together may have. Far above what tests that run side by side
/// open, so that they do not wait for each other.
const CONNECTIONS_MAX: &str = "300";

/// A server, up or down. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Server {
    // Before the folder, so that nobody writes into it any more when it goes.
    process: Mutex<Option<Process>>,
    folder: TempDir,
    address: SocketAddr,
    password: String,
    binaries: Binaries,
    account: Option<Account>,
    purpose: Purpose,
    encrypted: bool,
}

/// Who a server proves to be.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate, PEM.
    pub certificate: String,
    /// Its key, PEM.
    pub key: String,
}

impl Server {
    /// Starts a server with no databases but its own, and waits until it serves.
    ///
    /// # Errors
    ///
    /// If it cannot be started, with the end of what it said.
    pub fn start(binaries: &Binaries, purpose: Purpose) -> Result<Self> {
        let server = Self::prepared(binaries, purpose)?;
        server.restart()?;
        Ok(server)
    }

    /// The same, for connections over TLS alone.
    ///
    /// # Errors
    ///
    /// If it cannot be started, with the end of what it said.
    pub fn start_encrypted(
        binaries: &Binaries,
        purpose: Purpose,
        certificate: &Certificate,
    ) -> Result<Self> {
        let mut server = Self::prepared(binaries, purpose)?;
        server.encrypted = true;
        let data = server.data();
        for (name, text) in
            [("server.crt", &certificate.certificate), ("server.key", &certificate.key)]
        {
            server.write(&data.join(name), text)?;
        }
        server.write(&data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 scram-sha-256\n")?;
        server.restart()?;
        Ok(server)
    }

    /// Starts a standby of it: a copy that follows it, answers questions and takes no changes.
    ///
    /// # Errors
    ///
    /// If it cannot be started, with the end of what it said.
    pub fn start_standby(&self) -> Result<Self> {
        let standby = Self::empty(&self.binaries, self.purpose, self.password.clone())?;
        let mut copying = standby.making(&self.binaries.basebackup());
        copying.env("PGPASSWORD", &self.password).args(["--username", SUPERUSER]);
        copying.args(["--write-recovery-conf", "--checkpoint", "fast", "--no-sync"]);
        copying.arg("--host").arg(self.address.ip().to_string());
        copying.arg("--port").arg(self.address.port().to_string());
        standby.make(copying)?;
        standby.restart()?;
        Ok(standby)
    }

    /// A server that is down and has no databases but its own.
    fn prepared(binaries: &Binaries, purpose: Purpose) -> Result<Self> {
        let server = Self::empty(binaries, purpose, folder::secret(32)?)?;
        server.initialize()?;
        Ok(server)
    }

    /// A server that is down and has no files.
    fn empty(binaries: &Binaries, purpose: Purpose, password: String) -> Result<Self> {
        let server = Self {
            process: Mutex::new(None),
            folder: folder::temporary(purpose)?,
            address: ports::free_address()?,
            password,
            binaries: binaries.clone(),
            account: account()?,
            purpose,
            encrypted: false,
        };
        if let Some(Account { user, group }) = server.account {
            chown(server.folder.path(), Some(user), Some(group))?;
        }
        Ok(server)
    }

    /// Writes a file that the server alone can read.
    fn write(&self, file: &Path, text: &str) -> Result<()> {
        // It may be there already, as the server's own.
        drop(std::fs::remove_file(file));
        std::fs::write(file, text)?;
        std::fs::set_permissions(file, Permissions::from_mode(0o600))?;
        if let Some(Account { user, group }) = self.account {
            chown(file, Some(user), Some(group))?;
        }
        Ok(())
    }

    /// Where it is and how to sign in, as a user that may do everything. Stays the same.
    #[must_use]
    pub fn url(&self) -> String {
        let Self { password, address, .. } = self;
        format!("postgres://{SUPERUSER}:{password}@{address}/postgres")
    }

    /// What it printed since it was first started.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("postgres.log")
    }

    /// The number of its process. None while it is down.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process().as_ref().map(Process::id)
    }

    /// Ends it and all its connections at once, as a crash would: nothing is written down, and
    /// its next start recovers. Does nothing if it is down.
    ///
    /// # Errors
    ///
    /// If it does not end; then it is killed.
    pub fn kill(&self) -> Result<()> {
        // Its own word for it. A `kill -9` would leave its children behind for a while, and they
        // would keep the next start from using the data.
        self.process().take().map_or(Ok(()), |it| it.stop(Signal::QUIT))
    }

    /// Ends it in good order, without waiting for its clients. Does nothing if it is down.
    ///
    /// # Errors
    ///
    /// If it does not end; then it is killed.
    pub fn stop(&self) -> Result<()> {
        self.process().take().map_or(Ok(()), |it| it.stop(Signal::INT))
    }

    /// Stops it where it is (`SIGSTOP`) until the answer is dropped: its connections stay open, new
    /// ones are taken, and nothing is answered.
    ///
    /// # Errors
    ///
    /// If it is down.
    pub fn pause(&self) -> Result<Paused> {
        Paused::stop(self.process_id().context("it is down")?)
    }

    /// Starts it if it is down, and waits until it serves.
    ///
    /// # Errors
    ///
    /// If it cannot be started, with the end of what it said.
    pub fn restart(&self) -> Result<()> {
        self.begin()?;
        let ready = || {
            let id = process::running(&mut self.process())?;
            Ok(self.is_ready(id).then_some(()))
        };
        until("PostgreSQL serves", ready).with_context(|| {
            format!("PostgreSQL does not serve; it said:\n{}", last_lines(&self.log()))
        })
    }

    fn begin(&self) -> Result<()> {
        let mut process = self.process();
        if process.is_none() {
            *process = Some(Process::start(self.command(), &self.log())?);
        }
        Ok(())
    }

    /// Lets the server outlive us. Answers its process and the folder of its data.
    pub(super) fn keep(self) -> (Vec<u32>, PathBuf) {
        let Self { process, folder, .. } = self;
        let mut process = process.into_inner().unwrap_or_else(PoisonError::into_inner);
        process.iter_mut().for_each(Process::keep);
        (process.iter().map(Process::id).collect(), folder.keep())
    }

    /// Makes the cluster of databases, with a superuser and no way in without its password.
    fn initialize(&self) -> Result<()> {
        let password = self.folder.path().join("password");
        std::fs::write(&password, &self.password)?;
        if let Some(Account { user, group }) = self.account {
            chown(&password, Some(user), Some(group))?;
        }
        let mut command = self.making(&self.binaries.initdb());
        command
            .args(["--username", SUPERUSER, "--auth", "scram-sha-256", "--encoding", "UTF8"])
            .args(["--locale", "C.UTF-8", "--no-sync", "--pwfile"])
            .arg(&password);
        self.make(command)?;
        Ok(std::fs::remove_file(password)?)
    }

    /// The program about to make its files.
    fn making(&self, program: &Path) -> Command {
        let mut command = process::command(program, Purpose::Tests, self.account);
        command.arg("--pgdata").arg(self.data()).current_dir(self.folder.path());
        command
    }

    /// Has its files made.
    fn make(&self, making: Command) -> Result<()> {
        let mut process = Process::start(making, &self.log())?;
        if !until("PostgreSQL makes its files", || process.ended())?.success() {
            bail!("PostgreSQL cannot make its files:\n{}", last_lines(&self.log()));
        }
        Ok(())
    }

    /// The server about to run. It listens on TCP alone: no socket in a folder of the system.
    fn command(&self) -> Command {
        let mut command = process::command(&self.binaries.postgres(), self.purpose, self.account);
        command.arg("-D").arg(self.data()).current_dir(self.folder.path());
        let port = format!("port={}", self.address.port());
        let connections = format!("max_connections={CONNECTIONS_MAX}");
        let mut settings = vec!["listen_addresses=127.0.0.1", "unix_socket_directories="];
        settings.extend([port.as_str(), connections.as_str()]);
        if self.encrypted {
            settings.push("ssl=on");
        }
        if self.purpose == Purpose::Tests {
            // Tests kill processes, which loses nothing that the system has been given.
            settings.push("fsync=off");
        }
        command.args(settings.into_iter().flat_map(|it| ["-c", it]));
        command
    }

    /// Whether the process says in its file that it takes connections.
    fn is_ready(&self, process: u32) -> bool {
        let said = std::fs::read_to_string(self.data().join("postmaster.pid"));
        said.is_ok_and(|it| says_ready(&it, process))
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        // A panic of whoever held it leaves a process that is up or down, as before.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As whom to run, if not as ourselves.
fn account() -> Result<Option<Account>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let accounts = std::fs::read_to_string(Path::new("/etc/passwd"))?;
    let account = Account::find(&accounts, ACCOUNT).with_context(|| {
        format!("PostgreSQL refuses to run as root, and there is no user `{ACCOUNT}`: add one, or do not be root")
    })?;
    Ok(Some(account))
}

/// Whether a `postmaster.pid` is of `process` and says `ready` in its eighth line, which may be
/// followed by blanks.
fn says_ready(file: &str, process: u32) -> bool {
    let mut lines = file.lines();
    let own = lines.next().and_then(|it| it.trim().parse().ok()) == Some(process);
    own && lines.nth(6).is_some_and(|it| it.trim() == "ready")
}

#[cfg(test)]
mod tests {
    use super::says_ready;

    #[test]
    fn only_the_process_itself_says_that_it_is_ready() {
        let file = |status| format!("71\n/data\n1700000000\n5432\n\n127.0.0.1\n  1 2\n{status}\n");
        assert!(says_ready(&file("ready   "), 71));
        // Left behind by one that was killed.
        assert!(!says_ready(&file("ready   "), 72));
        assert!(!says_ready(&file("starting"), 71));
        assert!(!says_ready("71\n/data\n", 71));
    }
}
