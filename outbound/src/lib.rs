//! The only HTTP client: every byte Callboard sends to another machine leaves through here.
//!
//! It resolves a name once, checks every address it got, connects to exactly those, follows
//! redirects itself and checks each hop the same way, and bounds time and size. It does **not**
//! know any upstream: paths, tokens and meanings belong to its callers.
//!
//! Start at [`Client::send`]; [`Reach`] says which addresses may be talked to. [`PeerClient`] is
//! for the other processes of the installation, and for nothing else.

mod address;
mod client;
mod peer;
mod request;

pub use address::Reach;
pub use client::{Client, Limits};
pub use peer::{PeerClient, PeerError, PeerIdentity, PeerIdentityError};
pub use request::{Method, OutboundError, Request, Response, StreamedResponse};
