//! Between events and records: how a decision is written, and how it is read back.
//!
//! Writing allocates nothing per attribute: all texts of a record share one buffer that is
//! reused. Reading is the one place where a record becomes an event again; values that are
//! stored encrypted are opened here.

use std::fmt::Write as _;
use std::ops::Range;

use chrono::{DateTime, SecondsFormat, Utc};
use domain::event::{DecodeError, TYPE_PREFIX};
use domain::id::{ActorId, CommandId, EventId, IdError, TenantId};
use domain::{Event, Level, Stream};
use event_log::{Attribute, Draft, Link, Record, RecordError};
use uuid::Uuid;
use vault::tenant_keys::{SEALED, ValueForged};
use vault::{Keyring, KeyringError, TenantKeys};

use crate::idempotency::RequestHash;
use crate::settings::Values;

/// The media type of a value stored as it is.
const PLAIN: &str = "application/json";

/// What all records of one request have in common.
#[derive(Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) command: CommandId,
    pub(crate) request: Option<RequestHash>,
    pub(crate) correlation: Uuid,
    /// The event that led to it; none if the command itself did.
    pub(crate) causation: Option<EventId>,
    pub(crate) actor: ActorId,
    pub(crate) traceparent: Option<&'a str>,
}

/// What is particular about one record.
#[derive(Debug)]
pub(crate) struct Fact<'a> {
    pub(crate) stream: Stream,
    pub(crate) revision: u64,
    pub(crate) sequence: u64,
    /// Its place in its request, from 1, and how many there are.
    pub(crate) place: (usize, usize),
    pub(crate) event: &'a Event,
    pub(crate) previous: Link,
}

/// Why an event could not be written. A fault of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("an event cannot be encoded")]
    Encode(#[from] serde_json::Error),
    #[error("an event does not fit a record")]
    Record(#[from] RecordError),
}

/// Writes records.
#[derive(Debug)]
pub(crate) struct RecordWriter {
    source: String,
    values: Values,
    /// The texts of the record being written.
    texts: String,
    time: String,
    level: Level,
    ids: EventIds,
}

impl RecordWriter {
    pub(crate) fn new(source: String, values: Values) -> Self {
        let (texts, time) = (String::with_capacity(1024), String::new());
        Self { source, values, texts, time, level: Level::FIRST, ids: EventIds::default() }
    }

    /// Everything written from now on was recorded at `now`, as of `level`.
    pub(crate) fn at(&mut self, now: DateTime<Utc>, level: Level) {
        self.time = now.to_rfc3339_opts(SecondsFormat::Micros, true);
        self.level = level;
        self.ids.at(now);
    }

    /// The level that events are written as of.
    pub(crate) fn level(&self) -> Level {
        self.level
    }

    /// Writes one record.
    pub(crate) fn write(
        &mut self,
        origin: &Origin<'_>,
        fact: &Fact<'_>,
        keys: &TenantKeys,
    ) -> Result<(EventId, Record), WriteError> {
        let id = self.ids.next();
        let encoded = fact.event.encode(self.level)?;
        let content_type = self.content_type();
        let mut texts = Texts::new(&mut self.texts);
        let tenant = texts.add_id(TenantId::PREFIX, origin.tenant.0);
        let subject = texts.add(format_args!("{}", fact.stream));
        let command = match origin.request {
            None => texts.add_id(CommandId::PREFIX, origin.command.0),
            Some(RequestHash(hash)) => texts.add(format_args!("{}.{hash:016x}", origin.command)),
        };
        let ranges = [
            texts.add_texts(&["1.0"]),
            texts.add_id(EventId::PREFIX, id.0),
            texts.add_texts(&[TYPE_PREFIX, encoded.name()]),
            texts.add_texts(&[&self.source]),
            subject.clone(),
            texts.add_texts(&[&self.time]),
            texts.add_texts(&["/schemas/events/", encoded.name(), ".json"]),
            tenant.clone(),
            tenant,
            texts.add(format_args!("{}", fact.sequence)),
            texts.add(format_args!("{}", fact.revision)),
            texts.add(format_args!("{}/{}", fact.place.0, fact.place.1)),
            command,
            texts.add(format_args!("{}", origin.correlation)),
            match origin.causation {
                None => texts.add_id(CommandId::PREFIX, origin.command.0),
                Some(event) => texts.add_id(EventId::PREFIX, event.0),
            },
            texts.add_id(ActorId::PREFIX, origin.actor.0),
            texts.add_texts(&[content_type]),
        ];
        let text = |range: Range<usize>| &self.texts[range];
        let sealed;
        let value = match self.values {
            Values::Plain => encoded.value(),
            Values::Sealed => {
                sealed = keys.seal_value(text(subject), fact.sequence, encoded.value());
                &sealed
            }
        };
        let draft = Draft { attributes: ranges.map(text), value };
        Ok((id, Record::seal(&draft, fact.previous, origin.traceparent)?))
    }

    fn content_type(&self) -> &'static str {
        match self.values {
            Values::Plain => PLAIN,
            Values::Sealed => SEALED,
        }
    }
}

/// Appends texts to one buffer and remembers where each is.
struct Texts<'a>(&'a mut String);

impl<'a> Texts<'a> {
    fn new(buffer: &'a mut String) -> Self {
        buffer.clear();
        Self(buffer)
    }

    /// An identity in its text form, written directly: there are six of them in a record.
    fn add_id(&mut self, prefix: &str, id: Uuid) -> Range<usize> {
        let mut digits = [0; uuid::fmt::Simple::LENGTH];
        self.add_texts(&[prefix, "_", id.as_simple().encode_lower(&mut digits)])
    }

