//! What every operation needs: the two sides, the keys, and who asks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Data;
use commands::Commands;
use domain::Principal;
use event_log::EventLog;
use projections::{Model, Projections, ReadModels};
use vault::Keyring;

use crate::error::ApiError;
use crate::loaders::Loaders;
use crate::opaque::{self, Place};

/// The request header that names a position the answer must have seen.
pub const POSITION_HEADER: &str = "callboard-position";

/// What the doors share. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    commands: Commands,
    projections: Arc<Projections>,
    log: Arc<dyn EventLog>,
    keyring: Keyring,
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
        Self { inner: Arc::new(Inner { commands, projections, log, keyring, visibility_wait }) }
    }

    /// The write side.
    #[must_use]
    pub fn commands(&self) -> &Commands {
        &self.inner.commands
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

    /// The keys.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.inner.keyring
    }

    /// What one operation of `principal` needs; its reads wait for `position`, if there is one.
    #[must_use]
    pub fn request(&self, principal: Principal, position: Option<String>) -> RequestContext {
        let models = self.inner.projections.models();
        let inner = Requested { context: self.clone(), principal, models, position };
        RequestContext { inner: Arc::new(inner) }
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
    principal: Principal,
    models: ReadModels,
    position: Option<String>,
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

    /// Who asks.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.inner.principal
    }

    /// The keys.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        self.inner.context.keyring()
    }

    /// The tables as they are, without waiting for anything.
    #[must_use]
    pub fn models(&self) -> &ReadModels {
        &self.inner.models
    }

    /// The tables of `model`, once they show everything up to the position the request names.
    ///
    /// # Errors
    ///
    /// If the token is not ours, or the model is not there in time.
    pub async fn read(&self, model: Model) -> Result<&ReadModels, ApiError> {
        if let Some(token) = &self.inner.position {
            let models = &self.inner.models;
            let tenant = self.inner.principal.tenant();
            let keyring = self.keyring();
            let Place { partition, position } =
                opaque::open_position(keyring, tenant, models.incarnation(), token)?;
            let patience = self.inner.context.inner.visibility_wait;
            let waited = models.wait_for(&[model], partition, position, patience).await;
            waited.map_err(projections::ReadError::from)?;
        }
        Ok(&self.inner.models)
    }

    /// The token of `place` for this principal's tenant.
    #[must_use]
    pub fn position_token(&self, place: &Place) -> String {
        let tenant = self.inner.principal.tenant();
        opaque::seal_position(self.keyring(), tenant, self.inner.models.incarnation(), place)
    }
}
