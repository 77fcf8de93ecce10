//! How providers are talked to: a port, since this crate talks to nobody itself.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

/// An answer, whatever its status.
pub struct Fetched {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

impl fmt::Debug for Fetched {
    /// Shows no body: it may hold tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("there is no answer")]
pub struct Unfetched(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Talks to providers, whose addresses tenants have chosen. So it reaches nothing that is not meant to
/// be reached from here, follows no redirect, and bounds how long an answer takes and how much it says.
#[async_trait]
pub trait Fetch: fmt::Debug + Send + Sync {
    /// Reads what is at `url`.
    ///
    /// # Errors
    ///
    /// [`Unfetched`] if there is no complete answer.
    async fn get(&self, url: &str) -> Result<Fetched, Unfetched>;

    /// Sends a form to `url`, with this header `Authorization` if there is one.
    ///
    /// # Errors
    ///
    /// [`Unfetched`] if there is no complete answer; it may have been received.
    async fn post(
        &self,
        url: &str,
        form: String,
        authorization: Option<String>,
    ) -> Result<Fetched, Unfetched>;
}
