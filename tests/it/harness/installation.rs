//! A data folder and an address of a test's own, and the command line on them.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::Value;
use tempfile::TempDir;

use super::{Server, callboard};

/// Where servers of tests listen: below the ports that systems give to clients, so that no
/// client takes the place of a server that is down for a moment.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// One installation. Its files go when it is dropped.
#[derive(Debug)]
pub(crate) struct Installation {
    home: TempDir,
    address: SocketAddr,
    settings: Vec<(&'static str, String)>,
    binary: PathBuf,
}

/// What a command of the command line did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// What it printed for people.
    #[track_caller]
    pub(crate) fn text(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// What it printed with `--json`.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let parsed = serde_json::from_str(&self.stdout);
        parsed.unwrap_or_else(|it| panic!("{it}: {}{}", self.stdout, self.stderr))
    }
}

impl Installation {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let binary = callboard().to_owned();
        Self { home, address: free_address(), settings: Vec::new(), binary }
    }

    /// The same with a setting, named as in the environment.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((name, value.into()));
        self
    }

    /// Another one with the same settings and binary, and a folder and an address of its own.
    pub(crate) fn like(&self) -> Self {
        Self { settings: self.settings.clone(), binary: self.binary.clone(), ..Self::new() }
    }

    /// Replaces the binary; what runs goes on as it is.
    pub(crate) fn put(&mut self, binary: &Path) {
        binary.clone_into(&mut self.binary);
    }

    /// Where a test may keep files of its own.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The data folder.
    pub(crate) fn folder(&self) -> PathBuf {
        self.home().join("data")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The binary with `arguments`, on this folder and address and without other settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CALLBOARD_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .env("CALLBOARD_STORAGE_FOLDER", self.folder())
            .env("CALLBOARD_HTTP_LISTEN", self.address.to_string())
            .envs(self.settings.iter().map(|(name, value)| (*name, value.as_str())))
            .current_dir(self.home());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with_input(arguments, "")
    }

    /// The same, with something on its standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stdin = child.stdin.take().expect("its input is a pipe");
        // A command that reads nothing may be gone already.
        drop(stdin.write_all(input.as_bytes()));
        drop(stdin);
        let output = child.wait_with_output().expect("the binary ends");
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts a server and waits until it is ready.
    pub(crate) async fn up(&self) -> Server {
        Server::start(self, &[]).await
    }

    /// The same for a demo.
    pub(crate) async fn up_demo(&self) -> Server {
        Server::start(self, &["--demo"]).await
    }

    /// A token for a tenant, by slug or id, that outlives every test.
    #[track_caller]
    pub(crate) fn token(&self, tenant: &str) -> String {
        let ran = self.run(&["token", "--tenant", tenant, "--lifetime", "86400"]);
        ran.text().trim().to_owned()
    }

    /// Creates a tenant and answers its id.
    #[track_caller]
    pub(crate) fn create_tenant(&self, slug: &str) -> String {
        let ran = self.run(&["tenant", "create", slug, "--json"]);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        ran.json()["tenantId"].as_str().expect("the new tenant has an id").to_owned()
    }
}

/// A loopback address that nobody listens on. Processes begin at different places.
pub(crate) fn free_address() -> SocketAddr {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let count = PORTS.end - PORTS.start;
    let begin = u16::try_from(std::process::id() % u32::from(count)).expect("it is below a u16");
    for _ in 0..count {
        let offset =
            (begin.wrapping_mul(7) % count + TAKEN.fetch_add(1, Ordering::Relaxed)) % count;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + offset));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port of {PORTS:?} is free");
}