    fn add_texts(&mut self, texts: &[&str]) -> Range<usize> {
        let start = self.0.len();
        texts.iter().for_each(|it| self.0.push_str(it));
        start..self.0.len()
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) -> Range<usize> {
        let start = self.0.len();
        self.0.write_fmt(text).expect("writing to a string cannot fail");
        start..self.0.len()
    }
}

/// Identities of events: `UUIDv7`s of the recorded time that grow within a batch.
///
/// The random part is drawn once per batch and then counted up (RFC 9562 §6.2, method 2).
#[derive(Debug, Default)]
struct EventIds(u128);

/// The bits of a `UUIDv7` that are counted up: the last 62, all random.
const COUNTED: u128 = (1 << 62) - 1;

impl EventIds {
    fn at(&mut self, now: DateTime<Utc>) {
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or_default();
        let random = Uuid::now_v7().into_bytes();
        let random = random.last_chunk().expect("a UUID has 16 bytes");
        let drawn = uuid::Builder::from_unix_timestamp_millis(millis, random).into_uuid();
        self.0 = drawn.as_u128();
    }

    fn next(&mut self) -> EventId {
        let counted = (self.0 & COUNTED).wrapping_add(1) & COUNTED;
        self.0 = (self.0 & !COUNTED) | counted;
        EventId(Uuid::from_u128(self.0))
    }
}

/// Why a record could not be read. Somebody must look: the log is damaged or of a later version.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// An attribute is malformed.
    #[error("the attribute `{name}` of a record is malformed: `{text}`")]
    Attribute {
        /// The attribute's header.
        name: &'static str,
        /// What it says.
        text: String,
    },
    /// The value is not an event this version knows.
    #[error(transparent)]
    Event(#[from] DecodeError),
    /// The value was changed, or belongs elsewhere.
    #[error(transparent)]
    Forged(#[from] ValueForged),
    /// The tenant's key cannot be had.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

impl ReadError {
    /// Whether nobody but the tenant whose record it is lacks anything: its key is missing, damaged or
    /// another one. Without that of the system tenant nothing works.
    pub(crate) fn is_of_one(&self, tenant: TenantId) -> bool {
        let is_of_key = match self {
            Self::Forged(_) => true,
            Self::Keyring(error) => error.is_of_one(),
            Self::Attribute { .. } | Self::Event(_) => false,
        };
        is_of_key && tenant != TenantId::SYSTEM
    }
}

/// What a record says beside its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) id: EventId,
    pub(crate) tenant: TenantId,
    pub(crate) stream: Stream,
    pub(crate) sequence: u64,
    pub(crate) revision: u64,
    /// Its place in its command, from 1.
    pub(crate) place: u64,
    pub(crate) command: CommandId,
    pub(crate) request: Option<RequestHash>,
    pub(crate) time: DateTime<Utc>,
}

impl Header {
    pub(crate) fn of(record: &Record) -> Result<Self, ReadError> {
        let text = |it| record.attribute(it);
        let (command, request) = match text(Attribute::CommandId).split_once('.') {
            None => (text(Attribute::CommandId), None),
            Some((command, hash)) => (command, Some(hash)),
        };
        let malformed = |attribute: Attribute| ReadError::Attribute {
            name: attribute.header(),
            text: record.attribute(attribute).chars().take(128).collect(),
        };
        let number = |attribute| text(attribute).parse().map_err(|_| malformed(attribute));
        let place = text(Attribute::BatchPos).split_once('/').and_then(|it| it.0.parse().ok());
        let request = match request.map(|it| u64::from_str_radix(it, 16)) {
            None => None,
            Some(Ok(hash)) => Some(RequestHash(hash)),
            Some(Err(_)) => return Err(malformed(Attribute::CommandId)),
        };
        let id = |attribute| move |_: IdError| malformed(attribute);
        Ok(Self {
            id: text(Attribute::Id).parse().map_err(id(Attribute::Id))?,
            tenant: text(Attribute::Tenant).parse().map_err(id(Attribute::Tenant))?,
            stream: text(Attribute::Subject).parse().map_err(id(Attribute::Subject))?,
            sequence: number(Attribute::Sequence)?,
            revision: number(Attribute::Revision)?,
            place: place.ok_or_else(|| malformed(Attribute::BatchPos))?,
            command: command.parse().map_err(id(Attribute::CommandId))?,
            request,
            time: DateTime::parse_from_rfc3339(text(Attribute::Time))
                .map_err(|_| malformed(Attribute::Time))?
                .to_utc(),
        })
    }
}

/// Reads the event of a record back. None if the tenant's key was destroyed: what it ever
/// recorded is erased, only its place in the history stays.
pub(crate) async fn read_event(
    record: &Record,
    header: &Header,
    keyring: &Keyring,
) -> Result<Option<Event>, ReadError> {
    if record.attribute(Attribute::ContentType) != SEALED {
        return decode(record, header, None).map(Some);
    }
    match keyring.existing(header.tenant).await {
        Ok(keys) => decode(record, header, Some(&keys)).map(Some),
        Err(KeyringError::TenantErased(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The event of a record; one that is stored encrypted needs its tenant's keys.
pub(crate) fn decode(
    record: &Record,
    header: &Header,
    keys: Option<&TenantKeys>,
) -> Result<Event, ReadError> {
    let full_type = record.attribute(Attribute::Type);
    let value = record.value();
    match keys {
        Some(keys) if record.attribute(Attribute::ContentType) == SEALED => {
            let stream = record.attribute(Attribute::Subject);
            let value = keys.open_value(stream, header.sequence, &value)?;
            Ok(Event::decode(full_type, &value)?)
        }
        Some(_) | None => Ok(Event::decode(full_type, &value)?),
    }
}

#[cfg(test)]
mod tests;
