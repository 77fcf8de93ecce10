//! The handle through which everybody asks the write side.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::directory::{Directory, Host, Slug};
use domain::id::TenantId;
use domain::principal::Principal;
use domain::tenant::{Standing, Tenant};
use event_log::{EventLog, Partition};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::Instrument as _;
use vault::Keyring;

use crate::away::Away;
use crate::clock::Clock;
use crate::clock::outside::Comparison;
use crate::excluded::{self, Excluded};
use crate::identities::Fingerprinter;
use crate::large::Underway;
use crate::level::Process;
use crate::lookups::Lookups;
use crate::owner::envelope::{Answer, Envelope, Reply};
use crate::owner::inbox::Refused;
use crate::owner::{Desk, Owner, Role, StartError, live};
use crate::peers::Cause;
use crate::prepare::{self, Context, Prepared};
use crate::replica::{Handle, Parts, Replica};
use crate::request::{CommandError, IdempotencyKey, Outcome, Request};
use crate::seats::{Attendance, Seat};
use crate::settings::Settings;
use crate::views::Views;
use crate::within::Within;
use crate::{idempotency, reactions, trace};

/// The partition that holds the system tenant, and with it the directory.
const SYSTEM_PARTITION: usize = 0;

/// How many partitions are brought back side by side: 8.
const STARTED_AT_ONCE: usize = 8;

/// How long owners may take to end. In seconds: 30, in which every request is answered that they have
/// taken in; who waits for longer waits for a log that is away.
const ENDED_MAX: Duration = Duration::from_secs(30);

/// When to ask again after the catalog's settings changed while a request was waiting. In
/// milliseconds: 1.
const AFTER_SETTINGS: Duration = Duration::from_millis(1);

/// The write side of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Commands(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) lookups: Lookups,
    pub(crate) keyring: Keyring,
    pub(crate) settings: Arc<Settings>,
    fingerprinter: Fingerprinter,
    owners: Vec<Handle>,
    pub(crate) views: Arc<Views>,
    /// Content of requests that is stored and not named yet.
    pub(crate) underway: Underway,
    /// The partitions that are owned here.
    owned: watch::Sender<BTreeSet<Partition>>,
    /// Why this process can take part no longer, once it cannot.
    pub(crate) excluded: watch::Sender<Option<Excluded>>,
    /// Whether the clock of this process is known not to be right.
    clock_is_wrong: watch::Receiver<bool>,
    /// Whether others can own partitions.
    pub(crate) is_shared: bool,
    /// This process's part in owning what others can own too.
    attendance: Mutex<Option<Attendance>>,
    followers: Mutex<JoinSet<()>>,
    running: Mutex<JoinSet<()>>,
}

