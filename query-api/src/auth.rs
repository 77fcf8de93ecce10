//! Who is asking: the credential of a request, verified, and the principal it grants.
//!
//! The verified credential alone grants a tenant, and what its subject may do there is asked of
//! the write side at each request. A closed list of kinds is accepted ([`verifier`]): the short
//! tokens of the built-in issuer ([`token`]), and what stands for API keys and sessions of members
//! ([`secret`]); a session is carried in a [`cookie`] only. Which tenant a [`host`] means counts alone
//! only before anybody has signed in ([`sign_in()`]); how somebody proves who they are is not known
//! here.

pub mod cookie;
mod credential;
mod graphql;
pub mod host;
mod refusal;
pub mod secret;
mod sign_in;
pub mod token;
pub mod verifier;

pub use credential::Credential;
pub(crate) use graphql::GraphqlAuthenticator;
pub use host::Hosts;
pub use secret::Secret;
pub(crate) use sign_in::change_credential;
pub use sign_in::{Asking, Others, SignedIn, sign_in};
pub use token::{Claims, TokenError, mint};
pub(crate) use verifier::ended;
pub use verifier::{Session, Verified, Verifier};
