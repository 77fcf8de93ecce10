//! What every model tells the engine: its tables, what it wants to know, and its fold.

use std::panic::AssertUnwindSafe;

use domain::id::TenantId;
use event_log::LogError;
use futures::FutureExt as _;
use vault::{Keyring, KeyringError};

use crate::engine::EngineError;
use crate::engine::change::Change;
use crate::engine::checkpoint::Stage;
use crate::engine::fact::{Fact, Unfit, Want};
use crate::engine::table_set::{Ended, Halt};
use crate::model::Model;
use crate::store::{Connection, Meaning, StoreError};
use crate::{analytics, audit, billing, catalog, organisation};

/// The tables of a model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schema {
    /// Changes whenever the tables or what is written to them change; never goes back.
    pub version: u32,
    /// The statements that make the tables, and the indexes that their writer needs.
    pub tables: &'static [&'static str],
    /// The statements that make the indexes only readers need: run once the tables have caught
    /// up for the first time, since sorting everything once costs far less than keeping it sorted.
    pub indexes: &'static [&'static str],
}

/// Why a batch was not applied. [`ApplyError::meaning`] says what follows from that.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// One of its events cannot be; its tenant is parked and the others are tried again.
    #[error("an event cannot be applied: {}", .0.reason)]
    Unfit(Unfit),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault did not give a key.
    #[error(transparent)]
    Vault(#[from] KeyringError),
    /// The fold has a fault. It says only what the program itself said, nothing of the content.
    #[error("its fold panicked: {0}")]
    Panicked(&'static str),
}

impl ApplyError {
    /// What follows from this failure. Nobody else decides whether a tenant is parked.
    pub(crate) fn meaning(&self) -> Meaning {
        match self {
            Self::Unfit(unfit) => Meaning::Refused(unfit.reason.clone()),
            Self::Store(error) => error.meaning(),
            Self::Vault(KeyringError::Vault(_) | KeyringError::WrongRoot) => Meaning::Passing,
            Self::Vault(
                KeyringError::Damaged(_)
                | KeyringError::Missing(_)
                | KeyringError::Seal(_)
                | KeyringError::TenantErased(_),
            )
            | Self::Panicked(_) => Meaning::Refused(self.to_string()),
        }
    }

    /// Whether the same batch never succeeds, because of something that one tenant did.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.meaning(), Meaning::Refused(_))
    }
}

/// What `folding` comes to; a panic is a failure like another, since nothing of it is committed.
pub(crate) async fn caught<T>(
    folding: impl Future<Output = Result<T, ApplyError>>,
) -> Result<T, ApplyError> {
    AssertUnwindSafe(folding).catch_unwind().await.unwrap_or_else(|panic| {
        // What was put together when it panicked may be about the content.
        let said = panic.downcast_ref::<&'static str>().copied();
        Err(ApplyError::Panicked(said.unwrap_or("see standard error")))
    })
}

/// Why following a partition came to an end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Trying again cannot help.
    #[error(transparent)]
    Final(EngineError),
    /// The tables are not those that our statements are for; trying again cannot help.
    #[error("the tables are not as they were made: {0}")]
    Wrong(#[source] ApplyError),
    /// The log could not be read; trying again may help.
    #[error(transparent)]
    Unread(LogError),
    /// Trying again may help.
    #[error(transparent)]
    Passing(ApplyError),
    /// It panicked; trying again may help.
    #[error("following panicked")]
    Panicked,
}

/// Whether what `error` is about may be there later.
pub(crate) fn passes(error: &LogError) -> bool {
    match error {
        LogError::Damaged { .. } | LogError::BeyondEnd { .. } | LogError::NoSuchPartition(_) => {
            false
        }
        LogError::Storage { .. }
        | LogError::TooFewReplicas { .. }
        | LogError::Gone { .. }
        | LogError::Busy { .. }
        | LogError::Full
        | LogError::InUse(_)
        | LogError::TooLarge(_)
        | LogError::Closed => true,
    }
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Log(error) if passes(&error) => Self::Unread(error),
            error => Self::Final(error),
        }
    }
}

impl From<LogError> for Trouble {
    fn from(error: LogError) -> Self {
        EngineError::Log(error).into()
    }
}

impl From<ApplyError> for Trouble {
    fn from(error: ApplyError) -> Self {
        match error.meaning() {
            Meaning::Wrong => Self::Wrong(error),
            Meaning::Passing | Meaning::Refused(_) => Self::Passing(error),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        ApplyError::from(error).into()
    }
}

impl Trouble {
    /// As the operator sees it who asked for what failed.
    pub(crate) fn into_engine_error(self, model: Model) -> EngineError {
        match self {
            Self::Final(error) => error,
            Self::Unread(error) => EngineError::Log(error),
            Self::Wrong(error) | Self::Passing(error) => EngineError::storage(model, error),
            Self::Panicked => EngineError::storage(model, self),
        }
    }

