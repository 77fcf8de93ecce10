//! What Callboard means: identities, aggregates and their rules, permissions, money.
//!
//! Pure: nothing here does I/O, reads a clock, draws a random number or looks at the
//! environment. Time arrives as `now`; identities, digests and facts about other aggregates
//! arrive in commands. It does **not** know how events are stored or views are built.
//!
//! Start at [`aggregate`] for the shape of a decision, at [`event`] for everything that can
//! have happened, at [`operation`] for everything a caller can ask, and at one aggregate, say
//! [`subscription`], for how rules read.

pub mod aggregate;
pub mod audit;
pub mod blob;
pub mod calendar;
pub mod catalog;
pub mod customer;
pub mod directory;
pub mod entity;
pub mod event;
pub mod id;
pub mod level;
pub mod location;
pub mod member;
pub mod meter;
pub mod operation;
pub mod personal;
pub mod plan;
pub mod principal;
pub mod quantity;
pub mod reaction;
pub mod request;
pub mod role;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
pub mod stream;
pub mod subscription;
pub mod tenant;
mod text;
pub mod usage;
pub mod violation;

pub use aggregate::{Aggregate, Due};
pub use event::Event;
pub use level::Level;
pub use principal::{Grants, Permission, Principal, Scope};
pub use stream::Stream;
pub use violation::Violation;
