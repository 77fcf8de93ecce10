//! The write side: authorize, route to the owner, decide, seal, append, acknowledge.
//!
//! One owner per partition holds the state of its tenants in memory and decides commands in a
//! single loop; nothing is answered before what it depends on is durable. It does **not** know
//! SQL or HTTP and never reads a projection: a decision on a stale read is wrong.
//!
//! Start at [`request`] for what is asked and answered.

pub mod identities;
pub mod request;

pub use request::{CommandError, EventSummary, IdempotencyKey, Mode, Outcome, Request};
