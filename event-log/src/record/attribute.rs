//! The attributes of a record and the headers that carry them.

/// The attributes of a record in canonical order, by their header names.
///
/// The order is part of the chain's format and never changes; `traceparent` and the chain link
/// itself are stored beside the canonical bytes, not in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Attribute {
    /// Version of the `CloudEvents` specification, `1.0`.
    SpecVersion,
    /// Identity of the event, a `UUIDv7`.
    Id,
    /// What happened: `callboard.<noun>.<fact>.v<N>`.
    Type,
    /// The installation that wrote it.
    Source,
    /// The stream it belongs to, an opaque id.
    Subject,
    /// Recorded time, RFC 3339 in UTC; never decreases within a partition.
    Time,
    /// Where the JSON Schema of the value is.
    DataSchema,
    /// The key that selected the partition.
    PartitionKey,
    /// The tenant the fact belongs to.
    Tenant,
    /// Place in the tenant's history: gapless, from 1.
    Sequence,
    /// Place in the stream's history: gapless, from 1.
    Revision,
    /// Place within its command, `n/m`.
    BatchPos,
    /// The command that caused it.
    CommandId,
    /// The conversation it belongs to.
    CorrelationId,
    /// The event or command that led to it.
    CausationId,
    /// Who asked, an opaque id.
    Actor,
    /// Media type of the value.
    ContentType,
}

impl Attribute {
    /// Every attribute, in canonical order.
    pub const ALL: [Self; 17] = [
        Self::SpecVersion,
        Self::Id,
        Self::Type,
        Self::Source,
        Self::Subject,
        Self::Time,
        Self::DataSchema,
        Self::PartitionKey,
        Self::Tenant,
        Self::Sequence,
        Self::Revision,
        Self::BatchPos,
        Self::CommandId,
        Self::CorrelationId,
        Self::CausationId,
        Self::Actor,
        Self::ContentType,
    ];

    /// The name of the header that carries this attribute.
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Self::SpecVersion => "ce_specversion",
            Self::Id => "ce_id",
            Self::Type => "ce_type",
            Self::Source => "ce_source",
            Self::Subject => "ce_subject",
            Self::Time => "ce_time",
            Self::DataSchema => "ce_dataschema",
            Self::PartitionKey => "ce_partitionkey",
            Self::Tenant => "ce_tenant",
            Self::Sequence => "ce_sequence",
            Self::Revision => "ce_revision",
            Self::BatchPos => "ce_batchpos",
            Self::CommandId => "ce_commandid",
            Self::CorrelationId => "ce_correlationid",
            Self::CausationId => "ce_causationid",
            Self::Actor => "ce_actor",
            Self::ContentType => "content-type",
        }
    }
}
