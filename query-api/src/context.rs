//! What every operation needs: the two sides, the keys, and who asks.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_graphql::Data;
use axum::http::HeaderMap;
use commands::{Away, CommandError, Commands, Mode, Outcome, Request};
use domain::{Permission, Principal};
use event_log::{EventLog, Partition};
use projections::{Model, Projections, ReadError, ReadModels};
use vault::Keyring;

use crate::auth::Session;
use crate::error::ApiError;
use crate::key_uses::{self, KeyUses};
use crate::loaders::Loaders;
use crate::opaque::{self, Place};
use crate::pace::{self, Pace};
use crate::peers::{PATIENCE, Sender, alone};
use crate::streams::Tails;
use crate::trace;
use crate::turns::Turns;
use crate::within;

/// The request header that names a position the answer must have seen.
pub const POSITION_HEADER: &str = "callboard-position";

/// What is said of a log of which a part was removed.
pub(crate) const GONE: &str = "gone";

/// What the doors share. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    commands: Commands,
    projections: Arc<Projections>,
    log: Arc<dyn EventLog>,
    tails: Tails,
    turns: Turns,
    pace: Pace,
    peers: Option<Sender>,
    keyring: Keyring,
    key_uses: Arc<KeyUses>,
    visibility_wait: Duration,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

impl Context {
    /// Brings the two sides together; a query waits at most `visibility_wait` for its position.
    #[must_use]
    pub fn new(
        commands: Commands,
        projections: Arc<Projections>,
        log: Arc<dyn EventLog>,
        keyring: Keyring,
        visibility_wait: Duration,
    ) -> Self {
        let inner = Inner {
            commands,
            projections,
            log,
            tails: Tails::default(),
            turns: Turns::of_this_machine(),
            pace: Pace::default(),
            peers: None,
            keyring,
            key_uses: Arc::default(),
            visibility_wait,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The same where other processes decide what this one does not own.
    ///
    /// # Panics
    ///
    /// If it is shared already.
    #[must_use]
    pub fn with_peers(mut self, peers: Sender) -> Self {
        Arc::get_mut(&mut self.inner).expect("nobody has it yet").peers = Some(peers);
        self
    }

    /// The write side.
    #[must_use]
    pub fn commands(&self) -> &Commands {
        &self.inner.commands
    }

    /// Asks the write side for a change, in whichever process that is.
    ///
    /// # Errors
    ///
    /// As for [`Commands::submit`]; [`CommandError::Busy`] also if too many requests wait for what
    /// was written before them to be shown.
    pub async fn submit(
        &self,
        session: &Session,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        if self.inner.log.is_gone() {
            // Nobody owns anything any more, and nobody is waited for.
            return Err(CommandError::Unavailable(Away::Gone));
        }
        match &self.inner.peers {
            Some(peers) => peers.submit(self, session, request).await,
            None => alone::submit(self, &session.principal, request, PATIENCE).await,
        }
    }

    /// Asks the write side of this process for a change, at the pace at which this tenant's
    /// changes are shown.
    ///
    /// # Errors
    ///
    /// As for [`Commands::submit`]; [`CommandError::NotOwner`] if another process decides.
    pub(crate) async fn submit_here(
        &self,
        principal: &Principal,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        match self.ask_here(principal, request).await {
            Err(CommandError::Denied(denied)) => {
                Err(self.inner.commands.reconsider(principal, denied).await)
            }
            outcome => outcome,
        }
    }

    /// Fails unless `principal` has `permission`, by what is recorded at this moment.
    ///
    /// # Errors
    ///
    /// As for [`Commands::reconsider`].
    pub(crate) async fn permit(
        &self,
        principal: &Principal,
        permission: Permission,
    ) -> Result<(), CommandError> {
        let Err(denied) = principal.authorize(permission) else { return Ok(()) };
        Err(self.inner.commands.reconsider(principal, denied).await)
    }

    async fn ask_here(
        &self,
        principal: &Principal,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        let within = within::look(self, principal, &request.operation).await?;
        if request.mode == Mode::Preview {
            return self.inner.commands.submit_within(principal, request, within).await;
        }
        let (tenant, events) = (principal.tenant(), pace::events(&request.operation));
        let entry = self.inner.pace.enter(tenant, events, &self.inner.projections).await?;
        let outcome = self.inner.commands.submit_within(principal, request, within).await;
        entry.end(&outcome);
        outcome
    }

    /// How long a read waits for what it must show.
    pub(crate) fn visibility_wait(&self) -> Duration {
        self.inner.visibility_wait
    }

    #[cfg(test)]
    pub(crate) fn pace(&self) -> &Pace {
        &self.inner.pace
    }

    /// Whether every partition is owned, here or by a process that this one can ask.
    pub(crate) fn all_owned(&self) -> bool {
        let Inner { peers, commands, log, .. } = self.inner.as_ref();
        let here = commands.owned();
        let here = here.borrow();
        let there = |it| peers.as_ref().is_some_and(|peers| peers.knows(it));
        (0..log.partitions()).map(Partition).all(|it| here.contains(&it) || there(it))
    }

    /// The engine of the read side.
    #[must_use]
    pub fn projections(&self) -> &Projections {
        &self.inner.projections
    }

    /// The log, for the tenant-scoped stream reader only.
    pub(crate) fn log(&self) -> &Arc<dyn EventLog> {
        &self.inner.log
    }

    /// What keeps this process from recording anything at present although it can be read, if that is
    /// known: a word, since those are told of it too who may not know how the log is made up.
    pub(crate) async fn trouble(&self) -> Option<&'static str> {
        if self.inner.log.is_gone() {
            return Some(GONE);
        }
        if self.inner.log.has_too_few_replicas().await {
            return Some("replicas");
        }
        self.inner.commands.has_wrong_clock().then_some("clock")
    }

    /// What those who follow the log share.
    pub(crate) fn tails(&self) -> &Tails {
        &self.inner.tails
    }

    /// Whose work goes on next at any door of this process.
    pub(crate) fn turns(&self) -> &Turns {
        &self.inner.turns
    }

    /// The keys.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.inner.keyring
    }

