//! The index of usage identities at a given size: its memory, and how soon it opens.
//!
//! `cargo bench -p commands --bench identities` has more figures of it, in more detail.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use commands::identities::{Fingerprinter, Identities, Pending};
use domain::id::TenantId;
use event_log::Position;

use super::{Row, Verdict, rate};

/// Identities in one usage request.
const REQUEST: u64 = 1_000;

const KEY: [u8; 16] = [7; 16];
const LOG: &str = "bench";

/// Records `count` identities as the owner does, then opens the index again.
///
/// # Errors
///
/// If the index cannot be written or read.
pub(crate) fn measured(folder: &Path, count: u64) -> Result<Row> {
    let recorded = record(folder, count)?;
    let began = Instant::now();
    let identities = Identities::open(folder, &KEY, LOG)?;
    let opened = began.elapsed();
    let memory = identities.memory();
    let bytes = memory.filter_bytes + memory.fence_bytes + memory.recent_bytes;
    let per_hundred = bytes * 100 / count.max(1);
    let megabytes = bytes.div_ceil(1_000_000);
    Ok(Row {
        what: "usage identities, remembered for ever",
        measured: format!(
            "{count}: {megabytes} MB ({}.{:02} bytes each), opened in {} ms, {}/s recorded",
            per_hundred / 100,
            per_hundred % 100,
            opened.as_millis(),
            rate(count, recorded)
        ),
        baseline: "-".to_owned(),
        target: "100M: < 400 MB, < 2 s",
        verdict: Verdict::of_part(is_within(count, bytes, opened), count, 100_000_000),
    })
}

/// Whether `bytes` are within the share of the target that falls on `count`, and start-up is
/// within the whole of it.
fn is_within(count: u64, bytes: u64, opened: Duration) -> bool {
    bytes < count * 4 && opened < Duration::from_secs(2)
}

fn record(folder: &Path, count: u64) -> Result<Duration> {
    let fingerprinter = Fingerprinter::new(&KEY);
    let mut identities = Identities::open(folder, &KEY, LOG)?;
    let began = Instant::now();
    for first in (0..count).step_by(usize::try_from(REQUEST)?) {
        let asked: Vec<_> = (first..count.min(first + REQUEST))
            .map(|it| fingerprinter.of(TenantId::SYSTEM, "bench", &format!("r-{it:012x}"), b"1"))
            .collect();
        let mut pending = Pending::default();
        identities.lookup(&pending, &asked)?;
        asked.into_iter().for_each(|it| pending.insert(it));
        identities.merge(pending);
        if identities.is_seal_due() {
            identities.seal(Position(first + REQUEST));
        }
    }
    identities.settle()?;
    identities.seal(Position(count + REQUEST));
    identities.settle()?;
    Ok(began.elapsed())
}
