//! Which runs are merged when, and how.
//!
//! Size-tiered: four runs of a tier become one of the next. So an identity is rewritten once
//! per tier, and there are at most three runs of each tier when nothing is to be done. Runs of
//! the last tier stay as they are, which bounds the work, the space and the memory of a merge.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ops::ControlFlow;
use std::sync::Arc;

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

/// How many fingerprints are merged between two looks at what is more urgent: 65,536, some
/// milliseconds.
const PAUSE_ENTRIES: u64 = 65_536;

/// One above the last tier.
pub(super) const TIERS: u32 = tier(1 << LAST_TIER_BITS);

/// The lowest tier below `below` of which there are enough runs, and its runs.
pub(super) fn due(runs: &[Arc<Run>], below: u32) -> Option<(u32, Vec<Arc<Run>>)> {
    (0..below).find_map(|wanted| {
        let of_tier = runs.iter().filter(|it| tier(it.header().entries) == wanted);
        let of_tier: Vec<_> = of_tier.cloned().collect();
        (of_tier.len() >= FAN_IN).then_some((wanted, of_tier))
    })
}

/// The tier of a run of so many identities; each holds four times as many as the one below.
const fn tier(entries: u64) -> u32 {
    match entries.checked_ilog2() {
        Some(bits) if bits >= LOWEST_TIER_BITS => 1 + (bits - LOWEST_TIER_BITS) / FAN_IN.ilog2(),
        Some(_) | None => 0,
    }
}

/// Writes one run with everything in `inputs`, which are oldest first: where several hold an
/// identity, the oldest content stays. Calls `pause` every few milliseconds; none if that says
/// to give up.
pub(super) fn merge(
    files: &dyn Files,
    number: u64,
    inputs: &[Arc<Run>],
    mut pause: impl FnMut() -> Result<ControlFlow<()>, IdentitiesError>,
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
            None => drop(PeekMut::pop(head)),
        }
        if last == Some(identity) {
            continue;
        }
        last = Some(identity);
        writer.push(Fingerprint { identity, content })?;
        written += 1;
        if written.is_multiple_of(PAUSE_ENTRIES) && pause()?.is_break() {
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
