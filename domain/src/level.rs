//! The cluster's level: which versions of events may be written.
//!
//! Processes of two versions of Callboard can share a log, and an older one can be put back, for as
//! long as nobody writes what the older one cannot read. So a new version of an event is written
//! only from the level on that it came with, and an operator raises the level once no older process
//! is left. The level is recorded in the [directory](crate::directory), which every process follows;
//! one that has not heard of it yet writes what was written before, which everybody reads.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A level. The higher one is the later one.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Level(pub u32);

impl Level {
    /// What an installation has where none is recorded.
    pub const FIRST: Self = Self(1);

    /// The highest that this version of Callboard speaks: it writes and reads everything up to it.
    pub const SPOKEN: Self = if cfg!(feature = "next") { Self(2) } else { Self(1) };

    /// The lowest that this version of Callboard speaks: it no longer writes what came before.
    pub const LOWEST: Self = Self(1);

    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
