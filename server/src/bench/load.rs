//! A closed loop of callers, and how long each call took.

use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;

/// What a load came to.
#[derive(Debug)]
pub(crate) struct Measured {
    /// How many calls were answered.
    pub count: u64,
    /// How long all of it took.
    pub took: Duration,
    latencies: Histogram<u64>,
}

impl Measured {
    /// The latency that this share of the calls did not exceed, `0.99` say. In milliseconds,
    /// with two digits after the point.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> String {
        let micros = self.latencies.value_at_quantile(quantile);
        format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10)
    }

    /// The same, in microseconds.
    pub(crate) fn quantile_us(&self, quantile: f64) -> u64 {
        self.latencies.value_at_quantile(quantile)
    }
}

/// Has `callers` call again and again until `seconds` are over. `call` is told who calls and how
/// often that caller has called before.
///
/// # Errors
///
/// If a call fails.
pub(crate) async fn closed_loop<C, F>(
    callers: usize,
    seconds: Duration,
    call: C,
) -> Result<Measured>
where
    C: Fn(usize, u64) -> F + Clone + Send + 'static,
    F: Future<Output = Result<()>> + Send,
{
    let began = Instant::now();
    let running = (0..callers).map(|caller| {
        let call = call.clone();
        tokio::spawn(async move {
            let mut latencies = Histogram::<u64>::new(3)?;
            let mut times = 0;
            while began.elapsed() < seconds {
                let asked = Instant::now();
                call(caller, times).await?;
                latencies.record(u64::try_from(asked.elapsed().as_micros())?)?;
                times += 1;
            }
            anyhow::Ok(latencies)
        })
    });
    let mut latencies = Histogram::<u64>::new(3)?;
    for caller in running.collect::<Vec<_>>() {
        latencies.add(caller.await??)?;
    }
    Ok(Measured { count: latencies.len(), took: began.elapsed(), latencies })
}

/// The same for one caller on a thread of its own, as it would be on a machine of its own: other
/// callers of this process do not make it wait.
///
/// # Errors
///
/// If a call fails.
pub(crate) async fn apart<C, F>(seconds: Duration, call: C) -> Result<Measured>
where
    C: Fn(usize, u64) -> F + Clone + Send + 'static,
    F: Future<Output = Result<()>> + Send,
{
    let alone = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(closed_loop(1, seconds, call))
    };
    tokio::task::spawn_blocking(alone).await?
}
