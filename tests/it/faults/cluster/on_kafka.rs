//! The faults, each as many times as its test says, under load all the time.
//!
//! One test at a time: they measure how long nobody was served. A count of 0 leaves one out.

mod brokers;
mod processes;
mod storage;
mod upgrade;

use tokio::sync::{Mutex, MutexGuard};

use crate::harness::Profile;

/// Waits until no other of these tests runs.
async fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// How often something is broken in this run.
fn count(fast: usize, ci: usize, full: usize) -> usize {
    Profile::of_this_run().count(fast, ci, full)
}
