//! Writes and merges runs on a thread of its own, and shows what there is at every moment.
//!
//! The owner freezes its recent identities; the keeper writes them as a run, stores the
//! manifest, and only then shows the run instead of the frozen table, so no identity is ever
//! missing from the view. It owns the manifest: nothing else changes which runs exist.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use event_log::Position;

use super::files::Files;
use super::fingerprint::Table;
use super::manifest::Manifest;
use super::run::{Run, file_name};
use super::view::{Frozen, View};
use super::{IdentitiesError, merge};

/// How long what failed is left alone. In milliseconds: 500, so that a full disk is neither
/// hammered nor waited for after it has room again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// What the owner and the keeper's thread share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Debug)]
struct State {
    view: Arc<View>,
    /// There is work that was not looked at yet.
    asked: bool,
    /// The thread is at work.
    working: bool,
    /// The thread is gone.
    ended: bool,
    /// Why the last work was not done.
    fault: Option<IdentitiesError>,
    /// When that was.
    failed_at: Option<Instant>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change under the lock is one assignment, so a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

/// The owner's side.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Opens the runs of `manifest` and begins to merge what is due.
    pub(super) fn start(
        files: &Arc<dyn Files>,
        manifest: Manifest,
    ) -> Result<Self, IdentitiesError> {
        let runs = manifest.runs.iter().map(|it| Run::open(&**files, *it).map(Arc::new));
        let view = Arc::new(View {
            sealed_upto: Position(manifest.sealed_upto),
            runs: runs.collect::<Result<_, _>>()?,
            frozen: None,
        });
        let state =
            State { view, asked: true, working: false, ended: false, fault: None, failed_at: None };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        let worker = Worker { shared: Arc::clone(&shared), files: Arc::clone(files), manifest };
        let thread = std::thread::Builder::new()
            .name("usage-identities".to_owned())
            .spawn(move || worker.run())
            .map_err(|source| IdentitiesError::Io {
                doing: "starting the writer of",
                path: files.path(""),
                source,
            })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What there is now.
    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.shared.lock().view)
    }

    /// Begins to write what `freeze` gives, unless earlier identities are still to be written.
    /// What had failed is tried again, but not at once.
    pub(super) fn seal(&self, upto: Position, freeze: impl FnOnce() -> Table) {
        let mut state = self.shared.lock();
        if state.view.frozen.is_none() {
            let frozen = Some(Arc::new(Frozen { table: freeze(), upto }));
            state.view = Arc::new(View { frozen, ..(*state.view).clone() });
        }
        if state.failed_at.is_none_or(|it| it.elapsed() >= RETRY_PAUSE) {
            state.asked = true;
            self.shared.changed.notify_all();
        }
    }

    /// Waits until nothing is frozen, or it could not be written; not for merges.
    pub(super) fn wait_sealed(&self) -> Result<(), IdentitiesError> {
        let mut state = self.shared.lock();
        state.asked = true;
        self.shared.changed.notify_all();
        while state.view.frozen.is_some() && (state.asked || state.working) && !state.ended {
            state = self.shared.wait(state);
        }
        match state.view.frozen {
            None => Ok(()),
            Some(_) => Err(state.fault.take().unwrap_or(IdentitiesError::Stopped)),
        }
    }

    /// Waits until the thread has nothing to do, or could not do it.
    pub(super) fn settle(&self) -> Result<(), IdentitiesError> {
        let mut state = self.shared.lock();
        while (state.asked || state.working) && !state.ended {
            state = self.shared.wait(state);
        }
        match state.fault.take() {
            Some(fault) => Err(fault),
            None if state.ended => Err(IdentitiesError::Stopped),
            None => Ok(()),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // Under the lock, so that the thread cannot miss it between looking and waiting.
        drop(self.shared.lock());
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            drop(thread.join());
        }
    }
}

/// The thread's side.
struct Worker {
    shared: Arc<Shared>,
    files: Arc<dyn Files>,
    manifest: Manifest,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
    }
}

impl Worker {
    fn run(mut self) {
        while self.next_work() {
            let done = self.work(merge::TIERS);
            if let Err(fault) = &done {
                let fault: &dyn std::error::Error = fault;
                tracing::error!(error = fault, "cannot write the index of usage identities");
            }
            let mut state = self.shared.lock();
            state.working = false;
            state.failed_at = done.is_err().then(Instant::now);
            state.fault = done.err();
            self.shared.changed.notify_all();
        }
    }

