//! Logs and traces: where they go and how they look. What is said is up to each crate.

use std::any::Any;
use std::backtrace::Backtrace;
use std::io::IsTerminal as _;
use std::panic;

use anyhow::{Context, Result};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{LogFormat, Telemetry};

/// Keeps traces flowing; the last ones are sent when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    provider: Option<SdkTracerProvider>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take()
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(error = %error, "the last traces were not sent");
        }
    }
}

/// Starts logging to standard error and, if a collector is configured, tracing to it.
///
/// # Errors
///
/// If the filter is malformed or the exporter cannot be built.
pub(crate) fn start(settings: &Telemetry) -> Result<Guard> {
    let filter = || {
        EnvFilter::try_new(&settings.filter)
            .with_context(|| format!("`telemetry.filter` is malformed: `{}`", settings.filter))
    };
    let discreet = || filter_fn(is_discreet).with_max_level_hint(LevelFilter::TRACE);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let lines = match settings.format {
        LogFormat::Text => lines.with_filter(filter()?.and(discreet())).boxed(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_filter(filter()?.and(discreet())).boxed()
        }
    };
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let provider = match settings.otlp_endpoint.as_str() {
        "" => None,
        endpoint => Some(provider(endpoint)?),
    };
    let spans = provider
        .as_ref()
        .map(|it| tracing_opentelemetry::layer().with_tracer(it.tracer("callboard")));
    let spans = match spans {
        Some(layer) => {
            Some(layer.with_filter(filter()?.and(discreet()).or(filter_fn(is_our_span))))
        }
        None => None,
    };
    tracing_subscriber::registry().with(lines).with(spans).try_init()?;
    log_panics();
    Ok(Guard { provider })
}

/// Has panics say where they happened and, if it is a text of the code and nothing more, why.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let (why, backtrace) = (written_in_code(panic.payload()), Backtrace::capture());
        tracing::error!(panic.place = place, panic.backtrace = %backtrace, "a panic: {why}");
    }));
}

/// What a panic says, unless it was put together while running: then a part of it may be what somebody
/// has sent, a password say.
fn written_in_code(payload: &(dyn Any + Send)) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("the code at that place says more")
}

/// The crates of ours that say something.
const OURS: [&str; 9] = [
    "callboard",
    "commands",
    "domain",
    "event_log",
    "outbound",
    "projections",
    "query_api",
    "vault",
    "xtask",
];

fn is_ours(metadata: &Metadata<'_>) -> bool {
    OURS.contains(&metadata.target().split("::").next().unwrap_or_default())
}

/// Whether something may be said whatever the operator wants to read. In detail other crates repeat
/// what passes through their hands: whole messages, headers, credentials.
fn is_discreet(metadata: &Metadata<'_>) -> bool {
    is_ours(metadata) || *metadata.level() <= Level::INFO
}

/// Whether something is one of our spans. All of them are exported, whatever is logged: most are of
/// level debug, so that where nothing is exported they do not even come into being.
fn is_our_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && *metadata.level() <= Level::DEBUG && is_ours(metadata)
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .build()
        .with_context(|| format!("`telemetry.otlp_endpoint` does not work: `{endpoint}`"))?;
    let resource = Resource::builder().with_service_name("callboard").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use opentelemetry::trace::{Span, Tracer};

    use super::*;

    /// Answers one request and says what its first line was.
    fn collector() -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let answer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            line
        });
        (endpoint, answer)
    }

    #[test]
    fn a_panic_repeats_nothing_that_was_put_together_while_running() {
        let payload = |work: fn()| panic::catch_unwind(work).unwrap_err();
        let fixed = payload(|| panic!("nobody is left"));
        assert_eq!(written_in_code(fixed.as_ref()), "nobody is left");
        // As slicing a text does at a place that is none.
        let sent = payload(|| assert_eq!("pässword".split_at(2), ("", "")));
        assert!(sent.downcast_ref::<String>().is_some_and(|it| it.contains("pässword")));
        assert!(!written_in_code(sent.as_ref()).contains("pässword"));
    }

    #[tokio::test]
    async fn spans_reach_the_collector_from_within_the_runtime() {
        let (endpoint, answer) = collector();
        let provider = provider(&endpoint).unwrap();
        provider.tracer("test").start("a span").end();
        tokio::task::spawn_blocking(move || provider.shutdown()).await.unwrap().unwrap();
        assert_eq!(answer.join().unwrap(), "POST /v1/traces HTTP/1.1\r\n");
    }
}
