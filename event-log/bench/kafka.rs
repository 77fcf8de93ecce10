//! How many events a second the log on Kafka makes durable, against a bare transactional producer.
//!
//! `cargo bench -p event-log --bench kafka -- host:port [seconds]`. Both
//! append batches of the same records, with the same headers, one transaction after the other, in
//! turns, each to a topic of its own on the same cluster: ratios within a run mean something,
//! absolute figures only on an idle machine. The processor time is that of this process. Each row
//! ends with how fast the log is read back.

#![expect(clippy::print_stdout, reason = "printing figures is what this program does")]

use std::time::{Duration, Instant};

use event_log::kafka::{BareProducer, KafkaConfig, KafkaLog, SESSION_TIMEOUT, Security, init};
use event_log::{Attribute, Draft, EventLog, Link, Partition, Position, Record};

/// Length of the canonical form of every event. In bytes.
const EVENT_BYTES: usize = 300;

/// How often the log and the baseline take turns in a row.
const TURNS: u32 = 5;

const PARTITION: Partition = Partition(0);

fn main() {
    let seconds = std::env::args().find_map(|it| it.parse().ok()).unwrap_or(5);
    let turn = Duration::from_secs(seconds) / TURNS;
    let Some(bootstrap) = std::env::args().find(|it| it.contains(':')) else {
        println!("no broker to measure on: name one as host:port, behind `--`");
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    println!(
        "batch  events/s  p50 µs  p99 µs  cpu µs/event  bare events/s  bare p50  bare p99  \
         bare cpu  rate  cpu ratio  read back/s"
    );
    for batch in [1, 20, 500, 5_000] {
        runtime.block_on(row(&bootstrap, batch, turn));
    }
}

async fn row(bootstrap: &str, size: usize, turn: Duration) {
    let (ours, theirs) = (topics(bootstrap).await, topics(bootstrap).await);
    let log = KafkaLog::open(ours).await.expect("the log opens");
    let bare = BareProducer::connect(&theirs).expect("the coordinator answers");
    let batch = vec![event(); size];
    let (mut row, mut baseline) = (Figures::default(), Figures::default());
    for _ in 0..TURNS {
        let mut writer = log.claim(PARTITION).await.expect("the partition can be claimed");
        let until = Instant::now() + turn;
        let meter = Meter::start();
        while Instant::now() < until {
            let asked = Instant::now();
            writer.append(batch.clone()).await.expect("the log takes the batch");
            row.latencies.push(asked.elapsed());
        }
        meter.stop(&mut row);
        drop(writer);
        tokio::task::block_in_place(|| repeat(&bare, &batch, turn, &mut baseline));
    }
    let events = row.latencies.len() * size;
    let started = Instant::now();
    let mut reader = log.read(PARTITION, Position::START).await.expect("it can be read");
    let mut read = 0;
    while read < events {
        read += reader.next(4096).await.expect("it can be read").len();
    }
    let read_back = events as u128 * 1_000_000_000 / started.elapsed().as_nanos();
    let (rate, bare) = (row.rate(size), baseline.rate(size));
    let (cpu, bare_cpu) = (row.nanoseconds_per_event(size), baseline.nanoseconds_per_event(size));
    println!(
        "{size:5}  {rate:8}  {:6}  {:6}  {:12}  {bare:13}  {:8}  {:8}  {:8}  {:3} %  {:7} %  \
         {read_back:11}",
        row.percentile(50),
        row.percentile(99),
        micros(cpu),
        baseline.percentile(50),
        baseline.percentile(99),
        micros(bare_cpu),
        rate * 100 / bare,
        cpu * 100 / bare_cpu,
    );
}

/// Has the bare producer append `batch` again and again for a turn.
fn repeat(bare: &BareProducer, batch: &[Record], turn: Duration, figures: &mut Figures) {
    let until = Instant::now() + turn;
    let meter = Meter::start();
    while Instant::now() < until {
        let asked = Instant::now();
        bare.append(batch).expect("it is committed");
        figures.latencies.push(asked.elapsed());
    }
    meter.stop(figures);
}

/// One decimal of a microsecond.
fn micros(nanoseconds: u128) -> String {
    format!("{}.{}", nanoseconds / 1000, nanoseconds % 1000 / 100)
}

async fn topics(bootstrap: &str) -> KafkaConfig {
    let nanoseconds = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |it| it.as_nanos());
    let config = KafkaConfig {
        bootstrap: bootstrap.to_owned(),
        prefix: format!("bench-{nanoseconds}."),
        replication: 1,
        session_timeout: SESSION_TIMEOUT,
        security: Security::Plaintext,
    };
    init(&config, 1).await.expect("topics can be made");
    config
}

#[derive(Default)]
struct Figures {
    latencies: Vec<Duration>,
    took: Duration,
    cpu: Duration,
}

impl Figures {
    fn rate(&self, size: usize) -> u128 {
        (self.latencies.len() * size) as u128 * 1_000_000_000 / self.took.as_nanos()
    }

    fn nanoseconds_per_event(&self, size: usize) -> u128 {
        self.cpu.as_nanos() / (self.latencies.len() * size) as u128
    }

    fn percentile(&self, percent: usize) -> u128 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() - 1) * percent / 100].as_micros()
    }
}

/// Measures a turn.
struct Meter {
    started: Instant,
    cpu: Duration,
}

impl Meter {
    fn start() -> Self {
        Self { started: Instant::now(), cpu: cpu() }
    }

    fn stop(self, figures: &mut Figures) {
        figures.took += self.started.elapsed();
        figures.cpu += cpu().saturating_sub(self.cpu);
    }
}

/// The processor time that this process has taken so far, threads that have ended included.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("the system tells");
    // Behind the name, which may hold anything: user and system time, in ticks of 10 ms.
    let (_, fields) = stat.rsplit_once(')').expect("the name is in brackets");
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|it| Duration::from_millis(it.parse::<u64>().expect("a number") * 10)).sum()
}

fn event() -> Record {
    let empty = Draft { attributes: ["sample"; Attribute::ALL.len()], value: &[] };
    let bytes = Record::seal(&empty, Link::GENESIS, None).expect("it is small").canonical().len();
    let value = vec![b'x'; EVENT_BYTES - bytes];
    let draft = Draft { value: &value, ..empty };
    Record::seal(&draft, Link::GENESIS, None).expect("it is small")
}
