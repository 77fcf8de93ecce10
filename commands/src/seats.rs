//! What the membership says about who owns what, told to the partitions of this process.
//!
//! It is for order, not for safety: an owner that is told late is fenced by the log.

use std::sync::Arc;
use std::time::Duration;

use event_log::{EventLog, Handover, LogError, Membership, Partition, Turn};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::owner::envelope::{Envelope, Read};
use crate::owner::inbox::Inbox;

/// How long letting go of everything may take. In seconds: 5.
const HANDOVER_MAX: Duration = Duration::from_secs(5);

/// How long it may take until others have taken over what is to be handed over. In seconds: 10, twice
/// as long as a membership goes on with it by itself.
const RESIGNED_MAX: Duration = Duration::from_secs(10);

/// How long to wait before joining again.
const JOIN_PAUSE: Duration = Duration::from_secs(1);

/// What a partition is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Own it.
    Take,
    /// Let go of it.
    Give(#[expect(dead_code, reason = "dropping it is what tells")] Handover),
    /// Let go of it; nobody waits for that.
    Lost,
}

/// How one partition is told.
#[derive(Debug)]
pub(crate) struct Seat {
    orders: mpsc::UnboundedSender<Order>,
    inbox: Arc<Inbox<Envelope, Read>>,
}

impl Seat {
    /// A seat, and where its orders arrive.
    pub(crate) fn new(inbox: Arc<Inbox<Envelope, Read>>) -> (Self, mpsc::UnboundedReceiver<Order>) {
        let (orders, arriving) = mpsc::unbounded_channel();
        (Self { orders, inbox }, arriving)
    }

    fn tell(&self, order: Order) {
        let leaves = !matches!(order, Order::Take);
        // One that has stopped does not want to know.
        let _ = self.orders.send(order);
        if leaves {
            // Nothing new is let in while the owner finishes what it has begun.
            self.inbox.leave();
        }
    }
}

/// This process's part in owning the partitions of a log that others share.
#[derive(Debug)]
pub(crate) struct Attendance {
    leave: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Attendance {
    /// Tells each partition, in order of their numbers, what `membership` says from now on. Who has
    /// to join again `says` the same of itself; who has a clock that is wrong takes no part.
    pub(crate) fn begin(
        log: Arc<dyn EventLog>,
        says: String,
        membership: Box<dyn Membership>,
        seats: Vec<Seat>,
        clock_is_wrong: watch::Receiver<bool>,
    ) -> Self {
        let (leave, leaving) = oneshot::channel();
        let rejoining = Rejoining { log, says, clock_is_wrong };
        Self { leave, task: tokio::spawn(attend(rejoining, membership, seats, leaving)) }
    }

    /// Has others take everything over, lets go of what is left, bounded, and leaves.
    pub(crate) async fn end(self) {
        // One that has ended has nothing to leave.
        let _ = self.leave.send(());
        if let Err(error) = self.task.await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "leaving the owners did not end well");
        }
    }
}

/// What it takes to become a member again.
struct Rejoining {
    log: Arc<dyn EventLog>,
    says: String,
    clock_is_wrong: watch::Receiver<bool>,
}

async fn attend(
    mut rejoining: Rejoining,
    mut membership: Box<dyn Membership>,
    seats: Vec<Seat>,
    mut leaving: oneshot::Receiver<()>,
) {
    loop {
        let turn = tokio::select! {
            _ = &mut leaving => break,
            () = rejoining.has_clock(|is_wrong| is_wrong) => {
                withdraw(membership, &seats).await;
                membership = tokio::select! {
                    _ = &mut leaving => return,
                    joined = rejoining.join() => joined,
                };
                continue;
            }
            turn = membership.next() => turn,
        };
        match turn {
            Ok(turn) => tell(&seats, turn),
            Err(LogError::Closed) => return,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "no longer one of the owners; joining again"
                );
                seats.iter().for_each(|it| it.tell(Order::Lost));
                membership = tokio::select! {
                    _ = &mut leaving => return,
                    joined = rejoining.join() => joined,
                };
            }
        }
    }
    withdraw(membership, &seats).await;
}

/// Has others take everything over, lets go of what is left, bounded, and leaves.
async fn withdraw(mut membership: Box<dyn Membership>, seats: &[Seat]) {
    membership.resign();
    let resigned = async {
        while let Ok(turn) = membership.next().await {
            tell(seats, turn);
        }
    };
    if tokio::time::timeout(RESIGNED_MAX, resigned).await.is_err() {
        tracing::warn!("what is owned here is let go of before others have it");
    }
    give_all(seats).await;
    membership.leave().await;
}

fn tell(seats: &[Seat], turn: Turn) {
    let (Partition(partition), order) = match turn {
        Turn::Take(partition) => (partition, Order::Take),
        Turn::Give(partition, handover) => (partition, Order::Give(handover)),
        Turn::Lost(partition) => (partition, Order::Lost),
    };
    tracing::info!(partition, ?order, "who owns it changes");
    let index = usize::try_from(partition).expect("a partition's number is small");
    if let Some(seat) = seats.get(index) {
        seat.tell(order);
    }
}

impl Rejoining {
    /// Joins, once the clock is right, for as long as that takes.
    async fn join(&mut self) -> Box<dyn Membership> {
        loop {
            tokio::time::sleep(JOIN_PAUSE).await;
            self.has_clock(|is_wrong| !is_wrong).await;
            match self.log.join(&self.says).await {
                Ok(membership) => return membership,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "cannot join the owners");
                }
            }
        }
    }

    /// Completes once the clock is as it is to be.
    async fn has_clock(&mut self, is_it: fn(bool) -> bool) {
        if self.clock_is_wrong.wait_for(|it| is_it(*it)).await.is_err() {
            // Nobody will say anything any more.
            std::future::pending::<()>().await;
        }
    }
}

/// Has every partition let go of, and waits for that.
async fn give_all(seats: &[Seat]) {
    let let_go: Vec<_> = seats
        .iter()
        .map(|seat| {
            let (handover, dropped) = Handover::new();
            seat.tell(Order::Give(handover));
            dropped
        })
        .collect();
    if tokio::time::timeout(HANDOVER_MAX, futures::future::join_all(let_go)).await.is_err() {
        tracing::warn!("not every partition was let go of in time; the next owner fences this one");
    }
}
