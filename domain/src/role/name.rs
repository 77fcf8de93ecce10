//! How roles are named and stored.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::BuiltIn;
use crate::id::{IdError, RoleId};

/// What a role is called, say `payments-team`: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = crate::text::KEY_PATTERN))]
pub struct RoleName(Box<str>);

/// Why a text is not the name of a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the name of a role like `developer`, got `{0}`")]
pub struct RoleNameError(String);

impl RoleName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The built-in role of this name, if there is one.
    #[must_use]
    pub fn built_in(&self) -> Option<BuiltIn> {
        BuiltIn::ALL.iter().copied().find(|it| it.name() == &*self.0)
    }
}

impl FromStr for RoleName {
    type Err = RoleNameError;

    fn from_str(text: &str) -> Result<Self, RoleNameError> {
        if crate::text::is_key(text) {
            Ok(Self(text.into()))
        } else {
            Err(RoleNameError(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for RoleName {
    type Error = RoleNameError;

    fn try_from(text: String) -> Result<Self, RoleNameError> {
        text.parse()
    }
}

impl From<RoleName> for String {
    fn from(name: RoleName) -> Self {
        name.0.into()
    }
}

impl From<BuiltIn> for RoleName {
    fn from(role: BuiltIn) -> Self {
        Self(role.name().into())
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A role as events name it: `owner`, or `rol_…` for one of the tenant's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleRef {
    /// One that every tenant has.
    BuiltIn(BuiltIn),
    /// One that the tenant has defined.
    Own(RoleId),
}

impl fmt::Display for RoleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(role) => f.write_str(role.name()),
            Self::Own(role) => role.fmt(f),
        }
    }
}

impl FromStr for RoleRef {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match BuiltIn::ALL.iter().find(|it| it.name() == text) {
            Some(role) => Ok(Self::BuiltIn(*role)),
            None => text.parse().map(Self::Own),
        }
    }
}

impl Serialize for RoleRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for RoleRef {
    fn schema_name() -> Cow<'static, str> {
        "RoleRef".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let built_in: Vec<_> = BuiltIn::ALL.iter().map(|it| it.name()).collect();
        let mut built_in = json_schema!({ "type": "string", "enum": built_in });
        crate::event::open(&mut built_in);
        json_schema!({
            "description": "A role: `owner`, or `rol_…` for one of the tenant's own.",
            "anyOf": [built_in, generator.subschema_for::<RoleId>()],
        })
    }
}

impl<'de> Deserialize<'de> for RoleRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::deserialize(deserializer)
    }
}
