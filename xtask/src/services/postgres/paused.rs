//! A server that is stopped where it is, with everything that works for its clients.

use std::fs;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

/// A server that takes connections, as the system does that for it, and says nothing. Dropping this
/// lets it go on: processes that are stopped would not even notice that their server is gone.
#[derive(Debug)]
pub struct Paused(Vec<Pid>);

impl Paused {
    /// Stops the server whose first process this is (`SIGSTOP`).
    pub(super) fn stop(first: u32) -> Result<Self> {
        let first = pid(first).context("it is down")?;
        kill_process(first, Signal::STOP).context("cannot stop PostgreSQL")?;
        // It makes no others from now on.
        let mut paused = Self(vec![first]);
        for child in children(first)? {
            // One may have ended meanwhile.
            if kill_process(child, Signal::STOP).is_ok() {
                paused.0.push(child);
            }
        }
        Ok(paused)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        for process in self.0.drain(..).rev() {
            // It may have been killed meanwhile.
            let _ = kill_process(process, Signal::CONT);
        }
    }
}

/// The processes that `parent` has started.
fn children(parent: Pid) -> Result<Vec<Pid>> {
    let of_parent = |entry: fs::DirEntry| {
        let process = entry.file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(entry.path().join("stat")).ok()?;
        // Behind the name, which may hold anything: the state, then the parent.
        let (_, rest) = status.rsplit_once(')')?;
        let of = rest.split_whitespace().nth(1)?.parse().ok()?;
        (pid(of) == Some(parent)).then(|| pid(process)).flatten()
    };
    Ok(fs::read_dir("/proc")?.flatten().filter_map(of_parent).collect())
}

fn pid(process: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(process).ok()?)
}
