//! Everything that can have happened, and how it is stored.
//!
//! An event's stored form is its JSON value; its type, `callboard.<noun>.<fact>.v<N>`, stands
//! beside it in the record's headers and is never repeated in the value. The `rename` of a
//! variant is that type without the first word, so code can be renamed safely. Of a type with
//! several versions the code knows the newest one; see `versions` for the others.

mod name;
mod schemas;
mod types;
mod versions;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, EnumAccess, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

pub(crate) use self::schemas::open;
pub use self::schemas::{Schemas, schema_documents};
pub use self::types::types;
use self::versions::Version;
use crate::level::Level;
use crate::personal::Personal;
use crate::{
    audit, customer, directory, entity, location, member, meter, plan, reaction, request, role,
    subscription, tenant, usage,
};

/// What every stored event type begins with.
pub const TYPE_PREFIX: &str = "callboard.";

/// Any event of any aggregate.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// Of the installation's directory.
    Directory(directory::Event),
    /// Of a tenant.
    Tenant(tenant::Event),
    /// Of a member.
    Member(member::Event),
    /// Of a role.
    Role(role::Event),
    /// Of a billing account.
    Customer(customer::Event),
    /// Of a catalog entity.
    Entity(entity::Event),
    /// Of a catalog location.
    Location(location::Event),
    /// Of a plan.
    Plan(plan::Event),
    /// Of a subscription.
    Subscription(subscription::Event),
    /// Of a meter.
    Meter(meter::Event),
    /// Of the tenant's usage.
    Usage(usage::Event),
    /// Of a reaction's bookkeeping.
    Reaction(reaction::Event),
    /// Of a request that changed nothing.
    Request(request::Event),
    /// Of the audit trail itself.
    Audit(audit::Event),
}

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    buffer: Vec<u8>,
    /// Where the type's name ends in `buffer`; it begins after `{"`.
    name_end: usize,
}

impl Encoded {
    fn from_parts(name: &str, value: &serde_json::Value) -> Self {
        let buffer = format!("{{\"{name}\":{value}}}").into_bytes();
        Self { buffer, name_end: 2 + name.len() }
    }

    /// The type, without [`TYPE_PREFIX`]: `<noun>.<fact>.v<N>`.
    #[must_use]
    pub fn name(&self) -> &str {
        std::str::from_utf8(&self.buffer[2..self.name_end]).expect("serde_json writes UTF-8")
    }

    /// The JSON value.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.buffer[self.name_end + 2..self.buffer.len() - 1]
    }
}

/// Why stored bytes are not an event this version knows.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The type names no known aggregate.
    #[error("unknown event type `{0}`")]
    UnknownType(String),
    /// The value does not fit the type.
    #[error("the value of an event of type `{name}` does not fit: {source}")]
    Value {
        /// The type.
        name: String,
        /// What does not fit.
        #[source]
        source: serde_json::Error,
    },
}

