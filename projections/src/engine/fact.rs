//! One record of the log, as far as a model wants to know it.

use chrono::{DateTime, Utc};
use domain::id::{ActorId, CommandId, TenantId};
use domain::{Event, Stream};
use event_log::{Attribute, LogError, Partition, Position, Record, Recorded};

use vault::tenant_keys::SEALED;
use vault::{Keyring, KeyringError};

use crate::engine::fold::{ApplyError, Trouble, caught};
use crate::model::Model;
use crate::store::Meaning;

/// The longest name of an event, which models keep in order. In bytes: 255, several times the
/// longest there is.
const NAME_BYTES_MAX: usize = 255;

/// How much of an event a model needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// What it says.
    Body,
    /// Only what stands around it.
    Header,
    /// Nothing.
    Nothing,
}

/// One event with its place.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub tenant: TenantId,
    pub partition: Partition,
    pub position: Position,
    pub sequence: u64,
    pub revision: u64,
    pub at: DateTime<Utc>,
    pub actor: ActorId,
    pub stream: Stream,
    /// What happened; none where only the header was wanted.
    pub event: Option<Event>,
    record: Record,
}

/// An event that cannot be applied, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub tenant: TenantId,
    pub position: Position,
    pub at: DateTime<Utc>,
    pub reason: String,
}

/// What became of reading a record.
#[derive(Debug)]
pub(crate) enum Read {
    /// The model wants to know it.
    Fact(Box<Fact>),
    /// It does not concern the model.
    Nothing,
    /// It cannot be read, so its tenant must be parked.
    Unfit(Unfit),
}

impl Fact {
    /// Reads `recorded` as far as `model` wants it. What an erased tenant recorded has no event.
    pub(crate) async fn read(
        model: Model,
        partition: Partition,
        recorded: Recorded,
        keyring: &Keyring,
    ) -> Result<Read, Trouble> {
        let Recorded { position, record } = recorded;
        let name = name(&record);
        let want = model.wants(name.split_once('.').map_or(name, |(noun, _)| noun));
        if want == Want::Nothing {
            return Ok(Read::Nothing);
        }
        // Without even a tenant and a time there is nobody to park.
        let nobody = |reason| damaged(partition, position, reason);
        let tenant = parsed(&record, Attribute::Tenant).map_err(nobody)?;
        let at = time(&record).map_err(nobody)?;
        let event = match want {
            Want::Body => match caught(decode(&record, tenant, keyring)).await {
                Ok(event) => event,
                Err(error) => match error.meaning() {
                    Meaning::Refused(reason) => Err(reason),
                    Meaning::Passing | Meaning::Wrong => return Err(error.into()),
                },
            },
            Want::Header | Want::Nothing => Ok(None),
        };
        let fact =
            event.and_then(|event| Self::parse(tenant, at, partition, position, event, record));
        Ok(match fact {
            Ok(fact) => Read::Fact(Box::new(fact)),
            Err(reason) => Read::Unfit(Unfit { tenant, position, at, reason }),
        })
    }

    fn parse(
        tenant: TenantId,
        at: DateTime<Utc>,
        partition: Partition,
        position: Position,
        event: Option<Event>,
        record: Record,
    ) -> Result<Self, String> {
        let bytes = name(&record).len();
        if bytes > NAME_BYTES_MAX {
            return Err(format!("expected a type of at most {NAME_BYTES_MAX} bytes, got {bytes}"));
        }
        Ok(Self {
            tenant,
            partition,
            position,
            sequence: parsed(&record, Attribute::Sequence)?,
            revision: parsed(&record, Attribute::Revision)?,
            at,
            actor: parsed(&record, Attribute::Actor)?,
            stream: parsed(&record, Attribute::Subject)?,
            event,
            record,
        })
    }

    /// The type without the common prefix: `<noun>.<fact>.v<N>`.
    pub(crate) fn name(&self) -> &str {
        name(&self.record)
    }

    /// What changed: the first word of the type.
    pub(crate) fn noun(&self) -> &str {
        let name = self.name();
        name.split_once('.').map_or(name, |(noun, _)| noun)
    }

    /// The text of one attribute.
    pub(crate) fn attribute(&self, attribute: Attribute) -> &str {
        self.record.attribute(attribute)
    }

    /// An attribute that is read by `FromStr`.
    pub(crate) fn parsed<T>(&self, attribute: Attribute) -> Result<T, Unfit>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        parsed(&self.record, attribute).map_err(|reason| self.unfit(reason))
    }

    /// The command that caused it. A hash of the request may follow it after a dot.
    pub(crate) fn command(&self) -> Result<CommandId, Unfit> {
        let text = self.attribute(Attribute::CommandId);
        let text = text.split_once('.').map_or(text, |(command, _)| command);
        text.parse().map_err(|it| self.unfit(format!("its command is wrong: {it}")))
    }

    /// Says that this event cannot be applied.
    pub(crate) fn unfit(&self, reason: impl Into<String>) -> Unfit {
        Unfit { tenant: self.tenant, position: self.position, at: self.at, reason: reason.into() }
    }
}

/// Takes the event out of a record. The inner error is that the record does not hold one.
async fn decode(
    record: &Record,
    tenant: TenantId,
    keyring: &Keyring,
) -> Result<Result<Option<Event>, String>, ApplyError> {
    #[cfg(test)]
    crate::testing::panic_at_fatal(name(record));
    let mut value = record.value();
    if record.attribute(Attribute::ContentType) == SEALED {
        let keys = match keyring.existing(tenant).await {
            Ok(keys) => keys,
            Err(KeyringError::TenantErased(_)) => return Ok(Ok(None)),
            Err(error) => return Err(error.into()),
        };
        let opened = parsed(record, Attribute::Sequence).and_then(|sequence| {
            let stream = record.attribute(Attribute::Subject);
            keys.open_value(stream, sequence, &value).map_err(|it| it.to_string())
        });
        value = match opened {
            Ok(opened) => opened.into(),
            Err(reason) => return Ok(Err(reason)),
        };
    }
    let event = Event::decode(record.attribute(Attribute::Type), &value);
    Ok(event.map(Some).map_err(|it| it.to_string()))
}

/// A record that does not even say whose it is, or when.
pub(crate) fn damaged(partition: Partition, position: Position, reason: String) -> LogError {
    LogError::Damaged { place: format!("position {position} of partition {partition}"), reason }
}

/// When a record was recorded.
pub(crate) fn time(record: &Record) -> Result<DateTime<Utc>, String> {
    let text = record.attribute(Attribute::Time);
    let time = DateTime::parse_from_rfc3339(text);
    time.map(|it| it.to_utc()).map_err(|it| format!("its time `{text}` is wrong: {it}"))
}

fn name(record: &Record) -> &str {
    let full = record.attribute(Attribute::Type);
    full.strip_prefix(domain::event::TYPE_PREFIX).unwrap_or(full)
}

fn parsed<T>(record: &Record, attribute: Attribute) -> Result<T, String>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = record.attribute(attribute);
    text.parse().map_err(|it| format!("attribute `{}` is wrong: {it}", attribute.header()))
}
