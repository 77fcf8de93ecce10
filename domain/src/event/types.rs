//! Every type of event there is, asked of serde, which knows the variants of each aggregate's
//! events: so no list of them can be out of date.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::versions::VERSIONS;
use crate::{
    audit, customer, directory, entity, location, member, meter, plan, reaction, request, role,
    subscription, tenant, usage,
};

/// All types, older versions too, without [`TYPE_PREFIX`](super::TYPE_PREFIX).
pub fn types() -> impl Iterator<Item = &'static str> {
    let newest = [
        variants::<directory::Event>(),
        variants::<tenant::Event>(),
        variants::<member::Event>(),
        variants::<role::Event>(),
        variants::<customer::Event>(),
        variants::<entity::Event>(),
        variants::<location::Event>(),
        variants::<plan::Event>(),
        variants::<subscription::Event>(),
        variants::<meter::Event>(),
        variants::<usage::Event>(),
        variants::<reaction::Event>(),
        variants::<request::Event>(),
        variants::<audit::Event>(),
    ];
    let older = VERSIONS.iter().map(|it| it.before);
    newest.into_iter().flatten().copied().chain(older)
}

/// What the variants of an enum are called when it is stored.
fn variants<'de, E: Deserialize<'de>>() -> &'static [&'static str] {
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