impl Event {
    /// The newest type, without [`TYPE_PREFIX`]: `<noun>.<fact>.v<N>`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.serialize(name::Name).expect("every event is an enum of struct variants")
    }

    /// The type it is written as at `level`, without [`TYPE_PREFIX`].
    #[must_use]
    pub fn name_at(&self, level: Level) -> &'static str {
        versions::name_at(versions::VERSIONS, self.name(), level)
    }

    /// Encodes the event for storage, in the version of its type that is written at `level`.
    ///
    /// # Errors
    ///
    /// If it holds personal data that is not sealed.
    pub fn encode(&self, level: Level) -> Result<Encoded, serde_json::Error> {
        versions::written(versions::VERSIONS, self.encode_newest()?, level)
    }

    fn encode_newest(&self) -> Result<Encoded, serde_json::Error> {
        let mut buffer = Vec::with_capacity(256);
        // Externally tagged: `{"<name>":<value>}`. The name holds no character JSON escapes.
        serde_json::to_writer(&mut buffer, self)?;
        let name_end = 2 + buffer[2..]
            .iter()
            .position(|it| *it == b'"')
            .expect("every variant has fields, so it is an object with one key");
        Ok(Encoded { buffer, name_end })
    }

    /// Decodes a stored event from its full type and its value, whichever version they are of.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the type is unknown or the value does not fit it.
    pub fn decode(full_type: &str, value: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_with(versions::VERSIONS, full_type, value)
    }

    fn decode_with(
        versions: &[Version],
        full_type: &str,
        value: &[u8],
    ) -> Result<Self, DecodeError> {
        let unknown = || DecodeError::UnknownType(full_type.to_owned());
        let name = full_type.strip_prefix(TYPE_PREFIX).ok_or_else(unknown)?;
        let old = versions::read(versions, name, value)
            .map_err(|source| DecodeError::Value { name: name.to_owned(), source })?;
        match &old {
            Some((name, value)) => Self::decode_newest(name, value).ok_or_else(unknown)?,
            None => Self::decode_newest(name, value).ok_or_else(unknown)?,
        }
    }

    /// None if it is of no known aggregate.
    fn decode_newest(name: &str, value: &[u8]) -> Option<Result<Self, DecodeError>> {
        let (noun, _) = name.split_once('.')?;
        Some(match noun {
            "directory" => decode(name, value).map(Self::Directory),
            "tenant" => decode(name, value).map(Self::Tenant),
            "member" => decode(name, value).map(Self::Member),
            "role" => decode(name, value).map(Self::Role),
            "customer" => decode(name, value).map(Self::Customer),
            "entity" => decode(name, value).map(Self::Entity),
            "location" => decode(name, value).map(Self::Location),
            "plan" => decode(name, value).map(Self::Plan),
            "subscription" => decode(name, value).map(Self::Subscription),
            "meter" => decode(name, value).map(Self::Meter),
            "usage" => decode(name, value).map(Self::Usage),
            "reaction" => decode(name, value).map(Self::Reaction),
            "request" => decode(name, value).map(Self::Request),
            "audit" => decode(name, value).map(Self::Audit),
            _ => return None,
        })
    }

    /// Every personal text in the event, for sealing and unsealing in place.
    pub fn personal_mut(&mut self) -> Vec<&mut Personal> {
        match self {
            Self::Member(event) => event.personal_mut(),
            Self::Customer(event) => event.personal_mut(),
            Self::Entity(event) => event.personal_mut(),
            Self::Directory(_)
            | Self::Tenant(_)
            | Self::Role(_)
            | Self::Location(_)
            | Self::Plan(_)
            | Self::Subscription(_)
            | Self::Meter(_)
            | Self::Usage(_)
            | Self::Reaction(_)
            | Self::Request(_)
            | Self::Audit(_) => Vec::new(),
        }
    }
}

fn decode<'de, E: Deserialize<'de>>(name: &'de str, value: &'de [u8]) -> Result<E, DecodeError> {
    let mut json = serde_json::Deserializer::from_slice(value);
    E::deserialize(Named { name, value: &mut json })
        .and_then(|event| json.end().map(|()| event))
        .map_err(|source| DecodeError::Value { name: name.to_owned(), source })
}

/// Presents a name and a JSON value as the enum variant of that name.
struct Named<'a, 'de> {
    name: &'de str,
    value: &'a mut serde_json::Deserializer<serde_json::de::SliceRead<'de>>,
}

impl<'de> Deserializer<'de> for Named<'_, 'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Named<'_, 'de> {
    type Error = serde_json::Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self), Self::Error> {
        let name: StrDeserializer<'_, serde_json::Error> =
            serde::de::IntoDeserializer::into_deserializer(self.name);
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Named<'_, 'de> {
    type Error = serde_json::Error;

    fn unit_variant(self) -> Result<(), Self::Error> {
        Deserialize::deserialize(self.value)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<S::Value, Self::Error> {
        seed.deserialize(self.value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Self::Error> {
        self.value.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.value.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests;
