//! Which version of an event type is written at which level, and how older ones are read.
//!
//! The rest of the code knows the newest version of each type only. A new one is a row of
//! [`VERSIONS`]; it is written from its level on, and until then as the version before it, which
//! older processes read too. Whatever is read in an older version is brought up to the newest one,
//! here and nowhere else.

use serde_json::Value;

use super::Encoded;
use crate::level::Level;

/// A version of an event type that has taken the place of another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    /// Its type, as in the `rename` of its variant.
    pub(super) name: &'static str,
    /// The type it has taken the place of.
    pub(super) before: &'static str,
    /// What a value of that looks like: its published schema, for no type of ours says it any more.
    pub(super) schema_before: &'static str,
    /// The level from which on it is written.
    pub(super) since: Level,
    /// Makes a value of it from one of the version before.
    pub(super) upcast: fn(&mut Value),
    /// Makes a value of the version before from one of it.
    pub(super) downcast: fn(&mut Value),
}

/// Every version that is not the first of its type.
pub(super) const VERSIONS: &[Version] = &[
    #[cfg(feature = "next")]
    REHEARSED,
];

/// What the next version of Callboard is made to write, to rehearse an upgrade: one field has
/// another name.
#[cfg(feature = "next")]
const REHEARSED: Version = Version {
    name: "customer.opened.v2",
    before: "customer.opened.v1",
    schema_before: include_str!("../../../schemas/events/customer.opened.v1.schema.json"),
    since: Level(2),
    upcast: |it| rename(it, "currency", "billed_in"),
    downcast: |it| rename(it, "billed_in", "currency"),
};

/// Gives a field of an object another name.
#[cfg(any(test, feature = "next"))]
fn rename(value: &mut Value, from: &str, to: &str) {
    if let Some(object) = value.as_object_mut()
        && let Some(moved) = object.remove(from)
    {
        object.insert(to.to_owned(), moved);
    }
}

/// What is written of the newest version at `level`.
pub(super) fn written(
    versions: &[Version],
    newest: Encoded,
    level: Level,
) -> Result<Encoded, serde_json::Error> {
    let Some(version) = later(versions, newest.name(), level) else { return Ok(newest) };
    let mut value = serde_json::from_slice(newest.value())?;
    (version.downcast)(&mut value);
    let before = Encoded::from_parts(version.before, &value);
    written(versions, before, level)
}

/// The type that the newest version, `name`, is written as at `level`.
pub(super) fn name_at(versions: &[Version], name: &'static str, level: Level) -> &'static str {
    match later(versions, name, level) {
        Some(version) => name_at(versions, version.before, level),
        None => name,
    }
}

/// The version of this name, if it is not written yet.
fn later<'v>(versions: &'v [Version], name: &str, level: Level) -> Option<&'v Version> {
    versions.iter().find(|it| it.since > level && it.name == name)
}

/// What was stored as `name`, as the newest version. None if it is that already.
pub(super) fn read(
    versions: &[Version],
    name: &str,
    value: &[u8],
) -> Result<Option<(&'static str, Vec<u8>)>, serde_json::Error> {
    let after = |name: &str| versions.iter().find(|it| it.before == name);
    let Some(mut version) = after(name) else { return Ok(None) };
    let mut value = serde_json::from_slice(value)?;
    loop {
        (version.upcast)(&mut value);
        match after(version.name) {
            Some(next) => version = next,
            None => return Ok(Some((version.name, value.to_string().into_bytes()))),
        }
    }
}

#[cfg(test)]
mod tests;
