//! The doors between the processes of one installation, and who goes through them.
//!
//! A process asks the one that owns a tenant's partition for what it may not decide itself: with
//! the credential of whoever asked it, which the owner verifies as if it had come to its own
//! public doors (`door`). Both ends of a connection have a certificate of the cluster's authority
//! (`listener`), but that grants nothing beyond being heard. Nobody passes on what was passed on
//! to it. Processes of two versions understand each other: a field that is added may be ignored, and
//! what must not be ignored gets a place of its own (`/peers/v2/…`), which an older process answers
//! with 404. How requests get there is for `server` to wire ([`Carrier`]); this crate has no client.
//!
//! Start at [`Sender`].

pub(crate) mod alone;
mod door;
mod listener;
mod sender;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use domain::id::TenantId;
use serde::{Deserialize, Serialize};

use crate::auth::Credential;

pub(crate) use door::router;
pub use listener::{Identity, PeerListener, PeerListenerError};
pub(crate) use sender::PATIENCE;
pub use sender::Sender;

/// Where an owner is asked for a change. The body is a [`commands::Request`], the answer the
/// `Result` of [`commands::Commands::submit`].
const COMMANDS: &str = "/peers/v1/commands";

/// Where an owner is asked for what follows from an event. The body is a [`WireCause`], the answer
/// the `Result` of [`commands::Commands::react_to`].
const REACTIONS: &str = "/peers/v1/reactions";

/// A [`commands::Cause`] on the wire.
#[derive(Serialize, Deserialize)]
struct WireCause {
    source: u32,
    position: u64,
    target: TenantId,
}

/// Carries requests to other processes.
#[async_trait]
pub trait Carrier: fmt::Debug + Send + Sync {
    /// Posts JSON to `path` of the peers' door at `address`, with the credential of whoever asks,
    /// if anybody does, and reads the whole answer.
    ///
    /// # Errors
    ///
    /// [`NotCarried`] says whether the request may have been received.
    async fn carry(
        &self,
        address: &str,
        path: &str,
        credential: Option<&Credential>,
        body: Bytes,
    ) -> Result<Carried, NotCarried>;
}

/// What another process answered.
#[derive(Clone, Debug)]
pub struct Carried {
    /// The status code.
    pub status: u16,
    /// The whole body.
    pub body: Bytes,
}

/// Why another process did not answer.
#[derive(Debug, thiserror::Error)]
pub enum NotCarried {
    /// It has not received the request.
    #[error("{0}")]
    NotSent(String),
    /// It may have received the request.
    #[error("{0}")]
    NoAnswer(String),
}

#[cfg(test)]
mod tests;
