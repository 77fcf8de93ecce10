//! Recording usage over GraphQL; machines use `POST /api/v1/usage`.

use std::collections::BTreeMap;

use async_graphql::{Context, Enum, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::operation::{Operation, UsageEntry};
use domain::usage::Verdict;

use super::{CommandOptions, CommandOutcome, Submitted, UserError, malformed, submit};

/// Recording usage.
#[derive(Debug, Default)]
pub struct UsageMutation;

/// One record of usage.
#[derive(Clone, Debug, InputObject)]
pub struct UsageEntryInput {
    /// The system that observed it.
    pub source: String,
    /// Names it within the source, for ever.
    pub id: String,
    /// What was used, by key.
    pub meter: String,
    /// Who used it, `cus_…`; the tenant itself if none.
    pub customer: Option<String>,
    /// When it was used; when it was received if none.
    pub at: Option<DateTime<Utc>>,
    /// How much, a decimal text.
    pub value: String,
    /// What it can be grouped by. `entity` says on behalf of which entity of the catalog it was
    /// used, `kind:namespace/name`; `Entity.usage` shows it.
    #[graphql(default)]
    pub dimensions: Vec<DimensionInput>,
}

/// One thing usage can be grouped by.
#[derive(Clone, Debug, InputObject)]
pub struct DimensionInput {
    /// The dimension.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// What became of a usage entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Verdict")]
pub enum UsageVerdict {
    /// It counts.
    Accepted,
    /// It counted already: ignored, success.
    Duplicate,
    /// Its identity counted with other content: ignored, reported.
    Conflict,
    /// There is no such meter.
    UnknownMeter,
    /// The meter is archived.
    ArchivedMeter,
    /// There is no such billing account.
    UnknownCustomer,
    /// The billing account is closed.
    ClosedCustomer,
    /// It is dated too far ahead.
    TooFarAhead,
}

/// The answer to `recordUsage`.
#[derive(Clone, Debug, SimpleObject)]
pub struct RecordUsagePayload {
    /// What became of each entry, in the order of the request.
    pub verdicts: Vec<UsageVerdict>,
    /// What became of the command; none if it was not accepted.
    pub outcome: Option<CommandOutcome>,
    /// What the caller has to mend; then nothing was changed.
    pub user_errors: Vec<UserError>,
}

impl From<Submitted> for RecordUsagePayload {
    fn from(submitted: Submitted) -> Self {
        let accepted = submitted.accepted.as_ref();
        let verdicts = accepted.map(|it| it.verdicts.iter().copied().map(Into::into).collect());
        Self {
            verdicts: verdicts.unwrap_or_default(),
            outcome: submitted.outcome,
            user_errors: submitted.user_errors,
        }
    }
}

#[Object]
impl UsageMutation {
    /// Record usage, entry by entry; at most 1,000.
    async fn record_usage(
        &self,
        context: &Context<'_>,
        entries: Vec<UsageEntryInput>,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<RecordUsagePayload>> {
        let mut read = Vec::with_capacity(entries.len());
        for (index, entry) in entries.into_iter().enumerate() {
            match usage_entry(entry) {
                Ok(entry) => read.push(entry),
                Err((field, message)) => {
                    return Ok(Some(
                        malformed(&format!("entries[{index}].{field}"), message).into(),
                    ));
                }
            }
        }
        Ok(Some(submit(context, Operation::RecordUsage { entries: read }, options).await?.into()))
    }
}

fn usage_entry(entry: UsageEntryInput) -> Result<UsageEntry, (&'static str, String)> {
    let customer = entry.customer.map(|it| it.parse()).transpose();
    let dimensions = entry.dimensions.into_iter();
    let dimensions: BTreeMap<Box<str>, Box<str>> =
        dimensions.map(|it| (it.key.into(), it.value.into())).collect();
    Ok(UsageEntry {
        meter: entry.meter.parse().map_err(|it| ("meter", display(it)))?,
        customer: customer.map_err(|it: domain::id::IdError| ("customer", display(it)))?,
        value: entry.value.parse().map_err(|it| ("value", display(it)))?,
        source: entry.source,
        id: entry.id,
        at: entry.at,
        dimensions,
    })
}

fn display(error: impl std::fmt::Display) -> String {
    error.to_string()
}
