//! A running server: the real process, until it is stopped, killed or dropped.

use std::fs::File;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use outbound::{Client, Limits, Reach, Request};
use url::Url;

use super::{Api, Installation, PATIENCE, eventually};

/// How long a server may take to end. In seconds: 120, as the guide says to grant it.
const STOPPED_MAX: Duration = Duration::from_secs(120);

/// A server. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    base: Url,
    client: Client,
}

impl Server {
    /// Starts a server and waits until it says that it is ready.
    pub(crate) async fn start(installation: &Installation, options: &[&str]) -> Self {
        let mut server = Self::begin(installation, options);
        server.ready(installation).await;
        server
    }

    /// Starts a server and does not wait. What it prints goes to `server.log` beside its data.
    pub(crate) fn begin(installation: &Installation, options: &[&str]) -> Self {
        let log = installation.home().join("server.log");
        let log = File::options().create(true).append(true).open(log).expect("a log can be kept");
        let mut arguments = vec!["up"];
        arguments.extend(options);
        let process = installation
            .command(&arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let base = format!("http://{}", installation.address());
        let client = Client::new(Reach::Loopback, Limits::default());
        Self { process, base: base.parse().expect("an address"), client }
    }

    /// Waits until the server says that it is ready.
    async fn ready(&mut self, installation: &Installation) {
        let ready = tokio::time::timeout(PATIENCE, self.ready_or_ended()).await;
        if ready != Ok(true) {
            let log = std::fs::read_to_string(installation.home().join("server.log"));
            panic!("the server is not ready, or ended:\n{}", log.unwrap_or_default());
        }
    }

    /// Waits until the server says that it is ready, and answers whether it did before it ended.
    pub(crate) async fn ready_or_ended(&mut self) -> bool {
        let url = self.url("/readyz");
        loop {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return false;
            }
            let answer = self.client.send(Request::get(url.clone())).await;
            if answer.is_ok_and(|it| it.status == 200) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let process = &mut self.process;
        eventually("the server ends by itself", async || {
            process.try_wait().expect("a process of ours can be waited for")
        })
        .await
    }

    /// A client of its doors with this credential.
    pub(crate) fn api(&self, token: &str) -> Api {
        Api::new(self.client.clone(), self.base.clone(), token)
    }

    /// The address of one of its doors.
    pub(crate) fn url(&self, path: &str) -> Url {
        self.base.join(path).expect("a path")
    }

    /// Ends it at once, whatever it is doing: `kill -9`.
    pub(crate) fn kill(&mut self) -> ExitStatus {
        self.process.kill().expect("a process of ours can be killed");
        self.process.wait().expect("a killed process ends")
    }

    /// Stops it where it is: its connections stay open, and it does nothing.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    /// Lets it have only so many files open, connections among them.
    pub(crate) fn limit_files(&self, most: u32) {
        let (process, limit) = (self.process.id().to_string(), format!("--nofile={most}:{most}"));
        let set = std::process::Command::new("prlimit").args(["--pid", &process, &limit]).status();
        assert!(set.expect("`prlimit` is there").success());
    }

    /// How much memory it holds. In MiB.
    pub(crate) fn memory_mib(&self) -> u64 {
        self.status("VmRSS:") / 1024
    }

    /// How many threads it has.
    pub(crate) fn threads(&self) -> u64 {
        self.status("Threads:")
    }

    /// What the system says of it under this name.
    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|it| it.strip_prefix(name)).expect("it is told");
        line.split_whitespace().next().and_then(|it| it.parse().ok()).expect("a number")
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let told = std::process::Command::new("kill").args([signal, &id]).status();
        assert!(told.expect("`kill` is there").success());
    }

    /// Asks it to end, as an operator does, and waits.
    pub(crate) async fn stop(mut self) {
        self.signal("-TERM");
        let begin = Instant::now();
        let status = loop {
            let ended = self.process.try_wait().expect("a process of ours can be waited for");
            if let Some(status) = ended {
                break status;
            }
            assert!(begin.elapsed() < STOPPED_MAX, "gave up waiting: the server stops");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert!(status.success(), "it was asked to stop and ended with {status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already, and then there is nothing to do.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
