//! A catalog location: where a set of entities comes from. When it goes, they follow.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;

/// The most bytes of a target: 2,048, what browsers and servers agree to as an address.
pub const TARGET_BYTES_MAX: usize = 2_048;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = crate::event::open)]
pub enum LocationKind {
    /// An address on the network.
    Url,
    /// A path in what was imported.
    File,
}

/// What is true now. What kind and target it has is in its identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Location {
    /// It never was known.
    #[default]
    NotRegistered,
    /// It is known.
    Registered,
    /// It was known.
    Deregistered,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make the location known.
    Register {
        /// How its target is read.
        kind: LocationKind,
        /// Its target.
        target: String,
    },
    /// Forget it.
    Deregister,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The target is not an address on the network.
    #[error("expected an address like `https://example.com/catalog-info.yaml`, got `{0}`")]
    Url(String),
    /// The target would put a password into the log for ever.
    #[error("expected an address without user name and password; give them to the integration")]
    Credentials,
    /// The target is not a path within what was imported.
    #[error("expected a path below the imported folder like `team/catalog-info.yaml`, got `{0}`")]
    File(String),
    /// The target is longer than [`TARGET_BYTES_MAX`].
    #[error("expected a target of at most {TARGET_BYTES_MAX} bytes, got {0}")]
    TooLong(usize),
}

impl Rejection {
    /// A stable code in upper case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Url(_) => "LOCATION_NOT_ADDRESS",
            Self::Credentials => "LOCATION_HAS_CREDENTIALS",
            Self::File(_) => "LOCATION_NOT_PATH",
            Self::TooLong(_) => "LOCATION_TOO_LONG",
        }
    }
}

impl LocationKind {
    /// The kind as Backstage writes it, before the `:` of `type:target`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::File => "file",
        }
    }

    /// Says whether `target` is one of this kind.
    ///
    /// # Errors
    ///
    /// [`Rejection`] says why not.
    pub fn check(self, target: &str) -> Result<(), Rejection> {
        if target.len() > TARGET_BYTES_MAX {
            return Err(Rejection::TooLong(target.len()));
        }
        match self {
            Self::Url => check_url(target),
            Self::File => check_path(target),
        }
    }
}

impl Aggregate for Location {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _now: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
        use Location::{Deregistered, NotRegistered, Registered};

        match (self, command) {
            (NotRegistered | Deregistered, Command::Register { kind, target }) => {
                kind.check(target)?;
                Ok(vec![Event::Registered { kind: *kind, target: target.clone() }])
            }
            (Registered, Command::Register { .. })
            | (NotRegistered | Deregistered, Command::Deregister) => Ok(Vec::new()),
            (Registered, Command::Deregister) => Ok(vec![Event::Deregistered {}]),
        }
    }

    fn evolve(&mut self, event: &Event) {
        *self = match event {
            Event::Registered { .. } => Self::Registered,
            Event::Deregistered {} => Self::Deregistered,
        };
    }
}

fn check_url(target: &str) -> Result<(), Rejection> {
    let malformed = || Rejection::Url(shown(target));
    let (scheme, rest) = target.split_once("://").ok_or_else(malformed)?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return Err(Rejection::Credentials);
    }
    let is_clean = !target.contains(|it: char| it.is_whitespace() || it.is_control() || it == '\\');
    let is_known = ["http", "https"].iter().any(|it| it.eq_ignore_ascii_case(scheme));
    let has_host = host.starts_with(|it: char| it.is_alphanumeric() || it == '[');
    if is_known && has_host && is_clean { Ok(()) } else { Err(malformed()) }
}

fn check_path(target: &str) -> Result<(), Rejection> {
    let stays = target.split('/').all(|it| !it.is_empty() && it != "..");
    let is_plain = !target.contains(|it: char| it.is_control() || matches!(it, '\\' | ':'));
    if stays && is_plain { Ok(()) } else { Err(Rejection::File(shown(target))) }
}

fn shown(target: &str) -> String {
    target.chars().take(256).collect()
}

#[cfg(test)]
mod tests;
