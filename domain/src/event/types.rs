//! Every type of event there is, asked of serde, which knows the variants of each aggregate's
//! events: so no list of them can be out of date.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};

use super::versions::VERSIONS;
use crate::{
    audit, customer, directory, entity, location, member, meter, plan, reaction, request, role,
    subscription, tenant, usage,
};

/// What can be asked of the events of one aggregate.
pub(super) struct Noun {
    /// What its types are called, without [`TYPE_PREFIX`](super::TYPE_PREFIX).
    pub(super) types: fn() -> &'static [&'static str],
    /// What they look like: an object with one key for each type.
    pub(super) schema: fn(&mut SchemaGenerator) -> Schema,
}

/// Every aggregate that has events.
pub(super) const NOUNS: [Noun; 14] = [
    noun::<directory::Event>(),
    noun::<tenant::Event>(),
    noun::<member::Event>(),
    noun::<role::Event>(),
    noun::<customer::Event>(),
    noun::<entity::Event>(),
    noun::<location::Event>(),
    noun::<plan::Event>(),
    noun::<subscription::Event>(),
    noun::<meter::Event>(),
    noun::<usage::Event>(),
    noun::<reaction::Event>(),
    noun::<request::Event>(),
    noun::<audit::Event>(),
];

const fn noun<E: DeserializeOwned + JsonSchema>() -> Noun {
    Noun { types: variants::<E>, schema: E::json_schema }
}

/// All types, older versions too, without [`TYPE_PREFIX`](super::TYPE_PREFIX).
pub fn types() -> impl Iterator<Item = &'static str> {
    let newest = NOUNS.iter().flat_map(|it| (it.types)()).copied();
    newest.chain(VERSIONS.iter().map(|it| it.before))
}

/// What the variants of an enum are called when it is stored.
fn variants<E: DeserializeOwned>() -> &'static [&'static str] {
    E::deserialize(Asked).err().map_or(&[], |it| it.0)
}

/// A deserializer that has nothing to offer: it fails with the variants it was asked for.
struct Asked;

/// The variants that were asked for.
#[derive(Debug)]
struct Variants(&'static [&'static str]);

impl fmt::Display for Variants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Variants {}

impl Error for Variants {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for Asked {
    type Error = Variants;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Variants> {
        Err(Variants(&[]))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Variants> {
        Err(Variants(variants))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
