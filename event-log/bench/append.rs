//! How many events a second the embedded log makes durable, against a bare file.
//!
//! `cargo bench -p event-log --bench append [seconds]`. Each row has a number of writers that
//! wait for their own event before they send the next; whatever waits goes into one append. The
//! baseline then writes the same bytes with the same syncs to one file, zeroed ahead, with
//! nothing else to do: what the disk alone would allow. Ratios within a run mean something,
//! absolute figures only on an idle machine.

#![expect(clippy::print_stdout, reason = "printing figures is what this program does")]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
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

fn main() {
    let seconds = std::env::args().find_map(|it| it.parse().ok()).unwrap_or(5);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    println!("waiting  events/s  events/append   p50 µs   p99 µs   bare file  ratio");
    for waiting in [1, 64, 256, 1024] {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let row = runtime.block_on(log(folder.path(), waiting, Duration::from_secs(seconds)));
        let baseline = baseline(folder.path(), &row.batches);
        let (events, nanoseconds) = (row.batches.iter().sum::<usize>(), row.took.as_nanos());
        let rate = events as u128 * 1_000_000_000 / nanoseconds;
        let bare = events as u128 * 1_000_000_000 / baseline.as_nanos();
        println!(
            "{waiting:7}  {rate:8}  {:13}  {:7}  {:7}  {bare:10}  {:4} %",
            events / row.batches.len(),
            row.percentile(50),
            row.percentile(99),
            rate * 100 / bare,
        );
    }
}

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
async fn log(folder: &Path, waiting: usize, duration: Duration) -> Row {
    let log = EmbeddedLog::open(folder.join("log"), Settings::default()).expect("the log opens");
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
    let mut batches = Vec::new();
    let mut taken = Vec::new();
    while inbox.recv_many(&mut taken, waiting).await > 0 {
        let (records, replies): (Vec<_>, Vec<_>) = taken.drain(..).unzip();
        batches.push(records.len());
        let positions = writer.append(records).await.expect("the log takes the batch");
        for (reply, position) in replies.into_iter().zip(positions) {
            reply.send(position).expect("the client waits");
        }
    }
    let took = started.elapsed();
    let mut latencies = Vec::new();
    for client in clients {
        latencies.extend(client.await.expect("a client does not fail"));
    }
    latencies.sort_unstable();
    Row { batches, latencies, took }
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

/// Writes as many bytes with as many syncs, and nothing else.
fn baseline(folder: &Path, batches: &[usize]) -> Duration {
    let file = File::create(folder.join("bare")).expect("the file can be created");
    let bytes = Arc::new(vec![b'x'; 1024 * (EVENT_BYTES + RECORD_BYTES) + FRAME_BYTES]);
    let zeros = vec![0; 4 * 1024 * 1024];
    for offset in (0..BASELINE_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, offset as u64).expect("there is room");
    }
    file.sync_all().expect("the file can be synced");
    let started = Instant::now();
    let mut offset = 0;
    for events in batches {
        let length = events * (EVENT_BYTES + RECORD_BYTES) + FRAME_BYTES;
        if offset + length > BASELINE_BYTES {
            offset = 0;
        }
        file.write_all_at(&bytes[..length], offset as u64).expect("the file can be written");
        file.sync_data().expect("the file can be synced");
        offset += length;
    }
    started.elapsed()
}
