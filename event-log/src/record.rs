//! One entry of the log: a `CloudEvents` 1.0 event in binary mode.
//!
//! A [`Record`] is one immutable buffer: the canonical bytes that the chain covers, exactly as
//! stored. Attributes are slices of it, so nothing is ever re-serialised to store, send or
//! verify a record. It is *not* a parsed event: the value is opaque bytes here.

use bytes::{BufMut, Bytes, BytesMut};

use crate::chain::Link;
use crate::port::Recorded;

mod attribute;
#[cfg(test)]
mod tests;

pub use attribute::Attribute;

/// First bytes of every canonical form; names the format and its version.
pub const CANONICAL_MAGIC: &[u8] = b"callboard-v1";

/// The largest value of one record on every adapter. In bytes: 256 KiB.
///
/// Larger content goes to the blob store; the event carries its keyed hash and length.
pub const VALUE_BYTES_MAX: usize = 256 * 1024;

/// The largest single attribute. In bytes: 4 KiB.
pub const ATTRIBUTE_BYTES_MAX: usize = 4 * 1024;

/// The longest canonical form that fits these limits. In bytes: about 325 KiB.
pub const CANONICAL_BYTES_MAX: usize = CANONICAL_MAGIC.len()
    + Attribute::ALL.len() * (LENGTH_BYTES + ATTRIBUTE_BYTES_MAX)
    + LENGTH_BYTES
    + VALUE_BYTES_MAX;

/// Number of length-prefixed parts of a canonical form: every attribute, then the value.
const PARTS: usize = Attribute::ALL.len() + 1;

/// Bytes of the length in front of each part.
const LENGTH_BYTES: usize = 4;

/// Why bytes are not a record, or a draft cannot become one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The buffer does not begin with the magic of a known format.
    #[error("expected a record that begins with `callboard-v1`")]
    Magic,
    /// The buffer ends inside a part, or goes on after the last one.
    #[error(
        "expected {PARTS} length-prefixed parts, the buffer of {bytes} bytes does not hold them"
    )]
    Shape {
        /// Length of the offending buffer.
        bytes: usize,
    },
    /// An attribute is not UTF-8.
    #[error("attribute `{0}` is not UTF-8")]
    Encoding(&'static str),
    /// An attribute is longer than [`ATTRIBUTE_BYTES_MAX`].
    #[error("attribute `{name}` has {bytes} bytes, at most {ATTRIBUTE_BYTES_MAX} fit")]
    AttributeTooLarge {
        /// Header name of the attribute.
        name: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The value is longer than [`VALUE_BYTES_MAX`].
    #[error("the value has {0} bytes, at most {VALUE_BYTES_MAX} fit")]
    ValueTooLarge(usize),
}

/// Everything a record will say, before it is chained.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// The attributes, in the order of [`Attribute::ALL`].
    pub attributes: [&'a str; Attribute::ALL.len()],
    /// The stored value, already encrypted if the deployment says so.
    pub value: &'a [u8],
}

/// One immutable entry of the log.
///
/// Cloning is cheap: the buffer is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    canonical: Bytes,
    /// Where each part ends in `canonical`; a part begins [`LENGTH_BYTES`] after the one before.
    ends: [u32; PARTS],
    link: Link,
    traceparent: Option<Box<str>>,
}

impl Record {
    /// Encodes `draft`, links it after `previous` and remembers `traceparent` beside it.
    ///
    /// # Errors
    ///
    /// [`RecordError::AttributeTooLarge`] or [`RecordError::ValueTooLarge`].
    pub fn seal(
        draft: &Draft<'_>,
        previous: Link,
        traceparent: Option<&str>,
    ) -> Result<Self, RecordError> {
        let canonical = encode(draft)?;
        let link = previous.then(&canonical);
        Self::from_stored(canonical, link, traceparent)
    }

    /// Takes a record back from storage: its canonical bytes and what was stored beside them.
    ///
    /// The link is taken as stored; [`Link::then`] says whether it is the right one.
    ///
    /// # Errors
    ///
    /// [`RecordError::Magic`], [`RecordError::Shape`] or [`RecordError::Encoding`] if the bytes
    /// are not a record, [`RecordError::AttributeTooLarge`] if `traceparent` is none.
    pub fn from_stored(
        canonical: Bytes,
        link: Link,
        traceparent: Option<&str>,
    ) -> Result<Self, RecordError> {
        if let Some(bytes) = traceparent.map(str::len).filter(|it| *it > ATTRIBUTE_BYTES_MAX) {
            return Err(RecordError::AttributeTooLarge { name: "traceparent", bytes });
        }
        let ends = parse(&canonical)?;
        Ok(Self { canonical, ends, link, traceparent: traceparent.map(Into::into) })
    }

    /// Takes a record back from an adapter that stores its parts: the same bytes as before.
    ///
    /// # Errors
    ///
    /// As for [`Record::seal`].
    pub(crate) fn rebuilt(
        draft: &Draft<'_>,
        link: Link,
        traceparent: Option<&str>,
    ) -> Result<Self, RecordError> {
        Self::from_stored(encode(draft)?, link, traceparent)
    }

    /// The bytes the chain and the Merkle leaf are made of.
    #[must_use]
    pub fn canonical(&self) -> &Bytes {
        &self.canonical
    }