impl Commands {
    /// Brings every partition back, begins to follow all of them, and to serve those that this
    /// process owns: all, if it has the log to itself; it returns once they are served then.
    ///
    /// # Errors
    ///
    /// [`StartError`] if a partition cannot be claimed or read.
    pub async fn start(
        log: Arc<dyn EventLog>,
        keyring: Keyring,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Result<Self, StartError> {
        Self::start_telling(log, keyring, clock, settings, watch::Sender::default()).await
    }

    /// The same; `owned` is told what is owned here, which is how others hear of it who are there before:
    /// once this has begun, other processes may let go of partitions for this one to serve.
    ///
    /// # Errors
    ///
    /// As [`Commands::start`].
    pub async fn start_telling(
        log: Arc<dyn EventLog>,
        keyring: Keyring,
        clock: Arc<dyn Clock>,
        settings: Settings,
        owned: watch::Sender<BTreeSet<Partition>>,
    ) -> Result<Self, StartError> {
        let parts = Parts {
            log: log.clone(),
            keyring: keyring.clone(),
            clock,
            comparison: Comparison::default(),
            settings: Arc::new(settings),
            views: Arc::default(),
            owned,
            excluded: watch::Sender::default(),
        };
        let replicas = (0..log.partitions()).map(|it| Replica::start(Partition(it), parts.clone()));
        let replicas: Vec<_> =
            stream::iter(replicas).buffered(STARTED_AT_ONCE).try_collect().await?;
        if let Some(replica) = replicas.get(SYSTEM_PARTITION) {
            replica.ensure_system_key().await?;
        }
        let Parts { clock, comparison, .. } = &parts;
        let has_another_clock = comparison.compare(log.as_ref(), clock.as_ref()).await;
        // Nothing is owned before this process knows what is recorded.
        let own = Process::own(&parts.settings);
        let says = own.to_string();
        let membership = log.join(&says).await.map_err(StartError::Join)?;
        let is_shared = !membership.is_alone();
        let silence_max = is_shared.then(|| membership.silence_max());
        let (mut owners, mut seats, mut terms) = (Vec::new(), Vec::new(), Vec::new());
        let mut running = JoinSet::new();
        for replica in replicas {
            let (owner, replica) = (replica.handle(), Box::new(replica));
            let (seat, orders) = Seat::new(owner.inbox.clone());
            let (reactors, begun) = mpsc::unbounded_channel();
            let desk = Desk::new(orders, reactors, silence_max);
            running.spawn(live(first_role(replica, desk, is_shared).await?));
            terms.push((owner.partition, begun));
            owners.push(owner);
            seats.push(seat);
        }
        let mut followers = excluded::watchers(&parts, own, silence_max, has_another_clock);
        let clock_is_wrong = comparison.is_wrong();
        let is_wrong = clock_is_wrong.clone();
        let attendance =
            is_shared.then(|| Attendance::begin(log.clone(), says, membership, seats, is_wrong));
        let commands = Self(Arc::new(Inner {
            lookups: Lookups::new(log.clone()),
            log,
            fingerprinter: Fingerprinter::new(keyring.identity_key()),
            keyring,
            settings: parts.settings,
            owners,
            views: parts.views,
            underway: Underway::default(),
            owned: parts.owned,
            excluded: parts.excluded,
            clock_is_wrong,
            is_shared,
            attendance: Mutex::new(attendance),
            followers: Mutex::default(),
            running: Mutex::new(running),
        }));
        for (partition, begun) in terms {
            followers.spawn(reactions::serve(commands.clone(), partition, begun));
        }
        *commands.0.followers.lock().unwrap_or_else(PoisonError::into_inner) = followers;
        Ok(commands)
    }

    /// Asks for a change, and answers once what was decided is durable.
    ///
    /// Dropping the future does not take the request back: it may or may not take effect.
    ///
    /// # Errors
    ///
    /// [`CommandError`] says who must act.
    pub async fn submit(
        &self,
        principal: &Principal,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        self.submit_within(principal, request, None).await
    }

    /// The same for who may change some entities only, of which this was seen.
    ///
    /// # Errors
    ///
    /// As [`Commands::submit`]; [`CommandError::Busy`] also if an entity is not any more what was seen.
    pub async fn submit_within(
        &self,
        principal: &Principal,
        mut request: Request,
        within: Option<Within>,
    ) -> Result<Outcome, CommandError> {
        let span = trace::command(principal.tenant(), &request.operation);
        // What the command causes belongs to its span, in the trace of whoever asked.
        request.traceparent = event_log::trace::context_of(&span).or(request.traceparent);
        let outcome = self.serve(principal, request, within).instrument(span.clone()).await;
        trace::end(&span, &outcome);
        outcome
    }

    async fn serve(
        &self,
        principal: &Principal,
        request: Request,
        within: Option<Within>,
    ) -> Result<Outcome, CommandError> {
        principal.admit(request.operation.need())?;
        if self.0.log.is_gone() {
            return Err(CommandError::Unavailable(Away::Gone));
        }
        let owner = self.find(principal.tenant()).await?;
        if owner.is_elsewhere() {
            return Err(CommandError::NotOwner(owner.partition));
        }
        if self.0.views.is_unread(principal.tenant()) {
            return Err(CommandError::Unavailable(Away::Key));
        }
        let kinds = self.0.views.kinds(principal.tenant());
        let fingerprinter = &self.0.fingerprinter;
        let context = Context { keyring: &self.0.keyring, fingerprinter, kinds, within };
        let key = request.idempotency_key.clone();
        let keys = self.keys_in_time(principal.tenant()).await?;
        let (mut prepared, large) = prepare::prepare(&context, principal, request, keys).await?;
        self.find_terms(owner, &mut prepared).await?;
        self.find_spoken(&mut prepared).await?;
        #[cfg(test)]
        self.refuse_early(&prepared)?;
        if large.is_empty() {
            return self.decide(prepared, key).await;
        }
        self.decide_large(prepared, large, key).await
    }

    /// Asks the owner, with everything stored that the answer may name.
    pub(crate) async fn decide(
        &self,
        prepared: Box<Prepared>,
        key: Option<IdempotencyKey>,
    ) -> Result<Outcome, CommandError> {
        let owner = self.owner_of(prepared.tenant)?;
        let (answer, prepared) = ask(owner, prepared).await?;
        match answer {
            Answer::Done(outcome) => Ok(outcome),
            Answer::Refused(CommandError::KeyReused(_)) => {
                let key = key.map(|it| it.as_str().to_owned());
                Err(CommandError::KeyReused(key.unwrap_or_default()))
            }
            Answer::Refused(error) => Err(error),
            Answer::Remembered(remembered) => {
                let (lookups, keys) = (&self.0.lookups, &prepared.keys);
                idempotency::recall(lookups, owner.partition, remembered, keys).await
            }
            Answer::Stale => Err(CommandError::Busy { retry_after: AFTER_SETTINGS }),
            Answer::Partly { .. } => unreachable!("only reactions are answered in parts"),
        }
    }

    /// The tenant that goes by `slug`.
    #[must_use]
    pub fn tenant_by_slug(&self, slug: &Slug) -> Option<TenantId> {
        self.0.views.directory().by_slug(slug)
    }

    /// The tenant that `host` selects.
    #[must_use]
    pub fn tenant_by_host(&self, host: &Host) -> Option<TenantId> {
        self.0.views.directory().by_host(host)
    }

    /// The directory as it is durable at this moment: every tenant with its names and place.
    #[must_use]
    pub fn directory(&self) -> Directory {
        Directory::clone(&self.0.views.directory())
    }

    /// The partition that holds `tenant`.
    #[must_use]
    pub fn partition_of(&self, tenant: TenantId) -> Option<Partition> {
        if tenant == TenantId::SYSTEM {
            return self.0.owners.get(SYSTEM_PARTITION).map(|it| it.partition);
        }
        self.0.views.directory().entry(tenant).map(|it| Partition(it.partition))
    }

    /// The partition of `tenant`, if it is known and another process decides there.
    #[must_use]
    pub fn elsewhere(&self, tenant: TenantId) -> Option<Partition> {
        self.partition_of(tenant)?;
        let owner = self.owner_of(tenant).ok()?;
        owner.is_elsewhere().then_some(owner.partition)
    }

    /// Readers of the log for callers.
    #[must_use]
    pub fn lookups(&self) -> &Lookups {
        &self.0.lookups
    }

    /// The partitions that are owned by this process, as that changes.
    #[must_use]
    pub fn owned(&self) -> watch::Receiver<BTreeSet<Partition>> {
        self.0.owned.subscribe()
    }

    /// Whether the clock of this process is known not to be that of the log, so that nothing is decided
    /// here.
    #[must_use]
    pub fn has_wrong_clock(&self) -> bool {
        *self.0.clock_is_wrong.borrow()
    }

    /// Does what follows from an event for a tenant whose partition is owned here, and returns
    /// once that is durable: for peers that follow the partition the event is in.
    ///
    /// # Errors
    ///
    /// [`CommandError::NotOwner`] if the tenant's partition is owned elsewhere; others if it is
    /// not known to be durable.
    pub async fn react_to(&self, cause: Cause) -> Result<(), CommandError> {
        reactions::react_to(self, cause).await
    }

    /// Waits until a registered tenant exists in its own partition, at most so long.
    ///
    /// # Errors
    ///
    /// [`CommandError::Rejected`] if it is not registered, [`CommandError::Unavailable`] if it
    /// takes longer or the write side stops.
    pub async fn created(&self, tenant: TenantId, within: Duration) -> Result<(), CommandError> {
        let owner = self.find(tenant).await?;
        let waiting = async {
            let mut applied = owner.applied();
            loop {
                applied.mark_unchanged();
                if self.0.views.is_unread(tenant) {
                    return Err(CommandError::Unavailable(Away::Key));
                }
                let standing = owner.peek(move |state| {
                    state.aggregate::<Tenant>(tenant, tenant).map(Tenant::standing)
                });
                let standing = standing.await.ok_or_else(stopping)?;
                if standing.is_some_and(|it| it != Standing::NotCreated) {
                    return Ok(());
                }
                applied.changed().await.map_err(|_| stopping())?;
            }
        };
        let late = |_| CommandError::Unavailable(Away::Tenant);
        tokio::time::timeout(within, waiting).await.map_err(late)?
    }

    /// The sequence of the last event of `tenant`, of all that was durable when it was asked; 0 if
    /// it has none.
    ///
    /// # Errors
    ///
    /// [`CommandError::Rejected`] if there is no such tenant, [`CommandError::Unavailable`] if
    /// the log does not answer.
    pub async fn newest_sequence(&self, tenant: TenantId) -> Result<u64, CommandError> {
        let owner = self.find(tenant).await?;
        owner.read(move |state| state.tenants.get(&tenant).map_or(0, |it| it.tally.sequence)).await
    }

    /// Lets go of every partition that others can own, which they take over at once, and goes on
    /// following them. From then on requests are answered [`CommandError::NotOwner`].
    pub async fn leave(&self) {
        let attendance = self.0.attendance.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(attendance) = attendance {
            attendance.end().await;
        }
    }

    /// Takes nothing new, finishes what waits, [leaves](Commands::leave), and returns once
    /// everything has stopped.
    pub async fn stop(&self) {
        let take = |it: &Mutex<JoinSet<()>>| {
            std::mem::take(&mut *it.lock().unwrap_or_else(PoisonError::into_inner))
        };
        take(&self.0.followers).shutdown().await;
        self.leave().await;
        for owner in &self.0.owners {
            owner.close();
        }
        let mut running = take(&self.0.running);
        let all = async {
            while let Some(ended) = running.join_next().await {
                if let Err(error) = ended {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "an owner did not end well");
                }
            }
        };
        if tokio::time::timeout(ENDED_MAX, all).await.is_err() {
            let partitions = running.len();
            tracing::warn!(partitions, "some wait for the log or the vault, and end all the same");
            running.shutdown().await;
        }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// The partition of `tenant`, also if it was registered elsewhere a moment ago.
    pub(crate) async fn find(&self, tenant: TenantId) -> Result<&Handle, CommandError> {
        if self.partition_of(tenant).is_none() {
            self.owner_of(TenantId::SYSTEM)?.is_shown().await?;
        }
        self.owner_of(tenant)
    }

    /// The partition of `tenant`, if it is known here.
    pub(crate) fn owner_of(&self, tenant: TenantId) -> Result<&Handle, CommandError> {
        let partition = self.partition_of(tenant).ok_or_else(|| CommandError::Rejected {
            code: "TENANT_NOT_FOUND".into(),
            reason: format!("there is no tenant {tenant}"),
        })?;
        let index = usize::try_from(partition.0).expect("a partition's number is small");
        self.0.owners.get(index).ok_or_else(|| {
            let partition = partition.0;
            tracing::error!(partition, %tenant, "the log has no such partition");
            CommandError::Unavailable(Away::Log)
        })
    }

    /// Leaves what follows undone from now on.
    #[cfg(test)]
    pub(crate) async fn stop_following(&self) {
        let mut followers = std::mem::take(&mut *self.0.followers.lock().unwrap());
        followers.shutdown().await;
    }

    #[cfg(test)]
    pub(crate) fn owner(&self, partition: Partition) -> &Handle {
        &self.0.owners[usize::try_from(partition.0).expect("it is small")]
    }

    #[cfg(test)]
    fn refuse_early(&self, prepared: &Prepared) -> Result<(), CommandError> {
        use crate::prepare::{Ask, TermsSource};
        use crate::settings::Sabotage;

        match (&prepared.ask, self.0.settings.sabotage) {
            (
                Ask::StartSubscription { source: TermsSource::Missing(missing), .. }
                | Ask::ChangePlan { source: TermsSource::Missing(missing), .. },
                Some(Sabotage::TermsFirst),
            ) => Err(missing.clone().into()),
            (Ask::Malformed { violations, .. }, Some(Sabotage::ShapeFirst)) => {
                Err(CommandError::Invalid(violations.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// What a partition begins with: a log that nobody shares is owned at once.
async fn first_role(
    replica: Box<Replica>,
    desk: Desk,
    is_shared: bool,
) -> Result<Role, StartError> {
    if is_shared {
        return Ok(Role::Following(replica, desk));
    }
    let mut owner = Box::new(Owner::new(replica, desk));
    owner.start().await?;
    Ok(Role::Owning(owner))
}

/// Asks an owner and waits for its answer.
pub(crate) async fn ask(owner: &Handle, prepared: Box<Prepared>) -> Result<Reply, CommandError> {
    let (envelope, answer) = Envelope::new(prepared);
    match owner.push(envelope) {
        Ok(()) => {}
        Err(Refused::Full(_, retry_after)) => return Err(CommandError::Busy { retry_after }),
        Err(Refused::Elsewhere(_)) => return Err(CommandError::NotOwner(owner.partition)),
        Err(Refused::Shut(_, away)) => return Err(CommandError::Unavailable(away)),
    }
    // An owner that goes away without an answer may have appended the request.
    answer.await.map_err(|_| CommandError::Unknown)
}

fn stopping() -> CommandError {
    CommandError::Unavailable(Away::Process)
}
