//! Why a reader did not answer, named after who must act.

use std::time::Duration;

use domain::principal::Denied;

use crate::model::Model;
use crate::store::StoreError;

/// Why a reader did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The caller may not ask for this.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The caller asked for something that has no meaning; the text says what and why.
    #[error("{0}")]
    Invalid(String),
    /// The caller asked for a state that this node has not reached; it may ask again.
    #[error(transparent)]
    NotYetVisible(#[from] NotYetVisible),
    /// The caller asked for more than one read may take; it may ask for less.
    #[error(
        "the {model} model was read for too long and the read was stopped; ask for less: a \
         narrower filter, a shorter time, fewer facets or a smaller page"
    )]
    TooLong {
        /// Which model.
        model: Model,
    },
    /// The caller asked for more than one operation may read and say; it may ask for less.
    #[error(
        "one operation reads and says at most {bytes_max} bytes; ask for less: fewer entities or versions \
         at a time, or neither `document` nor `descriptor`"
    )]
    TooMuch {
        /// How much it may be.
        bytes_max: usize,
    },
    /// The database that holds the model is away; the caller may ask again.
    #[error("the database of the {model} model does not answer at present; ask again later")]
    Unavailable {
        /// Which model.
        model: Model,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The storage failed or holds what no version of this model wrote. The operator must look.
    #[error("the {model} model cannot be read")]
    Fault {
        /// Which model.
        model: Model,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A model has not reached the place that was waited for, in the time that was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {model} model is {events_behind} events behind; {}", delay.advice(*retry_after))]
pub struct NotYetVisible {
    /// The first model that is behind.
    pub model: Model,
    /// How many positions lie between; at least as many as events are missing.
    pub events_behind: u64,
    /// When asking again makes sense.
    pub retry_after: Duration,
    /// Why it is behind.
    pub delay: Delay,
}

/// Why a model is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// It follows the log, and will be there.
    Following,
    /// It cannot apply an event of this tenant, and shows nothing later of it before an operator
    /// has taken the tenant up again.
    Parked,
}

impl Delay {
    /// What a caller can do, who may not know what is in the way.
    fn advice(self, retry_after: Duration) -> String {
        match self {
            Self::Following => format!("try again in {} ms", retry_after.as_millis()),
            Self::Parked => {
                "an event of this tenant cannot be applied, so it shows nothing later; \
                             an operator sees why in `callboard projections status`"
                    .to_owned()
            }
        }
    }
}

/// When a caller that waited in vain may ask again. In milliseconds: 500.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The same where somebody has to act first. In seconds: 60.
pub(crate) const RETRY_AFTER_PARKED: Duration = Duration::from_secs(60);

impl ReadError {
    /// Refuses a list with more than `most` members; `what` names them.
    pub(crate) fn if_more(what: &str, count: usize, most: usize) -> Result<(), Self> {
        if count <= most {
            return Ok(());
        }
        Err(Self::Invalid(format!("expected at most {most} {what}, got {count}")))
    }

    /// Makes a fault of `model` of whatever went wrong below, unless that is our own interruption
    /// of a read, or the database is away.
    pub(crate) fn fault<E>(model: Model) -> impl Fn(E) -> Self + Copy
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| {
            let source = source.into();
            match source.downcast_ref::<StoreError>() {
                Some(error) if error.is_interrupted() => Self::TooLong { model },
                Some(error) if error.is_away() => Self::Unavailable { model, source },
                _ => Self::Fault { model, source },
            }
        }
    }
}
