//! Entity references: `[kind:][namespace/]name`.

use std::fmt;

/// The namespace of an entity that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

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
        // A `:` after the first `/` is part of the name.
        let kind_end = text.find([':', '/']).filter(|it| text[*it..].starts_with(':'));
        let (kind, rest) = match kind_end {
            Some(end) => (&text[..end], &text[end + 1..]),
            None => (default_kind.ok_or_else(malformed)?, text),
        };
        let (namespace, name) = rest.split_once('/').unwrap_or((default_namespace, rest));
        if kind.is_empty() || namespace.is_empty() || name.is_empty() {
            return Err(malformed());
        }
        let [kind, namespace, name] = [kind, namespace, name].map(str::to_owned);
        Ok(Self { kind, namespace, name })
    }

    /// The form that names the entity everywhere: `kind:namespace/name` in lower case.
    #[must_use]
    pub fn canonical(&self) -> String {
        self.to_string().to_lowercase()
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
