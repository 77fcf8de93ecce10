//! The spans of the write side: one per command on its caller's task, one per batch in the owner.
//!
//! They are of level debug, so they cost a comparison where traces are not exported. They say what
//! was asked by its name in the API and what came of it by numbers and codes; never in words, which
//! may be about people.

use domain::id::TenantId;
use domain::operation::Operation;
use event_log::{Partition, trace};
use tracing::Span;
use tracing::field::Empty;

use crate::owner::envelope::Envelope;
use crate::request::{CommandError, Outcome};

/// The span of one command.
pub(crate) fn command(tenant: TenantId, operation: &Operation) -> Span {
    let name = operation.name();
    tracing::debug_span!(
        "command",
        otel.name = format!("command {name}"),
        otel.status_code = Empty,
        command.name = name,
        command.id = Empty,
        command.events = Empty,
        tenant.id = %tenant,
        tenant.sequence = Empty,
        log.partition = Empty,
        log.position = Empty,
        error.type = Empty,
    )
}

/// Says what came of a command.
pub(crate) fn end(span: &Span, outcome: &Result<Outcome, CommandError>) {
    if span.is_disabled() {
        return;
    }
    match outcome {
        Ok(outcome) => {
            span.record("command.id", tracing::field::display(outcome.command));
            span.record("command.events", outcome.events.len());
            span.record("tenant.sequence", outcome.sequence);
            span.record("log.partition", outcome.partition.0);
            span.record("log.position", outcome.position.0);
        }
        Err(error) => {
            let (kind, is_ours) = kind(error);
            span.record("error.type", kind);
            if is_ours {
                span.record("otel.status_code", "ERROR");
            }
        }
    }
}

/// What kind of error it is, and whether it is a failure of ours rather than an answer.
fn kind(error: &CommandError) -> (&str, bool) {
    match error {
        CommandError::Denied(_) => ("DENIED", false),
        CommandError::Invalid(_) => ("INVALID", false),
        CommandError::Rejected { code, .. } => (code, false),
        CommandError::Conflict { .. } => ("CONFLICT", false),
        CommandError::KeyReused(_) => ("KEY_REUSED", false),
        CommandError::TooManyKeys { .. } => ("TOO_MANY_KEYS", false),
        CommandError::Busy { .. } => ("BUSY", false),
        CommandError::Unavailable(_) => ("UNAVAILABLE", true),
        CommandError::NotOwner(_) => ("NOT_OWNER", false),
        CommandError::Unknown => ("UNKNOWN", true),
        CommandError::Fault(_) => ("FAULT", true),
    }
}

/// The span of one batch, linked to the commands in it. One without requests has none.
pub(crate) fn batch(partition: Partition, requests: &[Envelope]) -> Span {
    if requests.is_empty() {
        return Span::none();
    }
    let span = tracing::debug_span!(
        parent: None,
        "batch",
        log.partition = partition.0,
        batch.commands = requests.len(),
        batch.events = Empty,
    );
    trace::link(&span, requests.iter().filter_map(|it| it.prepared.traceparent.as_deref()));
    span
}