    /// When API keys were used last.
    pub(crate) fn key_uses(&self) -> &KeyUses {
        &self.inner.key_uses
    }

    /// Writes now and then when API keys were used last at the doors of this context, for ever.
    pub fn keep_key_uses(&self) -> impl Future<Output = ()> + Send + use<> {
        let (uses, commands) = (self.inner.key_uses.clone(), self.inner.commands.clone());
        key_uses::keep(uses, commands, self.inner.keyring.clone())
    }

    /// What one operation of `session` needs, as the headers of its request ask for it.
    #[must_use]
    pub fn request(&self, session: Session, asked: Asked) -> RequestContext {
        let models = Mutex::new(self.inner.projections.models());
        let shown = Mutex::default();
        let inner = Requested { context: self.clone(), session, models, asked, shown };
        RequestContext { inner: Arc::new(inner) }
    }

    /// The token of `place` for this principal's tenant.
    #[must_use]
    pub fn position_token(&self, principal: &Principal, place: &Place) -> String {
        let incarnation = self.inner.log.incarnation();
        opaque::seal_position(&self.inner.keyring, principal.tenant(), incarnation, place)
    }
}

/// One operation: who asks, and the table sets it reads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RequestContext {
    inner: Arc<Requested>,
}

#[derive(Debug)]
struct Requested {
    context: Context,
    session: Session,
    models: Mutex<ReadModels>,
    asked: Asked,
    /// The models that show the position that is asked for.
    shown: Mutex<Vec<Model>>,
}

/// What the headers of a request say that its operations heed.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Reads wait for this position.
    pub position: Option<String>,
    /// The W3C trace context; events that it causes carry it.
    pub traceparent: Option<String>,
}

