//! The index of usage identities at a given size: memory, start-up, lookups, recording.
//!
//! `cargo bench -p commands --bench identities -- 10M [--folder DIR]` records so many identities
//! as the owner does (look up, decide, remember, seal), then opens the index in a process of its
//! own, first with nothing of it in the page cache, and asks it for new and known ones. The
//! default is 1M; 100M take 2.4 GB of disk, as much again while merging.
#![expect(clippy::print_stdout, reason = "it reports to whoever runs it")]
#![expect(clippy::float_arithmetic, reason = "figures for people")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use commands::identities::{Fingerprint, Fingerprinter, Identities, Pending};
use domain::id::TenantId;
use domain::usage::Seen;
use event_log::Position;

const KEY: [u8; 16] = [7; 16];
const LOG: &str = "bench";

/// Identities per usage request.
const REQUEST: u64 = 1_000;

/// Lookups of each kind.
const LOOKUPS: u64 = 500_000;

/// Lookups of known identities while nothing is in the page cache.
const COLD_LOOKUPS: u64 = 20_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // A test run of all targets starts it without this.
    if !arguments.iter().any(|it| it == "--bench") {
        return;
    }
    let after = |flag: &str| {
        arguments.iter().position(|it| it == flag).and_then(|it| arguments.get(it + 1))
    };
    let count = arguments.iter().find_map(|it| parse(it)).unwrap_or(1_000_000);
    if let Some(folder) = after("--opened") {
        return measure_open(Path::new(folder), count);
    }
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = after("--folder").map_or(temporary.path().into(), PathBuf::from);
    let folder = folder.join("identities");
    Identities::delete(&folder).expect("an index of an earlier run can be deleted");
    measure_recording(&folder, count);
    let opened = std::process::Command::new(std::env::current_exe().expect("it runs"))
        .args(["--bench", "--opened"])
        .arg(&folder)
        .arg(count.to_string())
        .status();
    assert!(opened.expect("it can start itself").success());
    Identities::delete(&folder).expect("the index can be deleted");
}

/// A count like `1000`, `10M`.
fn parse(text: &str) -> Option<u64> {
    match text.strip_suffix('M') {
        Some(millions) => Some(millions.parse::<u64>().ok()? * 1_000_000),
        None => text.parse().ok(),
    }
}

fn fingerprint(fingerprinter: &Fingerprinter, number: u64) -> Fingerprint {
    let id = format!("8f14e45f-ceea-467f-a0e6-{number:012x}");
    let content = b"requests 1 2026-01-01T00:00:00Z cus_0190";
    fingerprinter.of(TenantId::SYSTEM, "gateway.example.com", &id, content)
}

fn measure_recording(folder: &Path, count: u64) {
    let fingerprinter = Fingerprinter::new(&KEY);
    let mut identities = Identities::open(folder, &KEY, LOG).expect("an empty index opens");
    let (started, mut recent_max, mut slowest) = (Instant::now(), 0, Duration::ZERO);
    for request in 0..count.div_ceil(REQUEST) {
        let begun = Instant::now();
        let numbers = request * REQUEST..((request + 1) * REQUEST).min(count);
        let asked: Vec<_> = numbers.map(|it| fingerprint(&fingerprinter, it)).collect();
        let mut pending = Pending::default();
        let seen = identities.lookup(&pending, &asked).expect("the index can be read");
        assert!(seen.iter().all(|it| *it == Seen::New));
        asked.into_iter().for_each(|it| pending.insert(it));
        identities.merge(pending);
        if identities.is_seal_due() {
            identities.seal(Position(request + 1));
        }
        recent_max = recent_max.max(identities.memory().recent);
        slowest = slowest.max(begun.elapsed());
    }
    let recorded = started.elapsed();
    identities.settle().expect("the index can be written");
    identities.seal(Position(count));
    identities.settle().expect("the index can be written");
    println!("{count} identities recorded in requests of {REQUEST}");
    println!("  recorded                {:>12.0} /s", per_second(count, recorded));
    println!("  slowest request         {:>12.1} ms", slowest.as_secs_f64() * 1e3);
    println!("  all sealed and merged   {:>12.1} s", started.elapsed().as_secs_f64());
    println!("  most in memory at once  {recent_max:>12} identities");
    println!("  peak resident memory    {:>12.1} MB", status_megabytes("VmHWM:"));
}

fn measure_open(folder: &Path, count: u64) {
    forget_pages(folder);
    let before = status_megabytes("VmRSS:");
    let started = Instant::now();
    let identities = Identities::open(folder, &KEY, LOG).expect("the index opens");
    let cold = started.elapsed();
    let resident = status_megabytes("VmRSS:") - before;
    let memory = identities.memory();
    let accounted = memory.filter_bytes + memory.fence_bytes + memory.recent_bytes;
    println!("opened: {} identities in {} runs", memory.sealed, memory.runs);
    println!("  start, disk not cached  {:>12.3} s", cold.as_secs_f64());
    println!("  resident memory         {resident:>12.1} MB");
    let per_identity = |bytes: f64| bytes / count as f64;
    println!("  resident per identity   {:>12.2} B", per_identity(resident * 1e6));
    println!("  accounted per identity  {:>12.2} B", per_identity(accounted as f64));
    let known = |it: u64| it.wrapping_mul(0x9e37_79b9_7f4a_7c15) % count;
    let rate = lookups(&identities, (0..COLD_LOOKUPS).map(known), Seen::Same);
    println!("  known, disk not cached  {rate:>12.0} /s");
    let rate = lookups(&identities, (0..LOOKUPS).map(|it| count + it), Seen::New);
    println!("  new                     {rate:>12.0} /s");
    lookups(&identities, (0..LOOKUPS).map(known), Seen::Same);
    let rate = lookups(&identities, (0..LOOKUPS).map(known), Seen::Same);
    println!("  known                   {rate:>12.0} /s");
    drop(identities);
    let started = Instant::now();
    drop(Identities::open(folder, &KEY, LOG).expect("the index opens"));
    println!("  start, disk cached      {:>12.3} s", started.elapsed().as_secs_f64());
}

/// Looks up these identities, and how many it did in a second.
fn lookups(identities: &Identities, numbers: impl Iterator<Item = u64>, expected: Seen) -> f64 {
    let fingerprinter = Fingerprinter::new(&KEY);
    let asked: Vec<_> = numbers.map(|it| fingerprint(&fingerprinter, it)).collect();
    let started = Instant::now();
    for asked in asked.chunks(100) {
        let seen = identities.lookup(&Pending::default(), asked).expect("the index can be read");
        assert!(seen.iter().all(|it| *it == expected));
    }
    per_second(asked.len() as u64, started.elapsed())
}

fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// Takes the files out of the page cache.
fn forget_pages(folder: &Path) {
    for file in std::fs::read_dir(folder).expect("the folder is there") {
        let file = std::fs::File::open(file.expect("a file").path()).expect("the file opens");
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advice is taken");
    }
}

/// A figure of this process from the system, in MB.
fn status_megabytes(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it runs on Linux");
    let line = status.lines().find(|it| it.starts_with(name)).expect("the system knows it");
    let kibibytes = line.split_whitespace().nth(1).expect("it has a value");
    kibibytes.parse::<f64>().expect("it is a number") * 1024.0 / 1e6
}
