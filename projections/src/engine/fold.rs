//! What every model tells the engine: its tables, what it wants to know, and its fold.

use domain::id::TenantId;
use vault::{Keyring, KeyringError};

use crate::engine::EngineError;
use crate::engine::change::Change;
use crate::engine::checkpoint::Stage;
use crate::engine::fact::{Fact, Unfit, Want};
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

/// Why a batch was not applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// One of its events cannot be; its tenant is parked and the others are tried again.
    #[error("an event cannot be applied: {}", .0.reason)]
    Unfit(Unfit),
    /// The storage failed: the same batch may succeed later.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed: the same batch may succeed later.
    #[error(transparent)]
    Vault(#[from] KeyringError),
}

impl ApplyError {
    /// Whether the database refused something of the batch, which it always will.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Store(error) => matches!(error.meaning(), Meaning::Refused(_)),
            Self::Unfit(_) | Self::Vault(_) => false,
        }
    }
}

/// Why following a partition came to an end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Trying again cannot help.
    #[error(transparent)]
    Final(#[from] EngineError),
    /// Trying again may help.
    #[error(transparent)]
    Passing(#[from] ApplyError),
    /// It panicked; trying again may help.
    #[error("following panicked")]
    Panicked,
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Passing(error.into())
    }
}

impl Trouble {
    /// As the operator sees it who asked for what failed.
    pub(crate) fn into_engine_error(self, model: Model) -> EngineError {
        match self {
            Self::Final(error) => error,
            Self::Passing(error) => EngineError::storage(model, error),
            Self::Panicked => EngineError::storage(model, self),
        }
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
    /// of which the database refused something; its rows are to be taken out.
    pub(crate) async fn derive(
        self,
        connection: &mut Connection,
    ) -> Result<Vec<Unfit>, StoreError> {
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
        match self {
            Self::Catalog => return catalog::apply(keyring, connection, facts, stage).await,
            Self::Organisation => organisation::apply(connection, facts).await?,
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
