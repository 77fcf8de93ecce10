//! What a caller proves with who it is, kept to be shown to the process that decides. Never shown
//! to anybody else.

use std::fmt;
use std::sync::Arc;

const SCHEME: &str = "Bearer ";

/// A credential as it is put into `Authorization`. Cheap to clone; it has no text form for logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(Arc<str>);

impl Credential {
    /// That of whoever bears `token`.
    #[must_use]
    pub fn bearer(token: &str) -> Self {
        Self(format!("{SCHEME}{token}").into())
    }

    /// What is borne.
    pub(crate) fn token(&self) -> &str {
        &self.0[SCHEME.len()..]
    }

    /// The value of `Authorization`.
    #[must_use]
    pub fn authorization(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}
