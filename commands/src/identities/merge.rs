//! Which runs are merged when, and how.
//!
//! Size-tiered: four runs of a tier become one of the next. So an identity is rewritten once
//! per tier, and there are at most three runs of each tier when nothing is to be done. Runs of
//! the last tier stay as they are, which bounds the work, the space and the memory of a merge.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::IdentitiesError;
use super::files::Files;
use super::fingerprint::Fingerprint;
use super::run::{Run, Scan};
use super::run_writer::RunWriter;

/// How many runs of a tier become one.
const FAN_IN: usize = 4;

/// Runs of fewer identities are all of the lowest tier: 2¹⁷.
const LOWEST_TIER_BITS: u32 = 17;

/// Runs of as many identities are not merged any more: 2²⁵, 0.8 GB.
const LAST_TIER_BITS: u32 = 25;

/// How many fingerprints are written between two looks at whether to stop: 65,536.
const STOP_CHECK_ENTRIES: u64 = 65_536;

/// The runs to be merged next: the smallest four or more that are of one tier.
pub(super) fn due(runs: &[Arc<Run>]) -> Option<Vec<Arc<Run>>> {
    (0..tier(1 << LAST_TIER_BITS)).find_map(|wanted| {
        let of_tier = runs.iter().filter(|it| tier(it.header().entries) == wanted);
        let of_tier: Vec<_> = of_tier.cloned().collect();
        (of_tier.len() >= FAN_IN).then_some(of_tier)
    })
}

/// The tier of a run of so many identities; each holds four times as many as the one below.
fn tier(entries: u64) -> u32 {
    match entries.max(1).ilog2() {
        bits if bits < LOWEST_TIER_BITS => 0,
        bits => 1 + (bits - LOWEST_TIER_BITS) / FAN_IN.ilog2(),
    }
}

/// Writes one run with everything in `inputs`, which are oldest first: where several hold an
/// identity, the oldest content stays. None if it was told to stop.
pub(super) fn merge(
    files: &dyn Files,
    number: u64,
    inputs: &[Arc<Run>],
    stop: &AtomicBool,
) -> Result<Option<Run>, IdentitiesError> {
    let entries = inputs.iter().map(|it| it.header().entries).sum();
    let sealed_upto = inputs.iter().map(|it| it.header().sealed_upto).max().unwrap_or(0);
    let mut writer = RunWriter::create(files, number, entries)?;
    let mut scans: Vec<_> = inputs.iter().map(|it| Scan::new(Arc::clone(it))).collect();
    let mut heads = BinaryHeap::with_capacity(scans.len());
    for (age, scan) in scans.iter_mut().enumerate() {
        heads.extend(next_head(scan, age)?);
    }
    let mut last = None;
    let mut written: u64 = 0;
    while let Some(mut head) = heads.peek_mut() {
        let Reverse((identity, age, content)) = *head;
        match next_head(&mut scans[age], age)? {
            Some(next) => *head = next,
            None => drop(std::collections::binary_heap::PeekMut::pop(head)),
        }
        if last == Some(identity) {
            continue;
        }
        last = Some(identity);
        writer.push(Fingerprint { identity, content })?;
        written += 1;
        if written.is_multiple_of(STOP_CHECK_ENTRIES) && stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
    }
    writer.finish(sealed_upto).map(Some)
}

/// The next fingerprint of a run, in the order in which they are merged.
type Head = Reverse<(u128, usize, u64)>;

fn next_head(scan: &mut Scan, age: usize) -> Result<Option<Head>, IdentitiesError> {
    let next = scan.next().transpose()?;
    Ok(next.map(|it| Reverse((it.identity, age, it.content))))
}
