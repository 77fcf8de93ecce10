//! What a tenant is called where people read it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A display name: 1 to 120 characters on one line, trimmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("minLength" = 1, "maxLength" = 120))]
pub struct Name(Box<str>);

/// Why a text is not a display name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a name of 1 to 120 characters on one line, got `{0}`")]
pub struct NameError(String);

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let trimmed = text.trim();
        let fits = (1..=120).contains(&trimmed.chars().count())
            && !trimmed.contains(|it: char| it.is_control());
        if fits {
            Ok(Self(trimmed.into()))
        } else {
            Err(NameError(text.chars().take(140).collect()))
        }
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.into()
    }
}
