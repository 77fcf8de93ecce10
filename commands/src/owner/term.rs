//! How a partition's task goes from following to owning and back, and what an owner takes over and
//! leaves behind.

use std::time::Duration;

use event_log::Owners;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::reactors::{Reactors, Triggers};
use super::recovery::{Fate, Written};
use super::snapshotting::Snapshotting;
use super::{Owner, StartError};
use crate::record::RecordWriter;
use crate::replica::{Followed, Inherited, Parts, Replica};
use crate::request::CommandError;
use crate::seats::Order;
use crate::timers::Resting;

/// How long it may take to say that a partition was let go of. In seconds: 1, as long as the next
/// owner waits for it.
const LET_GO_MAX: Duration = Duration::from_secs(1);

/// How many times as long as a silence may last two fences count as one after the other: 3.
const AGAIN: u32 = 3;

/// What a partition's task has beside its replica.
#[derive(Debug)]
pub(crate) struct Desk {
    /// What the membership says.
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    /// Who reacts to what the owner records.
    pub(crate) reactors: mpsc::UnboundedSender<Triggers>,
    /// How long a process that owns the partition may hear nothing of the others; none if there are
    /// no others.
    pub(crate) silence_max: Option<Duration>,
    /// When its owner here was fenced last by one of whom it had not been told.
    pub(crate) fenced: Option<Instant>,
    /// When the partition is to be owned here again, unless something is told until then.
    pub(crate) returns: Option<Instant>,
}

impl Desk {
    /// Where `orders` arrive.
    pub(crate) fn new(
        orders: mpsc::UnboundedReceiver<Order>,
        reactors: mpsc::UnboundedSender<Triggers>,
        silence_max: Option<Duration>,
    ) -> Self {
        Self { orders, reactors, silence_max, fenced: None, returns: None }
    }

    /// Whether other processes may own the partition.
    pub(super) fn is_shared(&self) -> bool {
        self.silence_max.is_some()
    }

    /// Notes that another one has fenced the owner, and says until when it should not claim again: that
    /// happened a moment ago too, and nobody has told it of another owner either time.
    pub(super) fn rests_until(&mut self) -> Option<Instant> {
        let (silence, now) = (self.silence_max?, Instant::now());
        let before = self.fenced.replace(now);
        before.filter(|it| now.duration_since(*it) < AGAIN * silence).map(|_| now + silence)
    }
}

/// What this process is to a partition.
#[derive(Debug)]
pub(crate) enum Role {
    /// It reads what another one records.
    Following(Box<Replica>, Desk),
    /// It decides.
    Owning(Box<Owner>),
}

/// How the term of an owner ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The process stops.
    Stopped,
    /// Another process is to own the partition.
    LetGo,
}

/// Runs a partition until the process stops.
pub(crate) async fn live(mut role: Role) {
    loop {
        role = match role {
            Role::Following(mut replica, mut desk) => {
                let returns = desk.returns.take();
                let followed = replica.follow(&mut desk.orders, returns).await;
                if followed == Followed::Take {
                    // It has been told.
                    desk.fenced = None;
                }
                match followed {
                    Followed::Take | Followed::Return => {
                        let mut owner = Box::new(Owner::new(replica, desk));
                        owner.recover(Vec::new(), Fate::Nothing).await;
                        Role::Owning(owner)
                    }
                    Followed::Stopped => return replica.seal_identities(),
                }
            }
            Role::Owning(mut owner) => match owner.run().await {
                Ended::Stopped => return owner.replica.seal_identities(),
                Ended::LetGo => owner.let_go().await,
            },
        };
    }
}

impl Owner {
    /// The owner of a partition that is still to be claimed.
    pub(crate) fn new(replica: Box<Replica>, desk: Desk) -> Self {
        let settings = &replica.parts.settings;
        let records = RecordWriter::new(settings.source.clone(), settings.values);
        Self {
            replica,
            desk,
            writer: None,
            told: None,
            rests_until: None,
            refused: None,
            records,
            reactors: None,
            timers_rest: None,
            tenants_rest: Resting::new(),
            snapshotting: Snapshotting::default(),
        }
    }

    /// Claims the partition and begins to serve.
    pub(crate) async fn start(&mut self) -> Result<(), StartError> {
        self.claim(&mut Written::default()).await?;
        self.serve();
        Ok(())
    }

