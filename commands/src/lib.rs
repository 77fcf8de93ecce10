//! The write side: authorize, route to the owner, decide, seal, append, acknowledge.
//!
//! One owner per partition holds the state of its tenants in memory and decides commands in a
//! single loop; nothing is answered before what it depends on is durable. It does **not** know
//! SQL or HTTP and never reads a projection: a decision on a stale read is wrong.
//!
//! Start at [`request`] for what is asked and answered and at [`Commands`] for who is asked.
//! A request is prepared on its caller's task (`prepare`), waits its turn (`owner::inbox`), is
//! decided in the owner's loop (`owner::run`) by way of `handlers` over an overlay of the
//! `state`, and becomes records in `record`.

mod away;
pub mod clock;
mod commands;
mod excluded;
pub mod grants;
mod handlers;
mod idempotency;
pub mod identities;
mod keys;
mod large;
pub mod level;
mod lookups;
mod owner;
pub mod peers;
mod prepare;
mod providers;
mod reactions;
pub mod record;
mod replica;
pub mod request;
mod seats;
pub mod settings;
mod snapshot;
mod state;
mod terms;
mod timers;
mod trace;
mod views;
pub mod within;

pub use away::Away;
pub use clock::{Clock, SystemClock};
pub use commands::Commands;
pub use excluded::Excluded;
pub use grants::SecretOf;
pub use level::{NotSpoken, Process};
pub use lookups::{Lookup, Lookups};
pub use owner::StartError;
pub use peers::{Cause, Peers};
pub use request::{CommandError, EventSummary, IdempotencyKey, Mode, Outcome, Request};
pub use settings::{Settings, Values};
pub use snapshot::FOLD_VERSION;
pub use views::Providers;
pub use within::{Sight, Within};

#[cfg(test)]
mod tests;
