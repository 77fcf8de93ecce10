//! Entity references: `[kind:][namespace/]name`.

use std::fmt;

use super::names;

/// The namespace of an entity that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// The most bytes of a reference in a descriptor: 255, more than any that can be in a catalog has.
/// Databases keep references in the order of their text, and cannot do so with long ones.
pub const REFERENCE_BYTES_MAX: usize = 255;

/// A full reference, with the case it was written in. Compares in lower case.
#[derive(Clone, Debug)]
pub struct EntityRef {
    /// The kind, say `Component`.
    pub kind: String,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// Why a text is not a reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `kind:namespace/name`, got `{0}`")]
pub struct ReferenceError(pub String);

impl EntityRef {
    /// Reads `text`, taking what it leaves out from the defaults. Without a default kind, the
    /// kind must be there.
    ///
    /// What follows the first `:` and the first `/` after it belongs to the name, whatever it
    /// is: Backstage reads it so, and such a reference simply finds nothing.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`] if a part is missing or empty.
    pub fn parse(
        text: &str,
        default_kind: Option<&str>,
        default_namespace: &str,
    ) -> Result<Self, ReferenceError> {
        let malformed = || ReferenceError(text.chars().take(256).collect());
        let Parts { kind, namespace, name } =
            Parts::parse(text, default_kind, default_namespace).ok_or_else(malformed)?;
        let [kind, namespace, name] = [kind, namespace, name].map(str::to_owned);
        Ok(Self { kind, namespace, name })
    }

    /// Whether a descriptor can say that it is the entity named so. What cannot be is never in a
    /// catalog.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        let namespace = self.namespace.to_ascii_lowercase();
        names::is_name(&self.kind) && names::is_namespace(&namespace) && names::is_name(&self.name)
    }

    /// The form that names the entity everywhere: `kind:namespace/name` in lower case.
    #[must_use]
    pub fn canonical(&self) -> String {
        let Self { kind, namespace, name } = self;
        let mut text = [kind, ":", namespace, "/", name].concat();
        if text.is_ascii() {
            text.make_ascii_lowercase();
            return text;
        }
        text.to_lowercase()
    }
}

/// The parts of a reference, as slices of the text they were read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

impl<'a> Parts<'a> {
    /// As [`EntityRef::parse`].
    pub(super) fn parse(
        text: &'a str,
        default_kind: Option<&'a str>,
        default_namespace: &'a str,
    ) -> Option<Self> {
        // A `:` after the first `/` is part of the name.
        let kind_end = text.find([':', '/']).filter(|it| text[*it..].starts_with(':'));
        let (kind, rest) = match kind_end {
            Some(end) => (&text[..end], &text[end + 1..]),
            None => (default_kind?, text),
        };
        let (namespace, name) = rest.split_once('/').unwrap_or((default_namespace, rest));
        let is_whole = !kind.is_empty() && !namespace.is_empty() && !name.is_empty();
        is_whole.then_some(Self { kind, namespace, name })
    }

    /// The canonical form, as [`EntityRef::canonical`].
    pub(super) fn canonical(self) -> String {
        let [kind, namespace, name] = [self.kind, self.namespace, self.name].map(str::to_owned);
        EntityRef { kind, namespace, name }.canonical()
    }
}

impl fmt::Display for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.kind, self.namespace, self.name)
    }
}

impl PartialEq for EntityRef {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}

impl Eq for EntityRef {}

#[cfg(test)]
mod tests;
