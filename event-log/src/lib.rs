//! Ordered facts: an append-only log split into partitions.
//!
//! This crate knows how records are framed, chained, stored and read back in order. It does
//! **not** know what a record means: a tenant, a type or an actor is text to it.
//!
//! Start at [`port`] for the contract every adapter keeps, at [`record`] for what one entry is,
//! and at [`chain`] for how tampering shows; [`tree`], [`note`], [`checkpoint`] and [`export`] show it to
//! who has a file and nothing else. Adapters: [`memory`] (tests), [`embedded`] (one
//! machine, segment files), [`kafka`] (a cluster, any number of processes). [`membership`] is how
//! processes share the partitions out. `conformance` is the contract as a test suite; an adapter
//! is done when it passes.

pub mod chain;
pub mod checkpoint;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod embedded;
pub mod export;
mod identity;
pub mod kafka;
mod limits;
pub mod membership;
pub mod memory;
pub mod note;
pub mod port;
pub mod record;
pub mod trace;
pub mod tree;

pub use chain::Link;
pub use embedded::EmbeddedLog;
pub use kafka::KafkaLog;
pub use limits::{READERS_OF_ONE_MAX, readers_max};
pub use membership::{Handover, Membership, Owners, Turn};
pub use memory::MemoryLog;
pub use port::{
    AppendError, Batch, ClaimError, EventLog, LogError, Partition, Position, Reader, Recorded,
    Snapshot, SnapshotChunk, SnapshotWriter, Writer,
};
pub use record::{Attribute, Draft, Record, RecordError};
