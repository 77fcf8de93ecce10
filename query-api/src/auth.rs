//! Who is asking: the credential of a request, verified, and the principal it grants.
//!
//! The verified credential alone grants a tenant, and what its subject may do there is asked of
//! the write side at each request. There are two kinds: the short tokens of the built-in
//! issuer ([`token`]) and the API keys of members; [`verifier`] is where further kinds join a
//! closed list.

mod api_key;
mod credential;
pub mod token;
pub mod verifier;

pub use api_key::ApiKey;
pub use credential::Credential;
pub use token::{Claims, TokenError, mint};
pub(crate) use verifier::ended;
pub use verifier::{Session, Verified, Verifier};
