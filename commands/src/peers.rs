//! How processes that share a log ask each other for what follows from an event.
//!
//! Nothing is asserted: whoever is asked reads the event itself, and does what follows from it
//! for a tenant it owns. It does *not* say how they reach each other; the server wires that.

use std::fmt;

use async_trait::async_trait;
use domain::id::TenantId;
use event_log::{Partition, Position};

use crate::request::CommandError;

/// An event, and for whom something may follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The partition that holds the event.
    pub source: Partition,
    /// Where it is there.
    pub position: Position,
    /// Whose partition is to look at it.
    pub target: TenantId,
}

/// The owners in other processes.
#[async_trait]
pub trait Peers: fmt::Debug + Send + Sync {
    /// Asks whoever owns `owner` to do what follows from `cause`
    /// ([`Commands::react_to`](crate::Commands::react_to) there), and returns once that is
    /// durable. Asking again does no harm.
    ///
    /// # Errors
    ///
    /// [`CommandError`] if it is not known to be durable; it will be asked again after a while.
    async fn react(&self, owner: Partition, cause: Cause) -> Result<(), CommandError>;
}
