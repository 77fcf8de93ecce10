//! Signing in at other systems that say who somebody is: identity providers that speak OpenID Connect.
//!
//! It does *not* know who is a member of what; it knows what a provider says of somebody and, sealed
//! in the vault, by what Callboard proves to the provider who it is. How anything is fetched is a port
//! ([`Fetch`]) of whoever runs the doors. The doors themselves are `rest::oidc`; start at `code`.

pub(crate) mod access_token;
pub(crate) mod code;
mod fetch;
pub(crate) mod id_token;
pub(crate) mod login;
mod metadata;
pub(crate) mod secret;
pub(crate) mod signed;
pub(crate) mod watch;

pub use fetch::{Fetch, Fetched, Unfetched};

/// Why a provider has not said who somebody is. For the log: nobody is told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    /// It does not answer.
    #[error("the provider does not answer")]
    Away(#[source] Unfetched),
    /// It did not answer a moment ago.
    #[error("the provider did not answer a moment ago")]
    Pause,
    /// It has refused.
    #[error("the provider answered with the status {0}")]
    Status(u16),
    /// What it says is not understood.
    #[error("the provider's answer cannot be read")]
    Unreadable(#[source] serde_json::Error),
    /// It is another one than was added.
    #[error("the provider calls itself otherwise than it was added as")]
    Issuer,
    /// It names an address that anybody could answer at.
    #[error("the provider names an address that is not over https")]
    Address,
    /// What it signed is not good here.
    #[error(transparent)]
    Token(#[from] id_token::NotGood),
}

impl ProviderError {
    /// Whether it may be otherwise in a moment.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Pause)
    }
}