    /// Claims the partition, brings the state to its end, and tells everybody where it is served.
    pub(super) async fn claim(&mut self, written: &mut Written) -> Result<(), StartError> {
        let partition = self.replica.partition;
        let writer = self.replica.parts.log.claim(partition).await;
        let writer = writer.map_err(|source| StartError::Claim { partition, source })?;
        let writer = self.writer.insert(writer);
        self.snapshotting.claims += 1;
        if self.desk.is_shared() {
            // Whoever owned it meanwhile may have saved snapshots that are not known here.
            self.replica.snapshots.begin_anew();
        }
        #[cfg(test)]
        if self.replica.parts.settings.sabotage == Some(crate::settings::Sabotage::ReadNothing)
            && self.snapshotting.claims > 1
        {
            return Ok(());
        }
        self.replica.catch_up(|command, position| written.note(command, position)).await?;
        let Some(address) = &self.replica.parts.settings.address else { return Ok(()) };
        let announced = writer.announce(address).await;
        announced.map_err(|source| StartError::Announce { partition, source })
    }

    /// Lets requests in, and those react who do, unless it is to be let go of already.
    pub(super) fn serve(&mut self) {
        self.react();
        let partition = self.replica.partition;
        // Before it is said: whoever has waited for that asks at once.
        self.replica.inbox.open();
        tracing::info!(partition = partition.0, "decided here from now on");
        self.replica.parts.owned.send_if_modified(|it| it.insert(partition));
        // Whoever gives an order closes the door after it: one of both sees the other.
        if self.told.is_some() || !self.desk.orders.is_empty() {
            self.replica.inbox.leave();
        }
    }

    /// Hands what there is to react to over to those who do.
    fn react(&mut self) {
        match &mut self.reactors {
            Some(reactors) => {
                let found = self.replica.inherited.triggers.drain(..);
                found.for_each(|it| reactors.announce(it.position));
            }
            None => {
                let inherited = std::mem::take(&mut self.replica.inherited);
                let (reactors, triggers) = Reactors::new(inherited, self.replica.state.next);
                // None are there once the process stops.
                let _ = self.desk.reactors.send(triggers);
                self.reactors = Some(reactors);
            }
        }
    }

    /// The order to let go, once it is there.
    pub(super) async fn is_told(&mut self) {
        if self.told.is_none() {
            self.told = self.desk.orders.recv().await;
        }
        if self.told.is_none() {
            // Nobody is there any more who could give one.
            std::future::pending::<()>().await;
        }
        self.desk.fenced = None;
    }

    /// Whether there is an order to let go.
    pub(super) fn has_been_told(&mut self) -> bool {
        self.told = self.told.take().or_else(|| self.desk.orders.try_recv().ok());
        if self.told.is_some() {
            self.desk.fenced = None;
        }
        self.told.is_some()
    }

    /// Completes once another process than this one has said that it serves the partition.
    pub(super) fn is_served_elsewhere(&self) -> impl Future<Output = ()> + Send + use<> {
        let Parts { log, settings, .. } = &self.replica.parts;
        let (mut owners, own) = (log.owners(), settings.address.clone());
        let index =
            usize::try_from(self.replica.partition.0).expect("a partition's number is small");
        async move {
            let is_another =
                |it: &Owners| it[index].is_some() && it[index].as_deref() != own.as_deref();
            if owners.wait_for(is_another).await.is_err() {
                // Nobody will say anything any more.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Answers what waits, says so, and only then lets the next owner have its turn.
    async fn let_go(mut self) -> Role {
        let partition = self.replica.partition;
        self.replica.parts.owned.send_if_modified(|it| it.remove(&partition));
        for envelope in self.replica.inbox.take_all() {
            envelope.refuse(CommandError::NotOwner(partition));
        }
        let rests = self.rests_until.is_some() && !self.has_been_told();
        if rests {
            self.desk.returns = self.rests_until;
        } else {
            self.is_told().await;
        }
        if self.reactors.is_some() {
            self.react();
        }
        let Self { mut replica, desk, writer, told, reactors, .. } = self;
        if let Some(reactors) = reactors {
            let next = replica.state.next;
            replica.inherited = Inherited::between(reactors.upto(next), next);
        }
        if let Some(writer) = writer
            && matches!(told, Some(Order::Give(_)))
            && tokio::time::timeout(LET_GO_MAX, writer.let_go()).await.is_err()
        {
            tracing::debug!(partition = partition.0, "the next owner is not told in time");
        }
        drop(told);
        tracing::info!(partition = partition.0, "another process is to own it");
        Role::Following(replica, desk)
    }
}
