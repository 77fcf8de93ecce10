//! Crashes at any moment of any work: what was acknowledged is there once, nothing is there in
//! part, and snapshots are whole.
//!
//! The full profile simulates more of them: see `CALLBOARD_TEST_PROFILE` in `CONTRIBUTING.md`.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use super::{batch_after, open_on, read_all, runtime};
use crate::conformance::PARTITION;
use crate::embedded::Depth;
use crate::embedded::files::simulated::{Crash, Omit, Random, Simulated};
use crate::port::{AppendError, Batch, EventLog, Position, Snapshot, SnapshotChunk, Writer};
use crate::record::Record;

/// How many crashes are simulated at least: before a change, and in the full profile.
const CRASHES: u64 = 1_200;
const CRASHES_FULL: u64 = 60_000;

/// How many crashes one log lives through.
const CRASHES_PER_LOG: u64 = 30;

/// Small enough for every log to seal, archive and recycle many segments.
const SEGMENT_BYTES: u64 = 24 * 1024;

/// What must be in the log.
#[derive(Debug, Default)]
struct Model {
    records: Vec<Record>,
    /// What was handed to an append of which nothing is known.
    open: Batch,
    snapshot: Option<Saved>,
    open_snapshot: Option<Saved>,
    counts: Counts,
}

#[derive(Default, Clone, PartialEq, Eq)]
struct Saved {
    upto: u64,
    chunks: BTreeMap<String, Bytes>,
}

impl fmt::Debug for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lengths = self.chunks.iter().map(|(key, bytes)| (key, bytes.len()));
        write!(f, "{} ", self.upto)?;
        f.debug_map().entries(lengths).finish()
    }
}

/// What happened, to show that the test does what it says.
#[derive(Debug, Default)]
struct Counts {
    crashes: u64,
    acknowledged: u64,
    torn: u64,
    failed_syncs: u64,
    open_kept: u64,
    open_lost: u64,
    snapshots: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.crashes += other.crashes;
        self.acknowledged += other.acknowledged;
        self.torn += other.torn;
        self.failed_syncs += other.failed_syncs;
        self.open_kept += other.open_kept;
        self.open_lost += other.open_lost;
        self.snapshots += other.snapshots;
    }
}

/// Lives through many crashes with one log, and says what was wrong after which.
fn live(seed: u64, omit: Omit) -> (Counts, Result<(), String>) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut files = Simulated::new(random.below(u64::MAX));
    let mut model = Model::default();
    let runtime = runtime();
    for crash in 0..CRASHES_PER_LOG {
        files.omit(omit);
        let outcome = runtime.block_on(async {
            check(&files, &mut model).await?;
            work(&files, &mut model, &mut random).await;
            Ok::<_, String>(())
        });
        if let Err(wrong) = outcome {
            return (model.counts, Err(format!("seed {seed}, crash {crash}: {wrong}")));
        }
        files = files.after_crash();
        model.counts.crashes += 1;
    }
    let last = runtime.block_on(check(&files, &mut model));
    (model.counts, last.map_err(|wrong| format!("seed {seed}, at last: {wrong}")))
}

/// Opens the log and compares it with the model, which then takes over what is there.
async fn check(files: &Simulated, model: &mut Model) -> Result<(), String> {
    let log = open_on(files, SEGMENT_BYTES).map_err(|it| it.to_string())?;
    model.counts.torn += log.torn_tails().len() as u64;
    let found = read_all(&log).await.map_err(|it| it.to_string())?;
    let with_open: Vec<_> = model.records.iter().chain(&model.open).cloned().collect();
    if found != model.records && found != with_open {
        let (found, acknowledged, open) = (found.len(), model.records.len(), model.open.len());
        return Err(format!("{found} records are there, not {acknowledged} or {open} more"));
    }
    if !model.open.is_empty() {
        let kept = found.len() > model.records.len();
        *(if kept { &mut model.counts.open_kept } else { &mut model.counts.open_lost }) += 1;
    }
    let verified = log.verify(PARTITION, Depth::Chains).map_err(|it| it.to_string())?;
    if let Some(damage) = verified.damage {
        return Err(damage.to_string());
    }
    (model.records, model.open) = (found, Vec::new());
    let snapshot = log.snapshot(PARTITION, 0).await.map_err(|it| it.to_string())?;
    let snapshot = snapshot.map(|it| Saved {
        upto: it.upto.0,
        chunks: it.chunks.into_iter().map(|it| (it.key, it.bytes.unwrap())).collect(),
    });
    let open = model.open_snapshot.take();
    if snapshot != model.snapshot && snapshot != open {
        return Err(format!("the snapshot is {snapshot:?}, not {:?} or {open:?}", model.snapshot));
    }
    model.snapshot = snapshot;
    Ok(())
}

