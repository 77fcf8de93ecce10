//! How many validated, durable commands a second one partition decides, against the log alone.
//!
//! `cargo bench -p commands --bench commands [seconds [what [waiting]]]` measures every row, or the
//! one that is named. Each has a number of clients that wait for their own answer before they ask
//! again: everything counts, from checking the descriptor to the answer after the sync. The
//! baseline then appends the very records that were written, with as many clients waiting and
//! nothing to decide. Ratios within a run mean something, absolute figures only on an idle
//! machine. `cpu` is what this process spent on each command or append, clients included.

#![expect(clippy::print_stdout, reason = "printing figures is what this program does")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use commands::{Commands, Request, Settings, SystemClock};
use domain::id::{ActorId, TenantId};
use domain::operation::{EntityChange, ExpectedRevision, Operation, UsageEntry};
use domain::principal::Principal;
use event_log::{EmbeddedLog, EventLog, Partition, Position, Record, embedded};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;
use vault::{Keyring, MemoryVault, Root};

/// How long anything may take that is not measured.
const SOON: Duration = Duration::from_secs(10);

/// The most requests that wait for one batch, as in the write side itself.
const BATCH_MAX: usize = 1_024;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let seconds = arguments.first().and_then(|it| it.parse().ok()).unwrap_or(5);
    let asked = |index: usize, it: &str| arguments.get(index).is_none_or(|asked| asked == it);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    println!(
        "what        waiting  commands/s   p50 µs   p99 µs  cpu µs  bytes  log alone/s  cpu µs  ratio"
    );
    for (name, ask) in [("entity", entity as Ask), ("usage", usage as Ask)] {
        for waiting in [1, 64, 256, 1024] {
            if !asked(1, name) || !asked(2, &waiting.to_string()) {
                continue;
            }
            let duration = Duration::from_secs(seconds);
            let folder = tempfile::tempdir().expect("there is a temporary folder");
            let (row, records) = runtime.block_on(measure(folder.path(), waiting, duration, ask));
            let bytes: usize = records.iter().map(|it| it.canonical().len()).sum();
            let mean = bytes / records.len().max(1);
            let alone = runtime.block_on(alone(folder.path(), waiting, records));
            println!(
                "{name:10}  {waiting:7}  {:10}  {:7}  {:7}  {:6}  {mean:5}  {:11}  {:6}  {:4} %",
                row.rate(),
                row.percentile(50),
                row.percentile(99),
                row.cpu_each(),
                alone.rate(),
                alone.cpu_each(),
                row.rate() * 100 / alone.rate().max(1),
            );
        }
    }
}

/// What a client asks for the n-th time.
type Ask = fn(client: usize, number: usize) -> Operation;

fn entity(client: usize, number: usize) -> Operation {
    let descriptor = json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": { "name": format!("service-{client}"), "description": format!("version {number}") },
        "spec": { "type": "service", "lifecycle": "production", "owner": "group:default/platform" },
    });
    let expected = ExpectedRevision::Any;
    Operation::ApplyEntities {
        changes: vec![EntityChange::Put { descriptor, location: None, expected }],
    }
}

fn usage(client: usize, number: usize) -> Operation {
    Operation::RecordUsage {
        entries: vec![UsageEntry {
            source: "bench".to_owned(),
            id: format!("{client}-{number}"),
            meter: "api.calls".parse().expect("it is a key"),
            customer: None,
            at: None,
            value: 1.into(),
            dimensions: std::collections::BTreeMap::new(),
        }],
    }
}

struct Row {
    latencies: Vec<Duration>,
    took: Duration,
    cpu: Duration,
}

/// When something began, by the clock and by the time this process had used up.
struct Began(Instant, Duration);

impl Began {
    fn now() -> Self {
        Self(Instant::now(), cpu())
    }
}

/// The processor time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("this is Linux");
    // The name of the program, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')').expect("it has a name");
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|it| it.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

impl Row {
    fn cpu_each(&self) -> u128 {
        self.cpu.as_micros() / self.latencies.len().max(1) as u128
    }

    fn rate(&self) -> u128 {
        self.latencies.len() as u128 * 1_000_000_000 / self.took.as_nanos()
    }

    fn percentile(&self, percent: usize) -> u128 {
        self.latencies[(self.latencies.len() - 1) * percent / 100].as_micros()
    }

    async fn of(began: Began, clients: Vec<tokio::task::JoinHandle<Vec<Duration>>>) -> Self {
        let mut latencies = Vec::new();
        for client in clients {
            latencies.extend(client.await.expect("a client does not fail"));
        }
        let (took, cpu) = (began.0.elapsed(), cpu() - began.1);
        latencies.sort_unstable();
        Self { latencies, took, cpu }
    }
}

