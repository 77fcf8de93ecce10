//! The trace a record belongs to: W3C trace context, between records and the spans around them.
//!
//! A record keeps the context of the command that caused it, so whoever handles the record later
//! can say where it came from. How spans are exported is the server's business; where they are not,
//! every function here finds that out first and does nothing.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The most links of one span: 32, so that a batch of thousands of records stays a small span.
pub const LINKS_MAX: usize = 32;

/// Makes `span` a part of the trace that its caller names. Only before it is entered.
pub fn set_parent(span: &Span, traceparent: &str) {
    if span.is_disabled() {
        return;
    }
    if let Some(parent) = read(traceparent) {
        // Without an exporter for this span there is nothing to be a part of.
        drop(span.set_parent(Context::new().with_remote_span_context(parent)));
    }
}

/// The context of `span`, for records that it causes; none if it is not exported.
#[must_use]
pub fn context_of(span: &Span) -> Option<String> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_valid().then(|| {
        let (trace, span) = (context.trace_id(), context.span_id());
        format!("00-{trace}-{span}-{:02x}", context.trace_flags())
    })
}

/// Links `span` to the contexts of what it handles: each once, at most [`LINKS_MAX`].
pub fn link<'a>(span: &Span, traceparents: impl IntoIterator<Item = &'a str>) {
    if span.is_disabled() {
        return;
    }
    let mut linked: Vec<&str> = Vec::new();
    for traceparent in traceparents {
        if linked.len() == LINKS_MAX {
            return;
        }
        if !linked.contains(&traceparent)
            && let Some(context) = read(traceparent)
        {
            linked.push(traceparent);
            span.add_link(context);
        }
    }
}

/// What a `traceparent` of version 00 says, if it is well-formed.
fn read(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let mut part = |length| parts.next().filter(|it| it.len() == length);
    let ("00", trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?) else {
        return None;
    };
    let trace = TraceId::from_hex(trace).ok()?;
    let span = SpanId::from_hex(span).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    (parts.next().is_none() && context.is_valid()).then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_context_is_read() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let read_back = read(good).unwrap();
        assert_eq!(read_back.trace_id().to_string(), &good[3..35]);
        assert_eq!(read_back.span_id().to_string(), &good[36..52]);
        assert!(read_back.is_sampled() && read_back.is_remote());
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47zz-00f067aa0ba902b7-01",
        ] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_nobody_exports_has_no_context() {
        let span = tracing::info_span!("nothing");
        set_parent(&span, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        link(&span, ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]);
        assert_eq!(context_of(&span), None);
    }
}
