//! Why the engine cannot do what it was asked for.

use domain::id::TenantId;

use crate::engine::fold::passes;
use crate::model::Model;
use crate::store::{Meaning, StoreError};

/// Why the engine cannot run. All of these are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The storage failed.
    #[error("the storage of the {model} model failed")]
    Storage {
        /// Which model.
        model: Model,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The place of the tables cannot be used at all.
    #[error("the read models have no place for their tables")]
    Place(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The tables were filled from another log, or the log lost what they contain.
    #[error("the {model} model does not belong to this log: {reason}; rebuild it")]
    NotOurLog {
        /// Which model.
        model: Model,
        /// What differs.
        reason: String,
    },
    /// The log failed.
    #[error(transparent)]
    Log(#[from] event_log::LogError),
    /// A part of the log is lost, which the tables have to apply.
    #[error("the {model} model cannot follow the log any further: {reason}")]
    LogLost {
        /// Which model.
        model: Model,
        /// What is lost.
        reason: String,
    },
    /// The tables are not those of this model.
    #[error("the tables of the {model} model cannot be used: {reason}")]
    Unusable {
        /// Which model.
        model: Model,
        /// What is wrong with them.
        reason: String,
    },
    /// Tables that are to take the place of others were not as far as those in time.
    #[error("the new tables of the {model} model are not as far as the old ones yet")]
    Behind {
        /// Which model.
        model: Model,
    },
    /// The engine was stopped while the model was being rebuilt.
    #[error("stopped before the {model} model was rebuilt")]
    Stopping {
        /// Which model.
        model: Model,
    },
    /// Another generation is taking the place of the one that was asked for; ask again.
    #[error("another generation of the {model} model is taking the place of this one; ask again")]
    Replaced {
        /// Which model.
        model: Model,
    },
    /// A tenant is not parked in this model.
    #[error("{tenant} is not parked in the {model} model")]
    NotParked {
        /// Which model.
        model: Model,
        /// Which tenant.
        tenant: TenantId,
    },
}

impl EngineError {
    pub(crate) fn storage(
        model: Model,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Storage { model, source: source.into() }
    }

    /// Whether the log or the database is away, so that the same may succeed once it is back.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::Log(error) => error.is_away(),
            Self::Storage { source, .. } | Self::Place(source) => {
                source.downcast_ref::<StoreError>().is_some_and(StoreError::is_away)
            }
            Self::NotOurLog { .. }
            | Self::LogLost { .. }
            | Self::Unusable { .. }
            | Self::Behind { .. }
            | Self::Stopping { .. }
            | Self::Replaced { .. }
            | Self::NotParked { .. } => false,
        }
    }

    /// Whether the same may succeed later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Log(error) => passes(error),
            Self::Storage { source, .. } => match source.downcast_ref::<StoreError>() {
                Some(error) => error.meaning() == Meaning::Passing,
                None => false,
            },
            Self::Behind { .. } => true,
            Self::Place(_)
            | Self::NotOurLog { .. }
            | Self::LogLost { .. }
            | Self::Unusable { .. }
            | Self::Stopping { .. }
            | Self::Replaced { .. }
            | Self::NotParked { .. } => false,
        }
    }
}