    /// Waits for work; false when it is time to end.
    fn next_work(&self) -> bool {
        let mut state = self.shared.lock();
        while !state.asked && !self.is_stopped() {
            state = self.shared.wait(state);
        }
        state.asked = false;
        state.working = true;
        !self.is_stopped()
    }

    fn is_stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    /// Does all there is to do about tiers below `below`, the smallest first: what is frozen is
    /// written before runs are merged.
    fn work(&mut self, below: u32) -> Result<(), IdentitiesError> {
        while !self.is_stopped() {
            let view = self.view();
            if let Some(frozen) = &view.frozen {
                self.write(frozen)?;
            } else if let Some((tier, inputs)) = merge::due(&view.runs, below) {
                self.merge(tier, &inputs)?;
            } else {
                break;
            }
        }
        Ok(())
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.shared.lock().view)
    }

    /// Writes what is frozen as a run, and shows that instead.
    fn write(&mut self, frozen: &Arc<Frozen>) -> Result<(), IdentitiesError> {
        let mut runs = self.view().runs.clone();
        if !frozen.table.is_empty() {
            let number = self.take_number();
            let written = frozen.write(&*self.files, number);
            runs.push(self.keep(number, written)?);
        }
        self.publish(frozen.upto, runs, Some(frozen))
    }

    /// Merges `inputs`, and shows the run made of them in the place of the oldest. Smaller work
    /// that comes up meanwhile is done in between, so that identities never wait in memory for
    /// a large merge.
    fn merge(&mut self, tier: u32, inputs: &[Arc<Run>]) -> Result<(), IdentitiesError> {
        let (files, number) = (Arc::clone(&self.files), self.take_number());
        let merged = merge::merge(&*files, number, inputs, || {
            self.work(tier)?;
            Ok(if self.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        let Some(merged) = merged.transpose() else {
            self.remove(number);
            return Ok(());
        };
        let merged = self.keep(number, merged)?;
        let view = self.view();
        let is_input = |run: &Arc<Run>| inputs.iter().any(|it| Arc::ptr_eq(it, run));
        let mut runs = view.runs.clone();
        let place = runs.iter().position(is_input).unwrap_or(0);
        runs.retain(|it| !is_input(it));
        runs.insert(place, merged);
        self.publish(view.sealed_upto, runs, None)?;
        inputs.iter().for_each(|it| self.remove(it.header().number));
        Ok(())
    }

    /// A number no run had before, also if storing the manifest failed: a part of that may have
    /// happened.
    fn take_number(&mut self) -> u64 {
        let number = self.manifest.next_run;
        self.manifest.next_run += 1;
        number
    }

    /// The run that was made, or nothing of it.
    fn keep(
        &self,
        number: u64,
        made: Result<Run, IdentitiesError>,
    ) -> Result<Arc<Run>, IdentitiesError> {
        if made.is_err() {
            self.remove(number);
        }
        made.map(Arc::new)
    }

    /// Removes the file of a run that does not count. If that fails, the next opening does it.
    fn remove(&self, number: u64) {
        if let Err(error) = self.files.remove(&file_name(number)) {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(error, run = number, "a run of usage identities was not removed yet");
        }
    }

    /// Stores, then shows what is on disk now. What was `written` is not frozen any more; the
    /// owner may have frozen other identities meanwhile.
    fn publish(
        &mut self,
        sealed_upto: Position,
        runs: Vec<Arc<Run>>,
        written: Option<&Arc<Frozen>>,
    ) -> Result<(), IdentitiesError> {
        self.manifest.sealed_upto = sealed_upto.0;
        self.manifest.runs = runs.iter().map(|it| it.header().number).collect();
        self.manifest.store(&*self.files)?;
        let mut state = self.shared.lock();
        let is_written = |it: &Arc<Frozen>| written.is_some_and(|written| Arc::ptr_eq(written, it));
        let frozen = state.view.frozen.clone().filter(|it| !is_written(it));
        state.view = Arc::new(View { sealed_upto, runs, frozen });
        self.shared.changed.notify_all();
        Ok(())
    }
}
