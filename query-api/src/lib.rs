//! The doors: GraphQL, REST, live streams, and who may come in.
//!
//! A door parses what comes, asks one of the two sides and maps the answer. It does **not**
//! know SQL or Kafka, decides no command and reads no table by itself; the log is open to it
//! through the tenant-scoped reader in [`streams`] only.
//!
//! Start at [`Doors`]; [`schema`] is the GraphQL door's vocabulary and [`transport`] its wire,
//! [`rest`] the doors for machines, [`peers`] those between processes, [`auth`] the lock on all of
//! them, and [`error`] the one place where errors become answers.

pub mod accounts;
pub mod auth;
pub mod context;
mod doors;
pub mod error;
pub mod federation;
mod key_uses;
pub mod limits;
pub mod loaders;
pub mod opaque;
mod pace;
pub mod peers;
pub mod rest;
pub mod schema;
pub mod streams;
pub mod trace;
pub mod transport;
mod turns;
mod within;

pub use context::Context;
pub use doors::{Connections, Doors, NoProxies, Proxies, Settings};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
