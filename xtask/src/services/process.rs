//! Processes that end with the one that started them, or outlive it on purpose.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::Purpose;
use super::account::Account;

/// How long a service may take to start or to stop. In seconds: 120, a bound and not a target,
/// for machines that do much else.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// How often a question is asked again. In milliseconds: 10.
const INTERVAL: Duration = Duration::from_millis(10);

/// Lines of a service's output that are shown when it fails.
const SHOWN_LINES_MAX: usize = 20;

/// A program to be started with util-linux's `setpriv`, as another user if one is given.
pub(super) fn command(program: &Path, purpose: Purpose, account: Option<Account>) -> Command {
    let mut command = Command::new("setpriv");
    if purpose == Purpose::Tests {
        // Also if its parent is killed, nothing stays behind.
        command.args(["--pdeathsig", "KILL"]);
    }
    if let Some(Account { user, group }) = account {
        command.args([format!("--reuid={user}"), format!("--regid={group}")]);
        command.arg("--clear-groups");
    }
    command.arg("--").arg(program);
    // A Ctrl-C is for us; we stop what we started.
    command.process_group(0);
    command
}

/// A running process. Dropping it kills it, unless it is [kept](Self::keep).
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    kept: bool,
}

impl Process {
    /// Starts a process that writes what it prints at the end of `log`.
    pub(super) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.with_context(|| format!("cannot write to {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = spawn(command).context("cannot start `setpriv`; it is part of util-linux")?;
        Ok(Self { child, kept: false })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let id = Pid::from_child(&self.child);
        kill_process(id, signal).with_context(|| format!("cannot signal process {}", self.id()))
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Ends it at once and waits until it is gone.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill().and_then(|()| self.child.wait()).context("cannot kill a process")?;
        Ok(())
    }

    /// Asks it to end and waits until it is gone.
    pub(super) fn stop(mut self, signal: Signal) -> Result<()> {
        self.signal(signal)?;
        // It may be paused.
        self.signal(Signal::CONT)?;
        until("a process ends", || self.ended()).map(drop)
    }

    /// Lets it go on when this value, or even this process, is gone.
    pub(super) fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.kept {
            // It may be gone already.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// The number of a process that is up and has not ended by itself.
pub(super) fn running(process: &mut Option<Process>) -> Result<u32> {
    let process = process.as_mut().context("it is down")?;
    match process.ended()? {
        Some(status) => bail!("it ended with {status}"),
        None => Ok(process.id()),
    }
}

/// A process to be started, and where to tell the outcome.
type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// Starts a process from a thread that lives as long as we do.
///
/// Linux tells children of the death of the *thread* that started them, so that what a test's
/// own thread started would not survive the test.
fn spawn(command: Command) -> Result<Child> {
    static STARTER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (orders, todo) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in todo {
                // Whoever ordered it may have panicked meanwhile.
                drop(answer.send(command.spawn()));
            }
        });
        orders
    });
    let (answer, outcome) = mpsc::channel();
    STARTER.send((command, answer)).map_err(|_| anyhow!("the thread that starts is gone"))?;
    Ok(outcome.recv()??)
}

/// Asks `question` again and again until it has an answer.
///
/// # Errors
///
/// Those of the question, and the lack of an answer within [`PATIENCE`].
pub(super) fn until<T>(what: &str, question: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    until_within(PATIENCE, what, question)
}

/// The same with another patience.
///
/// # Errors
///
/// Those of the question, and the lack of an answer in time.
pub(super) fn until_within<T>(
    patience: Duration,
    what: &str,
    mut question: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    while start.elapsed() < patience {
        if let Some(answer) = question()? {
            return Ok(answer);
        }
        thread::sleep(INTERVAL);
    }
    bail!("gave up waiting: {what}")
}

/// The last lines of a log, for an error message.
pub(super) fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES_MAX)..].join("\n")
}

#[cfg(test)]
mod tests;
