//! Whose work goes on next: requests take the processors in turns, tenant by tenant.
//!
//! Reading, preparing and completing requests is work of the processors, and a tenant that asks
//! for more of it than there is would have everybody else wait behind its own requests. So a
//! request is polled only in a turn, of which there are as many at a time as processors. Those
//! who wait for one are let in by what their tenants have used so far ([`order`]), measured in
//! time. While a request waits for anything else, durability above all, it has no turn and
//! keeps nobody waiting; where nobody waits, a turn is had at once.
//!
//! Not here: how many requests of a tenant may be open at all, which is up to
//! [`bounded`](crate::doors). What a request has others do, a reader's database say, is not
//! measured.

mod order;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use domain::id::TenantId;
use tokio::time::Instant;

use self::order::Order;

/// What a turn costs at most, however long it took. In milliseconds: 100, far more than any work
/// takes. A process that was paused within a turn would have its tenant wait, on its return, until
/// everybody else had worked for as long as the pause had been.
const COST_MAX: Duration = Duration::from_millis(100);

/// Whose turn it is; nobody's, where there is no credential.
type Whose = Option<TenantId>;

/// The turns of one node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Mutex<State>>);

struct State {
    order: Order<Whose, Arc<Ticket>>,
    /// How many turns are taken.
    taken: usize,
    taken_max: usize,
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").finish_non_exhaustive()
    }
}

impl Turns {
    /// So many turns at a time.
    pub(crate) fn new(taken_max: usize) -> Self {
        let state = State { order: Order::default(), taken: 0, taken_max: taken_max.max(1) };
        Self(Arc::new(Mutex::new(state)))
    }

    /// As many turns as there are processors.
    pub(crate) fn of_this_machine() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, Into::into))
    }

    /// The turns of one tenant.
    pub(crate) fn of(&self, whose: Whose) -> Turn {
        Turn { turns: self.clone(), whose }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a turn that is free; else `ticket` waits for one.
    fn take_or_wait(&self, ticket: &Arc<Ticket>) -> bool {
        let mut state = self.lock();
        if state.taken < state.taken_max {
            state.taken += 1;
            state.order.begin(ticket.whose);
            return true;
        }
        state.order.wait(ticket.whose, Arc::clone(ticket));
        false
    }

    fn wait(&self, ticket: &Arc<Ticket>) {
        self.lock().order.wait(ticket.whose, Arc::clone(ticket));
        self.hand_out();
    }

    /// Ends a turn of `whose` that took so long.
    fn give_back(&self, whose: Whose, took: Duration) {
        let mut state = self.lock();
        state.taken -= 1;
        state.order.charge(whose, took.min(COST_MAX));
        drop(state);
        self.hand_out();
    }

    /// Gives turns that are free to those who wait.
    fn hand_out(&self) {
        loop {
            let mut state = self.lock();
            if state.taken >= state.taken_max {
                return;
            }
            let Some(ticket) = state.order.next() else { return };
            // One that was given up meanwhile has no waker.
            let Some(waker) = ticket.grant() else { continue };
            state.taken += 1;
            drop(state);
            waker.wake();
        }
    }
}

/// The turns of one tenant. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Turn {
    turns: Turns,
    whose: Whose,
}

impl Turn {
    /// Does `work` in turns. Whoever polls it must do so when told: a turn that was given and is
    /// not used is one that others do not have.
    pub(crate) fn taken_by<F: Future + Unpin>(&self, work: F) -> InTurn<F> {
        let place = Mutex::new(Place { phase: Phase::New, waker: None });
        let ticket = Ticket { turns: self.turns.clone(), whose: self.whose, place };
        InTurn { ticket: Arc::new(ticket), work }
    }
}

/// Work that is done in turns.
pub(crate) struct InTurn<F> {
    ticket: Arc<Ticket>,
    work: F,
}

impl<F: Future + Unpin> Future for InTurn<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if !self.ticket.begin(context.waker()) {
            return Poll::Pending;
        }
        let began = Instant::now();
        let waker = Waker::from(Arc::clone(&self.ticket));
        let polled = Pin::new(&mut self.work).poll(&mut Context::from_waker(&waker));
        self.ticket.end(began.elapsed(), polled.is_ready());
        polled
    }
}

impl<F> Drop for InTurn<F> {
    fn drop(&mut self) {
        self.ticket.leave();
    }
}

/// What one piece of work holds while it waits; also what wakes it.
struct Ticket {
    turns: Turns,
    whose: Whose,
    place: Mutex<Place>,
}

struct Place {
    phase: Phase,
    /// Wakes whoever polls the work.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It was never polled.
    New,
    /// It waits for something that is not a turn.
    Resting,
    /// It waits for a turn.
    Waiting,
    /// It has a turn, and will be polled.
    Granted,
    /// It is being polled.
    Working,
    /// It is being polled and has something to do afterwards.
    Woken,
    /// It is done or was given up.
    Gone,
}

impl Ticket {
    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the work may be polled now; else `waker` is told when.
    fn begin(self: &Arc<Self>, waker: &Waker) -> bool {
        let mut place = self.lock();
        match place.phase {
            Phase::Granted => place.phase = Phase::Working,
            Phase::New => {
                // Before it waits: it may be given a turn as soon as it does.
                place.phase = Phase::Waiting;
                place.waker = Some(waker.clone());
                drop(place);
                if !self.turns.take_or_wait(self) {
                    return false;
                }
                place = self.lock();
                place.phase = Phase::Working;
            }
            _ => {
                place.waker = Some(waker.clone());
                return false;
            }
        }
        if !place.waker.as_ref().is_some_and(|it| it.will_wake(waker)) {
            place.waker = Some(waker.clone());
        }
        true
    }

    /// Ends a turn that took so long.
    fn end(self: &Arc<Self>, took: Duration, is_done: bool) {
        let mut place = self.lock();
        let again = !is_done && place.phase == Phase::Woken;
        place.phase = match (is_done, again) {
            (true, _) => Phase::Gone,
            (false, true) => Phase::Waiting,
            (false, false) => Phase::Resting,
        };
        drop(place);
        if again {
            // It waits behind others of its tenant, and that is charged before anybody is let in.
            self.turns.lock().order.wait(self.whose, Arc::clone(self));
        }
        self.turns.give_back(self.whose, took);
    }

    /// Gives the work the turn it waits for, unless it was given up.
    fn grant(&self) -> Option<Waker> {
        let mut place = self.lock();
        if place.phase != Phase::Waiting {
            return None;
        }
        place.phase = Phase::Granted;
        place.waker.clone()
    }

    /// The work is dropped, done or not.
    fn leave(&self) {
        let phase = std::mem::replace(&mut self.lock().phase, Phase::Gone);
        if matches!(phase, Phase::Granted | Phase::Working | Phase::Woken) {
            self.turns.give_back(self.whose, Duration::ZERO);
        }
    }
}

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut place = self.lock();
        match place.phase {
            Phase::Resting => place.phase = Phase::Waiting,
            Phase::Working => {
                place.phase = Phase::Woken;
                return;
            }
            _ => return,
        }
        drop(place);
        self.turns.wait(self);
    }
}

#[cfg(test)]
mod tests;
