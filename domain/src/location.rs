//! A catalog location: where a set of entities comes from. When it goes, they follow.

use serde::{Deserialize, Serialize};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The location is known.
    #[serde(rename = "location.registered.v1")]
    Registered {
        /// `url` or `file`, as in Backstage.
        kind: LocationKind,
        /// The address, or the path relative to what was imported.
        target: String,
    },
    /// The location is gone; a reaction deregisters its entities.
    #[serde(rename = "location.deregistered.v1")]
    Deregistered {},
}

/// How a location's target is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocationKind {
    /// An address on the network.
    Url,
    /// A path in what was imported.
    File,
}
