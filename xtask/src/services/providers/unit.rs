//! One process of a provider: up or down, at the same address always.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use super::super::process::{self, Process, last_lines, until_within};
use super::super::{Purpose, folder, ports};

/// How long it may take to answer before it counts as not serving. In seconds: 2; who waits for it
/// asks again.
const ANSWER: Duration = Duration::from_secs(2);

/// A process with a folder and an address of its own. Dropping it kills it and removes its data.
#[derive(Debug)]
pub(super) struct Unit {
    // Before the folder, so that nobody writes into it any more when it goes.
    process: Mutex<Option<Process>>,
    folder: TempDir,
    address: SocketAddr,
}

impl Unit {
    /// One that is down.
    pub(super) fn new(purpose: Purpose) -> Result<Self> {
        let (folder, address) = (folder::temporary(purpose)?, ports::free_address()?);
        Ok(Self { process: Mutex::new(None), folder, address })
    }

    /// Where it listens, also while it is down.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its files are.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it printed since it was first started.
    pub(super) fn log(&self) -> PathBuf {
        self.folder().join("provider.log")
    }

    /// Ends it at once, without warning (`kill -9`).
    pub(super) fn kill(&self) -> Result<()> {
        self.process().take().map_or(Ok(()), Process::kill)
    }

    /// Asks it to end, and waits.
    pub(super) fn stop(&self) -> Result<()> {
        self.process().take().map_or(Ok(()), |it| it.stop(Signal::TERM))
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        self.process().as_ref().context("it is down")?.signal(signal)
    }

    /// Starts it if it is down, and waits until there is something at `path`.
    pub(super) fn restart(&self, command: Command, path: &str, patience: Duration) -> Result<()> {
        {
            let mut process = self.process();
            if process.is_none() {
                *process = Some(Process::start(command, &self.log())?);
            }
        }
        let ready = || {
            process::running(&mut self.process())?;
            Ok(has(self.address, path).unwrap_or(false).then_some(()))
        };
        until_within(patience, "a provider serves", ready).with_context(|| {
            format!("the provider does not serve; it said:\n{}", last_lines(&self.log()))
        })
    }

    /// Lets it outlive us. Answers its process and the folder of its data.
    pub(super) fn keep(self) -> (Vec<u32>, PathBuf) {
        let Self { process, folder, .. } = self;
        let mut process = process.into_inner().unwrap_or_else(PoisonError::into_inner);
        process.iter_mut().for_each(Process::keep);
        (process.iter().map(Process::id).collect(), folder.keep())
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        // A panic of whoever held it leaves a process that is up or down, as before.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the server at `address` has something at `path`.
///
/// # Errors
///
/// If it does not answer.
fn has(address: SocketAddr, path: &str) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    let asked = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(asked.as_bytes())?;
    let mut begun = [0; "HTTP/1.1 200 ".len()];
    stream.read_exact(&mut begun)?;
    Ok(begun.ends_with(b" 200 "))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::has;

    #[track_caller]
    fn check(answer: &'static str, then: Option<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let mut asked = [0; "GET /here HTTP/1.1\r\n".len()];
            client.read_exact(&mut asked).unwrap();
            client.write_all(answer.as_bytes()).unwrap();
            asked
        });
        assert_eq!(has(address, "/here").ok(), then, "{answer}");
        assert_eq!(&server.join().unwrap(), b"GET /here HTTP/1.1\r\n");
    }

    #[test]
    fn only_what_is_there_is_there() {
        check("HTTP/1.1 200 OK\r\n\r\n", Some(true));
        check("HTTP/1.1 503 Service Unavailable\r\n\r\n", Some(false));
        check("HTTP/1.1 404 Not Found\r\n\r\n200 ", Some(false));
        check("HTTP", None);
    }
}