    /// The link of the tenant's chain that ends with this record.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link
    }

    /// W3C trace context of the request that caused the record, if it was traced.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }

    /// The text of one attribute.
    #[must_use]
    pub fn attribute(&self, attribute: Attribute) -> &str {
        let view = View { canonical: &self.canonical, ends: self.ends };
        view.attribute(attribute)
    }

    /// The stored value.
    #[must_use]
    pub fn value(&self) -> Bytes {
        self.canonical.slice(part(&self.ends, PARTS - 1))
    }

    /// The same, borrowed.
    pub(crate) fn value_bytes(&self) -> &[u8] {
        &self.canonical[part(&self.ends, PARTS - 1)]
    }

    /// Which record of its command this is and how many there are, by [`Attribute::BatchPos`]. A
    /// record that does not say so stands alone.
    pub(crate) fn place(&self) -> (u32, u32) {
        let text = self.attribute(Attribute::BatchPos);
        let parts = text.split_once('/');
        let numbers = parts.and_then(|(n, m)| Some((n.parse().ok()?, m.parse().ok()?)));
        numbers.unwrap_or((1, 1))
    }

    /// Whether this is the last record of its command, by [`Attribute::BatchPos`]. A record
    /// that does not say so stands alone.
    #[must_use]
    pub fn ends_command(&self) -> bool {
        self.attribute(Attribute::BatchPos).split_once('/').is_none_or(|(n, m)| n == m)
    }
}

/// A record where its canonical bytes lie, for who reads many and keeps none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    canonical: &'a [u8],
    ends: [u32; PARTS],
}

impl<'a> View<'a> {
    /// # Errors
    ///
    /// [`RecordError::Magic`], [`RecordError::Shape`] or [`RecordError::Encoding`].
    pub(crate) fn of(canonical: &'a [u8]) -> Result<Self, RecordError> {
        Ok(Self { canonical, ends: parse(canonical)? })
    }

    pub(crate) fn attribute(&self, attribute: Attribute) -> &'a str {
        let part = &self.canonical[part(&self.ends, attribute as usize)];
        std::str::from_utf8(part).expect("attributes were checked when the record was made")
    }
}

/// Where a part lies.
fn part(ends: &[u32; PARTS], index: usize) -> std::ops::Range<usize> {
    let before = match index {
        0 => CANONICAL_MAGIC.len(),
        _ => ends[index - 1] as usize,
    };
    before + LENGTH_BYTES..ends[index] as usize
}

/// How many of `records` to hand out at once: about `records_max`, never half a command.
pub(crate) fn whole_commands(records: &[Recorded], records_max: usize) -> usize {
    let at_least = records_max.max(1);
    let ends = records.iter().skip(at_least - 1).position(|it| it.record.ends_command());
    ends.map_or(records.len(), |it| at_least + it)
}

fn encode(draft: &Draft<'_>) -> Result<Bytes, RecordError> {
    if draft.value.len() > VALUE_BYTES_MAX {
        return Err(RecordError::ValueTooLarge(draft.value.len()));
    }
    for (attribute, text) in Attribute::ALL.iter().zip(draft.attributes) {
        if text.len() > ATTRIBUTE_BYTES_MAX {
            let name = attribute.header();
            return Err(RecordError::AttributeTooLarge { name, bytes: text.len() });
        }
    }
    let texts: usize = draft.attributes.iter().map(|it| it.len()).sum();
    let bytes = CANONICAL_MAGIC.len() + PARTS * LENGTH_BYTES + texts + draft.value.len();
    let mut buffer = BytesMut::with_capacity(bytes);
    buffer.put_slice(CANONICAL_MAGIC);
    for part in draft.attributes.iter().map(|it| it.as_bytes()).chain([draft.value]) {
        buffer.put_u32(u32::try_from(part.len()).expect("parts are limited above"));
        buffer.put_slice(part);
    }
    Ok(buffer.freeze())
}

fn parse(canonical: &[u8]) -> Result<[u32; PARTS], RecordError> {
    let shape = || RecordError::Shape { bytes: canonical.len() };
    if !canonical.starts_with(CANONICAL_MAGIC) {
        return Err(RecordError::Magic);
    }
    let mut ends = [0; PARTS];
    let mut at = CANONICAL_MAGIC.len();
    for end in &mut ends {
        let length = canonical.get(at..at + LENGTH_BYTES).ok_or_else(shape)?;
        let length = u32::from_be_bytes(length.try_into().expect("the slice has four bytes"));
        at = at + LENGTH_BYTES + length as usize;
        if at > canonical.len() {
            return Err(shape());
        }
        *end = u32::try_from(at).map_err(|_| shape())?;
    }
    if at != canonical.len() {
        return Err(shape());
    }
    check_text(canonical, &ends)?;
    Ok(ends)
}

/// Fails on the first attribute that is not UTF-8.
fn check_text(canonical: &[u8], ends: &[u32; PARTS]) -> Result<(), RecordError> {
    // Nearly all attributes are ASCII, and so are their lengths: one pass over everything in
    // front of the value answers for all of them.
    if canonical[..ends[Attribute::ALL.len() - 1] as usize].is_ascii() {
        return Ok(());
    }
    let mut start = CANONICAL_MAGIC.len() + LENGTH_BYTES;
    for (attribute, end) in Attribute::ALL.iter().zip(ends) {
        let end = *end as usize;
        std::str::from_utf8(&canonical[start..end])
            .map_err(|_| RecordError::Encoding(attribute.header()))?;
        start = end + LENGTH_BYTES;
    }
    Ok(())
}
