//! The server as a process of its own, and what it costs.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;

/// How long a server may take to be ready. In seconds: 60.
const READY_MAX: Duration = Duration::from_secs(60);

/// How long a server is left alone before it counts as being at rest. In seconds: 2.
const REST: Duration = Duration::from_secs(2);

/// How long to wait before it is looked again whether a server has ended. In milliseconds: 5.
const AGAIN: Duration = Duration::from_millis(5);

/// How long one clock tick of `/proc` is on Linux. In milliseconds: 10.
const TICK_MS: u64 = 10;

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// How long it took until every door was open.
    pub started_in: Duration,
}

impl Server {
    /// Starts this same binary on `folder` and waits until `is_ready`.
    ///
    /// # Errors
    ///
    /// If it does not start in time.
    pub(crate) async fn start(
        folder: &Path,
        listen: &str,
        is_ready: &impl AsyncFn() -> bool,
    ) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--folder").arg(folder).args(["up", "--listen", listen]);
        Self::run(command, is_ready).await
    }

    /// The same for a command that runs a server.
    ///
    /// # Errors
    ///
    /// If it does not start in time.
    pub(crate) async fn run(
        mut command: Command,
        is_ready: &impl AsyncFn() -> bool,
    ) -> Result<Self> {
        let began = Instant::now();
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("the server does not start")?;
        let mut server = Self { child, started_in: Duration::ZERO };
        let stdout = server.child.stdout.take().context("its output is piped")?;
        let opened = tokio::time::timeout(READY_MAX, server.open(stdout, is_ready)).await;
        let late = || format!("the server was not ready within {} s", READY_MAX.as_secs());
        opened.with_context(late)??;
        server.started_in = began.elapsed();
        Ok(server)
    }

    /// Waits until the server says where its doors are, then until it calls itself ready.
    async fn open(&mut self, stdout: ChildStdout, is_ready: &impl AsyncFn() -> bool) -> Result<()> {
        let (announce, announced) = oneshot::channel();
        // It reads on, so that the server never waits for a reader.
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines();
            // Nobody listens any more where the server was too late.
            let _ = lines.next().map(|_| announce.send(()));
            lines.map_while(Result::ok).for_each(drop);
        });
        if announced.await.is_err() {
            bail!("the server ended with {}", self.child.wait()?);
        }
        while !is_ready().await {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}");
            }
        }
        Ok(())
    }

    /// Asks it to end, as an operator does, and waits until it has.
    ///
    /// # Errors
    ///
    /// If it does not end, or not well.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.context("a process has a number")?, Signal::TERM)?;
        let ending = async {
            loop {
                if let Some(status) = self.child.try_wait()? {
                    return anyhow::Ok(status);
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        let status = tokio::time::timeout(READY_MAX, ending).await.context("it does not end")??;
        if !status.success() {
            bail!("the server was asked to stop and ended with {status}");
        }
        Ok(())
    }

    /// Ends it at once, whatever it is doing.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// How much processor time it has used.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        processor_time_of(&self.child.id().to_string())
    }

    /// How much memory it holds once it has had nothing to do for a while. In MiB.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub(crate) async fn memory_at_rest_mib(&self) -> Result<u64> {
        tokio::time::sleep(REST).await;
        self.memory_mib()
    }

    /// How much memory it holds. In MiB.
    fn memory_mib(&self) -> Result<u64> {
        Ok(self.status("VmRSS:")? / 1024)
    }

    /// How many threads it has.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub(crate) fn threads(&self) -> Result<u64> {
        self.status("Threads:")
    }

    /// What the system says of it under this name.
    fn status(&self, name: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|it| it.strip_prefix(name));
        let first = line.and_then(|it| it.split_whitespace().next());
        first.and_then(|it| it.parse().ok()).context("the system says something else")
    }
}

/// How much processor time a process has used: one with this number, or `self`.
///
/// # Errors
///
/// If the system does not say.
pub(crate) fn processor_time_of(process: &str) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold blanks; user and system time are fields 14 and 15.
    let after = stat.rsplit_once(')').context("the system says something else")?.1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|it| it.parse::<u64>().ok());
    let ticks = ticks(11).zip(ticks(12)).context("the system says something else")?;
    Ok(Duration::from_millis((ticks.0 + ticks.1) * TICK_MS))
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing left to stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