impl Asked {
    /// What these headers say.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let position = headers.get(POSITION_HEADER).and_then(|it| it.to_str().ok());
        Self { position: position.map(str::to_owned), traceparent: trace::of(headers) }
    }
}

impl RequestContext {
    /// Puts this and the loaders of one operation where resolvers find them.
    pub fn attach(self, data: &mut Data) {
        data.insert(Loaders::new(self.clone()));
        data.insert(self);
    }

    /// What the doors share.
    #[must_use]
    pub fn shared(&self) -> &Context {
        &self.inner.context
    }

    /// Fails unless the caller's tenant is active: nothing is followed live in one that is not.
    ///
    /// # Errors
    ///
    /// [`ApiError::Command`] says how the tenant stands.
    pub(crate) fn check_active(&self) -> Result<(), ApiError> {
        Ok(self.inner.context.commands().check_active(self.principal().tenant())?)
    }

    /// Who asks.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.inner.session.principal
    }

    /// Who asks, with the credential.
    pub(crate) fn session(&self) -> &Session {
        &self.inner.session
    }

    /// The keys.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        self.inner.context.keyring()
    }

    /// The tables as they are, without waiting for anything.
    #[must_use]
    pub fn models(&self) -> ReadModels {
        self.pinned().clone()
    }

    /// Goes on with the tables that are live now, and with all it may read of them. For what
    /// never ends: each thing it tells is an answer of its own.
    pub fn renew(&self) {
        *self.pinned() = self.shared().projections().models();
    }

    /// Counts `bytes` that the answer says once more of what was read.
    ///
    /// # Errors
    ///
    /// If that is more than one operation may read and say.
    pub fn say(&self, bytes: usize) -> Result<(), ApiError> {
        Ok(self.pinned().spend(bytes)?)
    }

    fn pinned(&self) -> MutexGuard<'_, ReadModels> {
        self.inner.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> MutexGuard<'_, Vec<Model>> {
        self.inner.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tables of `model`, once they show everything up to the position the request names.
    ///
    /// # Errors
    ///
    /// If the token is not ours, or the model is not there in time.
    pub async fn read(&self, model: Model) -> Result<ReadModels, ApiError> {
        let models = self.models();
        let is_shown = self.shown().contains(&model);
        if let Some(token) = &self.inner.asked.position
            && !is_shown
        {
            let tenant = self.principal().tenant();
            let keyring = self.keyring();
            let Place { partition, position } =
                opaque::open_position(keyring, tenant, models.incarnation(), token)?;
            let patience = self.inner.context.inner.visibility_wait;
            let waited = models.wait_for(&[model], partition, position, patience).await;
            waited.map_err(ReadError::from)?;
            models.shows_tenant(model, tenant, partition, position).await?;
            self.shown().push(model);
        }
        Ok(models)
    }

    /// What a reader answered who was asked for the state at `sequence`. That it is not shown yet is
    /// said only if there is such a state: nobody waits for what may never be.
    ///
    /// # Errors
    ///
    /// The reader's, or that no event has the sequence, which the argument `field` names.
    pub async fn at_sequence<T>(
        &self,
        field: &'static str,
        sequence: Option<u64>,
        answer: Result<T, ReadError>,
    ) -> Result<T, ApiError> {
        if let (Err(ReadError::NotYetVisible(_)), Some(sequence)) = (&answer, sequence) {
            let tenant = self.principal().tenant();
            let newest = self.shared().commands().newest_sequence(tenant).await?;
            if sequence > newest {
                return Err(ApiError::NotRecorded { field, sequence, newest });
            }
        }
        Ok(answer?)
    }

    /// The token of `place` for this principal's tenant.
    #[must_use]
    pub fn position_token(&self, place: &Place) -> String {
        self.inner.context.position_token(self.principal(), place)
    }

    /// The W3C trace context of the request, if it has one.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.inner.asked.traceparent.as_deref()
    }
}
