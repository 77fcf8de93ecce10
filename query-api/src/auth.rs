//! Who is asking: the credential of a request, verified, and the principal it grants.
//!
//! The verified credential alone grants a tenant. Today there is one kind, the short tokens of
//! the built-in issuer ([`token`]); [`verifier`] is where further kinds join a closed list. It
//! does *not* say what a principal may do.

mod credential;
pub mod token;
pub mod verifier;

pub use credential::Credential;
pub use token::{Claims, TokenError, mint};
pub use verifier::{Session, Verifier};