/// Commands for about `duration`, and the records they wrote.
async fn measure(
    folder: &Path,
    waiting: usize,
    duration: Duration,
    ask: Ask,
) -> (Row, Vec<Record>) {
    let log = EmbeddedLog::open(folder.join("log"), embedded::Settings::default());
    let log = Arc::new(log.expect("the log opens"));
    let root = Root::from_hex(&"07".repeat(32), "the bench").expect("it is a key");
    let keyring = Keyring::open(Arc::new(MemoryVault::default()), root).await.expect("it opens");
    let settings = Settings::new(folder.join("identities"));
    let commands = Commands::start(log.clone(), keyring, Arc::new(SystemClock), settings)
        .await
        .expect("the write side starts");
    let acme = tenant(&commands).await;
    let first = log.end(Partition(0)).await.expect("the log is open");
    let began = Began::now();
    let started = began.0;
    let clients = (0..waiting).map(|client| {
        let (commands, acme) = (commands.clone(), acme.clone());
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            while started.elapsed() < duration {
                let asked = Instant::now();
                let request = Request::new(ask(client, latencies.len()));
                let outcome = commands.submit(&acme, request).await.expect("it is accepted");
                assert_eq!(outcome.events.len(), 1);
                latencies.push(asked.elapsed());
            }
            latencies
        })
    });
    let row = Row::of(began, clients.collect()).await;
    commands.stop().await;
    (row, records(&*log, first).await)
}

async fn tenant(commands: &Commands) -> Principal {
    let tenant = TenantId(Uuid::now_v7());
    let operator = Principal::unchecked(TenantId::SYSTEM, ActorId(Uuid::now_v7()));
    let slug = "acme".parse().expect("it is a slug");
    let name = "Acme".parse().expect("it is a name");
    let register = Operation::RegisterTenant { tenant, slug, name, owner: None };
    commands.submit(&operator, Request::new(register)).await.expect("it is registered");
    commands.created(tenant, SOON).await.expect("it is created");
    let acme = Principal::unchecked(tenant, ActorId(Uuid::now_v7()));
    let meter = Operation::DefineMeter {
        key: "api.calls".parse().expect("it is a key"),
        name: "Calls".to_owned(),
        unit: "call".to_owned(),
        aggregation: domain::meter::Aggregation::Sum,
    };
    commands.submit(&acme, Request::new(meter)).await.expect("it is defined");
    acme
}

async fn records(log: &dyn EventLog, first: Position) -> Vec<Record> {
    let end = log.end(Partition(0)).await.expect("the log is open");
    let mut reader = log.read(Partition(0), first).await.expect("the log can be read");
    let mut records = Vec::new();
    let mut next = first;
    while next < end {
        for recorded in reader.next(10_000).await.expect("the log can be read") {
            next = recorded.position.next();
            records.push(recorded.record);
        }
    }
    records
}

/// Appends `records` with this many of them waiting at any time.
async fn alone(folder: &Path, waiting: usize, records: Vec<Record>) -> Row {
    let log = EmbeddedLog::open(folder.join("alone"), embedded::Settings::default());
    let log = log.expect("the log opens");
    let mut writer = log.claim(Partition(0)).await.expect("the partition can be claimed");
    let (requests, mut inbox) = mpsc::channel::<(Record, oneshot::Sender<Position>)>(waiting);
    let mut shares = vec![Vec::new(); waiting];
    for (index, record) in records.into_iter().enumerate() {
        shares[index % waiting].push(record);
    }
    let began = Began::now();
    let clients = shares.into_iter().map(|share| {
        let requests = requests.clone();
        tokio::spawn(async move {
            let mut latencies = Vec::with_capacity(share.len());
            for record in share {
                let asked = Instant::now();
                let (reply, answer) = oneshot::channel();
                requests.send((record, reply)).await.expect("the log is open");
                answer.await.expect("the log answers");
                latencies.push(asked.elapsed());
            }
            latencies
        })
    });
    let clients = clients.collect();
    drop(requests);
    let appender = tokio::spawn(async move {
        let mut taken = Vec::new();
        while inbox.recv_many(&mut taken, BATCH_MAX).await > 0 {
            let (records, replies): (Vec<_>, Vec<_>) = taken.drain(..).unzip();
            let positions = writer.append(records).await.expect("the log takes the batch");
            for (reply, position) in replies.into_iter().zip(positions) {
                reply.send(position).expect("the client waits");
            }
        }
    });
    let row = Row::of(began, clients).await;
    appender.await.expect("the appender does not fail");
    row
}