/// Appends and saves until the crash, or not much longer.
async fn work(files: &Simulated, model: &mut Model, random: &mut Random) {
    let crash = if random.below(4) == 0 { Crash::Process } else { Crash::Power };
    files.crash_after(random.below(150), crash);
    let Ok(log) = open_on(files, SEGMENT_BYTES) else { return };
    let Ok(mut writer) = log.claim(PARTITION).await else { return };
    for _ in 0..60 {
        if random.below(15) == 0 {
            let extension = if random.below(2) == 0 { "segment" } else { "temporary" };
            files.fail_sync_of(extension, random.below(3));
        }
        if random.below(6) == 0 && !save(&mut writer, model, random).await {
            return;
        }
        let batch = next_batch(model, random);
        match writer.append(batch.clone()).await {
            Ok(_) => model.records.extend(batch),
            Err(AppendError::Refused(_)) => (),
            Err(AppendError::Unknown(_)) => {
                model.open = batch;
                model.counts.failed_syncs += 1;
                let Ok(next) = log.claim(PARTITION).await else { return };
                writer = next;
                // The claim has settled it, and the log says how.
                let end = log.end(PARTITION).await.unwrap().0;
                let open = std::mem::take(&mut model.open);
                if end > model.records.len() as u64 {
                    model.records.extend(open);
                }
            }
            Err(AppendError::Fenced) => unreachable!("nobody else claims"),
        }
        model.counts.acknowledged = model.records.len() as u64;
    }
}

/// Saves a snapshot and says whether the log still works.
async fn save(writer: &mut Box<dyn Writer>, model: &mut Model, random: &mut Random) -> bool {
    let mut saved = model.snapshot.clone().unwrap_or_default();
    saved.upto = model.records.len() as u64;
    let mut chunks = Vec::new();
    for _ in 0..random.below(4) {
        let key = format!("stream {}", random.below(10));
        let bytes = vec![b'x'; usize::try_from(random.below(1500)).unwrap()];
        let bytes = (random.below(5) > 0).then(|| Bytes::from(bytes));
        match &bytes {
            Some(bytes) => drop(saved.chunks.insert(key.clone(), bytes.clone())),
            None => drop(saved.chunks.remove(&key)),
        }
        chunks.push(SnapshotChunk { key, bytes });
    }
    let changed = Snapshot { upto: Position(saved.upto), fold: 1, chunks };
    model.open_snapshot = Some(saved);
    if writer.save_snapshot(changed).await.is_err() {
        return false;
    }
    model.snapshot = model.open_snapshot.take();
    model.counts.snapshots += 1;
    true
}

fn next_batch(model: &Model, random: &mut Random) -> Batch {
    let (count, bytes) = (1 + random.below(6), random.below(700));
    batch_after(&model.records, count, usize::try_from(bytes).unwrap())
}

#[test]
fn acknowledged_batches_survive_every_crash() {
    let wanted = match std::env::var("CALLBOARD_TEST_PROFILE").as_deref() {
        Ok("full") => CRASHES_FULL,
        _ => CRASHES,
    };
    let mut counts = Counts::default();
    for seed in 1..=wanted.div_ceil(CRASHES_PER_LOG) {
        let (lived, outcome) = live(seed, Omit::Nothing);
        counts.add(&lived);
        outcome.unwrap();
    }
    println!("{counts:?}");
    assert!(counts.crashes >= wanted);
    assert!(counts.torn > 0 && counts.failed_syncs > 0 && counts.snapshots > 0, "{counts:?}");
    assert!(counts.open_kept > 0 && counts.open_lost > 0, "{counts:?}");
}

#[test]
fn a_log_that_does_not_sync_is_found_out() {
    for omit in [Omit::SyncsOf("segment"), Omit::SyncsOf("temporary"), Omit::FolderSyncs] {
        let found_out = (1..=10).filter(|seed| live(*seed, omit).1.is_err()).count();
        println!("without {omit:?}, {found_out} of 10 logs lost something");
        assert!(found_out > 0, "{omit:?}");
    }
}
