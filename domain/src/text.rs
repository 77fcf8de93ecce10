//! Reading a value from its text form without a copy of the text, and what keys look like.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// Whether `text` may be a key that a tenant names something by: at most 64 lower-case letters,
/// digits, `.`, `_` and `-`, a letter first.
pub(crate) fn is_key(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|it: char| it.is_ascii_lowercase())
        && text.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
}

/// What such a key looks like, as a regular expression.
pub(crate) const KEY_PATTERN: &str = "^[a-z][a-z0-9._-]{0,63}$";

/// Reads what is stored as a string by parsing it.
pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_str(Text(PhantomData))
}

struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err: Display>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}
