//! How many events a second the embedded log makes durable, against a bare file.
//!
//! `cargo bench -p event-log --bench append [seconds]`. Each row has a number of writers that
//! wait for their own event before they send the next; whatever waits goes into one append. The
//! baseline writes the same bytes with the same syncs to one file, zeroed ahead, with nothing
//! else to do: what the disk alone would allow. Both take turns, so that both meet the same
//! machine: ratios within a run mean something, absolute figures only on an idle machine. Each
//! row ends with how fast the log is read back after it was opened again.

#![expect(clippy::print_stdout, reason = "printing figures is what this program does")]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use event_log::{
    Attribute, Draft, EmbeddedLog, EventLog, Link, Partition, Position, Record, embedded::Settings,
};
use tokio::sync::{mpsc, oneshot};

/// Length of the canonical form of every event. In bytes.
const EVENT_BYTES: usize = 300;

/// Bytes that a frame and each of its records take besides the events.
const FRAME_BYTES: usize = 48;
const RECORD_BYTES: usize = 38;

/// Length of the baseline's file, overwritten in turns. In bytes: 256 MiB.
const BASELINE_BYTES: usize = 256 * 1024 * 1024;

type Request = (Record, oneshot::Sender<Position>);

/// How often the log and the baseline take turns in a row.
const TURNS: u32 = 5;

fn main() {
    let seconds = std::env::args().find_map(|it| it.parse().ok()).unwrap_or(5);
    let turn = Duration::from_secs(seconds) / TURNS;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    println!("waiting  events/s  events/append   p50 µs   p99 µs  bare file  ratio  read back/s");
    for waiting in [1, 64, 256, 1024] {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let baseline = Baseline::create(folder.path());
        let (mut row, mut bare) = (Row::default(), Duration::ZERO);
        let log = EmbeddedLog::open(folder.path().join("log"), Settings::default());
        let log = log.expect("the log opens");
        for _ in 0..TURNS {
            let before = row.batches.len();
            runtime.block_on(append(&log, waiting, turn, &mut row));
            bare += baseline.repeat(&row.batches[before..]);
        }
        drop(log);
        row.latencies.sort_unstable();
        let events: usize = row.batches.iter().sum();
        let read = runtime.block_on(read_back(folder.path().join("log"), events));
        println!(
            "{waiting:7}  {:8}  {:13}  {:7}  {:7}  {:9}  {:3} %  {:11}",
            rate(events, row.took),
            events / row.batches.len(),
            row.percentile(50),
            row.percentile(99),
            rate(events, bare),
            rate(events, row.took) * 100 / rate(events, bare),
            rate(events, read),
        );
    }
}

fn rate(events: usize, took: Duration) -> u128 {
    events as u128 * 1_000_000_000 / took.as_nanos()
}

#[derive(Default)]
struct Row {
    /// How many events each append had.
    batches: Vec<usize>,
    latencies: Vec<Duration>,
    took: Duration,
}

impl Row {
    fn percentile(&self, percent: usize) -> u128 {
        self.latencies[(self.latencies.len() - 1) * percent / 100].as_micros()
    }
}

/// Appends for about `duration` with this many events waiting at any time.
async fn append(log: &EmbeddedLog, waiting: usize, duration: Duration, row: &mut Row) {
    let mut writer = log.claim(Partition(0)).await.expect("the partition can be claimed");
    let record = event();
    let (requests, mut inbox) = mpsc::channel::<Request>(waiting);
    let started = Instant::now();
    let clients: Vec<_> = (0..waiting)
        .map(|_| {
            let (requests, record) = (requests.clone(), record.clone());
            tokio::spawn(client(requests, record, started + duration))
        })
        .collect();
    drop(requests);
    let mut taken = Vec::new();
    while inbox.recv_many(&mut taken, waiting).await > 0 {
        let (records, replies): (Vec<_>, Vec<_>) = taken.drain(..).unzip();
        row.batches.push(records.len());
        let positions = writer.append(records).await.expect("the log takes the batch");
        for (reply, position) in replies.into_iter().zip(positions) {
            reply.send(position).expect("the client waits");
        }
    }
    row.took += started.elapsed();
    for client in clients {
        row.latencies.extend(client.await.expect("a client does not fail"));
    }
}

/// Opens the log again and reads this many events.
async fn read_back(folder: PathBuf, events: usize) -> Duration {
    let started = Instant::now();
    let log = EmbeddedLog::open(folder, Settings::default()).expect("the log opens");
    let mut reader = log.read(Partition(0), Position::START).await.expect("it can be read");
    let mut read = 0;
    while read < events {
        read += reader.next(4096).await.expect("it can be read").len();
    }
    started.elapsed()
}

/// Sends one event after the other, each once the one before is durable.
async fn client(requests: mpsc::Sender<Request>, record: Record, until: Instant) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let asked = Instant::now();
        let (reply, answer) = oneshot::channel();
        requests.send((record.clone(), reply)).await.expect("the log is open");
        answer.await.expect("the log answers");
        latencies.push(asked.elapsed());
    }
    latencies
}

fn event() -> Record {
    let empty = Draft { attributes: [""; Attribute::ALL.len()], value: &[] };
    let bytes = Record::seal(&empty, Link::GENESIS, None).expect("it is small").canonical().len();
    let value = vec![b'x'; EVENT_BYTES - bytes];
    let draft = Draft { value: &value, ..empty };
    Record::seal(&draft, Link::GENESIS, None).expect("it is small")
}

/// One file, written before, and nothing around it.
struct Baseline {
    file: File,
    bytes: Vec<u8>,
}

impl Baseline {
    fn create(folder: &Path) -> Self {
        let file = File::create(folder.join("bare")).expect("the file can be created");
        let zeros = vec![0; 4 * 1024 * 1024];
        for offset in (0..BASELINE_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, offset as u64).expect("there is room");
        }
        file.sync_all().expect("the file can be synced");
        Self { file, bytes: vec![b'x'; 1024 * (EVENT_BYTES + RECORD_BYTES) + FRAME_BYTES] }
    }

    /// Writes as many bytes with as many syncs.
    fn repeat(&self, batches: &[usize]) -> Duration {
        let started = Instant::now();
        let mut offset = 0;
        for events in batches {
            let length = events * (EVENT_BYTES + RECORD_BYTES) + FRAME_BYTES;
            if offset + length > BASELINE_BYTES {
                offset = 0;
            }
            let bytes = &self.bytes[..length];
            self.file.write_all_at(bytes, offset as u64).expect("the file can be written");
            self.file.sync_data().expect("the file can be synced");
            offset += length;
        }
        started.elapsed()
    }
}