    /// What is said of a partition of which nothing more is applied.
    pub(crate) fn halt(&self) -> Halt {
        match self {
            Self::Final(EngineError::NotOurLog { reason, .. }) => {
                Halt::ForGood(Ended::NotOurLog(reason.clone()))
            }
            Self::Final(EngineError::Log(error)) => {
                Halt::ForGood(Ended::LogLost(error.to_string()))
            }
            Self::Final(_) | Self::Wrong(_) => Halt::ForGood(Ended::Unusable(self.to_string())),
            Self::Unread(_) | Self::Passing(_) | Self::Panicked => Halt::Passing(self.to_string()),
        }
    }

    /// Whether a part of the log is lost, so that others need not wait for it.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Final(EngineError::Log(LogError::Damaged { .. })))
    }
}

impl From<Unfit> for ApplyError {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit)
    }
}

impl Model {
    /// Its tables.
    pub(crate) const fn schema(self) -> Schema {
        match self {
            Self::Catalog => catalog::SCHEMA,
            Self::Organisation => organisation::SCHEMA,
            Self::Billing => billing::SCHEMA,
            Self::Analytics => analytics::SCHEMA,
            Self::Audit => audit::SCHEMA,
        }
    }

    /// How much it needs to know of events about `noun`.
    pub(crate) fn wants(self, noun: &str) -> Want {
        match self {
            Self::Catalog => catalog::wants(noun),
            Self::Organisation => organisation::wants(noun),
            Self::Billing => billing::wants(noun),
            Self::Analytics => analytics::wants(noun),
            Self::Audit => Want::Header,
        }
    }

    /// Derives from its tables, which have just been filled, those that [`Model::apply`] leaves
    /// out meanwhile. Doing so again changes nothing. Answers with the first event of each tenant
    /// of which something cannot be derived; its rows are to be taken out.
    pub(crate) async fn derive(
        self,
        connection: &mut Connection,
    ) -> Result<Vec<Unfit>, ApplyError> {
        match self {
            Self::Catalog => catalog::derive(connection).await,
            Self::Organisation | Self::Billing | Self::Analytics | Self::Audit => Ok(Vec::new()),
        }
    }

    /// Takes out what was applied of `tenant`, so that it can be applied again from its first
    /// event. Only where something is derived that may be refused.
    pub(crate) async fn take_out(
        self,
        connection: &mut Connection,
        tenant: TenantId,
    ) -> Result<(), StoreError> {
        match self {
            Self::Catalog => catalog::take_out(connection, tenant).await,
            Self::Organisation | Self::Billing | Self::Analytics | Self::Audit => Ok(()),
        }
    }

    /// Applies `facts`, in order of the log, and says what became visible by them.
    pub(crate) async fn apply(
        self,
        keyring: &Keyring,
        connection: &mut Connection,
        facts: &[Fact],
        stage: Stage,
    ) -> Result<Vec<Change>, ApplyError> {
        if facts.is_empty() {
            return Ok(Vec::new());
        }
        caught(self.fold(keyring, connection, facts, stage)).await
    }

    async fn fold(
        self,
        keyring: &Keyring,
        connection: &mut Connection,
        facts: &[Fact],
        stage: Stage,
    ) -> Result<Vec<Change>, ApplyError> {
        match self {
            Self::Catalog => return catalog::apply(keyring, connection, facts, stage).await,
            Self::Organisation => organisation::apply(keyring, connection, facts).await?,
            Self::Billing => billing::apply(keyring, connection, facts).await?,
            Self::Analytics => analytics::apply(connection, facts).await?,
            Self::Audit => audit::apply(connection, facts).await?,
        }
        Ok(Vec::new())
    }
}

/// Splits facts by tenant, keeping their order; tenants in order of their first fact.
pub(crate) fn by_tenant(facts: &[Fact]) -> Vec<(TenantId, Vec<&Fact>)> {
    let mut places = std::collections::HashMap::new();
    let mut split: Vec<(TenantId, Vec<&Fact>)> = Vec::new();
    for fact in facts {
        let place = *places.entry(fact.tenant).or_insert_with(|| {
            split.push((fact.tenant, Vec::new()));
            split.len() - 1
        });
        split[place].1.push(fact);
    }
    split
}
