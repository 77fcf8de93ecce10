//! How fast the read models are filled from the log, and how fast they answer.
//!
//! `cargo bench -p projections --bench rebuild -- [events] [postgres://…]`: with an address, whose
//! database should be empty, into PostgreSQL instead of SQLite. First every record is read and
//! decoded once, by one task, with nothing to apply: the baseline of the run. Then all models
//! follow the same log into empty tables at once, as after their folder was deleted; then each is
//! rebuilt alone; then all follow what is appended in small batches, as they do beside commands.
//! Processor time counts this process alone, wall time whatever else runs on the machine.

#![expect(clippy::print_stdout, reason = "printing figures is what this program does")]
#![expect(clippy::float_arithmetic, reason = "rates are for people to read")]
#![expect(clippy::cast_precision_loss, reason = "rates are for people to read")]
#![expect(clippy::unwrap_used, reason = "a bench that fails has nothing to report")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use domain::id::{CustomerId, SubscriptionId};
use domain::usage::{Entry, Timed};
use domain::{Event, Principal, Stream, subscription, usage};
use event_log::{Attribute, EventLog, MemoryLog, Partition, Position};
use hdrhistogram::Histogram;
use projections::catalog::{Filter, Selection, entities};
use projections::page::Window;
use projections::{Model, PostgresTables, Projections, Settings, Tables};
use serde_json::{Value, json};
use testing::{History, actor, keyring, tenant};
use uuid::Uuid;

#[path = "../src/testing.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod testing;

const PATIENCE: Duration = Duration::from_secs(3_600);
const PARTITION: Partition = Partition(0);
/// The entities of the first tenant, which the readers are measured on.
const ENTITIES: u64 = 10_000;
const TENANTS: u64 = 10;
const CUSTOMERS: u64 = 40;

fn main() {
    let events = std::env::args().find_map(|it| it.parse().ok()).unwrap_or(1_000_000);
    tokio::runtime::Runtime::new().unwrap().block_on(run(events));
}

async fn run(events: u64) {
    let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
    let keyring = keyring().await;
    let mut history = History::new(log.clone(), &keyring).await;
    let mut last = fill(&mut history, events).await;
    println!("{events} events: 88 % usage of 2 entries, 11 % entities, 1 % subscriptions");
    println!("what                     seconds    cpu s   events/s   cpu µs/event");
    let spent = Spent::begin();
    decode_all(log.as_ref(), events).await;
    spent.row("bare decoding", events);

    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(folder.path());
    if let Some(url) = std::env::args().find(|it| it.starts_with("postgres")) {
        settings.tables = Tables::Postgres(PostgresTables::new(url));
    }
    let spent = Spent::begin();
    let projections = Projections::start(settings, log, keyring).await.unwrap();
    let models = projections.models();
    models.wait_for(&Model::ALL, PARTITION, last, PATIENCE).await.unwrap();
    spent.row("all models at once", events);
    drop(models);
    for model in Model::ALL {
        let spent = Spent::begin();
        projections.rebuild(model).await.unwrap();
        spent.row(model.name(), events);
    }
    follow(&projections, &mut history, events).await;

    println!("what                            p50 µs     p95 µs     p99 µs");
    lists(&projections).await;
    let mut visible = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).unwrap();
    for number in 0..500 {
        let begin = Instant::now();
        history.register(tenant(0), &component(ENTITIES + number, 0), None).await;
        last = history.append().await;
        let models = projections.models();
        models.wait_for(&[Model::Catalog], PARTITION, last, PATIENCE).await.unwrap();
        visible.saturating_record(micros(begin));
    }
    latencies("registered until visible", &visible);
    projections.stop().await;
}

/// The batches that are followed at the end.
const BATCHES: u64 = 200;
/// The events of each.
const BATCH: u64 = 64;

/// All models follow batches of 64 events, each waited for: no batch is coalesced with another.
async fn follow(projections: &Projections, history: &mut History, events: u64) {
    let mut random = Random(11);
    let mut batches = Vec::new();
    for batch in 0..BATCHES {
        for number in 0..BATCH {
            make(history, events + batch * BATCH + number, &mut random).await;
        }
        batches.push(history.take());
    }
    let models = projections.models();
    let spent = Spent::begin();
    for batch in batches {
        let last = history.write(batch).await;
        models.wait_for(&Model::ALL, PARTITION, last, PATIENCE).await.unwrap();
    }
    spent.row("batches of 64", BATCHES * BATCH);
}

/// What was spent since a moment.
struct Spent {
    begin: Instant,
    cpu: Duration,
}

impl Spent {
    fn begin() -> Self {
        Self { begin: Instant::now(), cpu: cpu_time() }
    }

    fn row(&self, what: &str, events: u64) {
        let cpu = cpu_time().saturating_sub(self.cpu).as_secs_f64();
        let seconds = self.begin.elapsed().as_secs_f64();
        let (rate, each) = (events as f64 / seconds, cpu * 1e6 / events as f64);
        println!("{what:<22} {seconds:>9.2} {cpu:>8.2} {rate:>10.0} {each:>14.2}");
    }
}

/// The processor time of this process, in hundredths of a second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name before the last parenthesis may hold anything.
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split(' ').collect();
    let ticks = |field: usize| fields[field].parse::<u64>().unwrap();
    Duration::from_millis(10 * (ticks(12) + ticks(13)))
}

fn latencies(what: &str, of: &Histogram<u64>) {
    let at = |it| of.value_at_quantile(it);
    println!("{what:<27} {:>10} {:>10} {:>10}", at(0.5), at(0.95), at(0.99));
}

fn micros(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX)
}

async fn lists(projections: &Projections) {
    let own = Principal::unchecked(tenant(0), actor(1));
    for (what, sets) in [
        ("20 of all", vec![]),
        ("20 of a kind", vec!["kind=component"]),
        ("20 of a kind and type", vec!["kind=component,spec.type=type3"]),
        ("20 of an owner", vec!["relations.ownedBy=group:default/team-7"]),
    ] {
        let selection = Selection::matching(Filter::parse_sets(&sets).unwrap());
        let mut listed = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).unwrap();
        let mut counted = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).unwrap();
        for _ in 0..1_000 {
            let models = projections.models();
            let begin = Instant::now();
            let page = entities::list(&models, &own, &selection, &Window::first(20)).await.unwrap();
            listed.saturating_record(micros(begin));
            assert_eq!(page.edges.len(), 20);
            let begin = Instant::now();
            entities::count(&models, &own, &selection).await.unwrap();
            counted.saturating_record(micros(begin));
        }
        latencies(what, &listed);
        latencies("  their number", &counted);
    }
}

/// What every model has to do at least: read each record and decode it.
async fn decode_all(log: &dyn EventLog, events: u64) -> Duration {
    let begin = Instant::now();
    let mut reader = log.read(PARTITION, Position::START).await.unwrap();
    let mut left = events;
    while left > 0 {
        for it in reader.next(8_192).await.unwrap() {
            let name = it.record.attribute(Attribute::Type);
            std::hint::black_box(Event::decode(name, &it.record.value()).unwrap());
            left -= 1;
        }
    }
    begin.elapsed()
}

async fn fill(history: &mut History, events: u64) -> Position {
    let mut last = Position::START;
    let mut random = Random(7);
    for number in 0..events {
        make(history, number, &mut random).await;
        if history.pending() == 4_096 || number == events - 1 {
            last = history.append().await;
        }
    }
    last
}

/// The event of this number.
async fn make(history: &mut History, number: u64, random: &mut Random) {
    history.actor = actor(u128::from(random.below(200)));
    let tenant = tenant(u128::from(random.below(TENANTS)));
    match number % 100 {
        0 => {
            let id = SubscriptionId(Uuid::from_u128(u128::from(number)));
            history.event(tenant, Stream::Subscription(id), started(number, history.now));
        }
        1..=11 => {
            change_entity(history, number / 100 * 11 + number % 100 - 1, random).await;
        }
        _ => {
            let entries = (0..2).map(|_| entry(number, random, history.now)).collect();
            let event = usage::Event::Recorded { entries, others: vec![], consumed: vec![] };
            history.event(tenant, Stream::Usage, Event::Usage(event));
        }
    }
    // 90 days for a million events.
    history.now += TimeDelta::milliseconds(6_776);
}

async fn change_entity(history: &mut History, number: u64, random: &mut Random) {
    if number < ENTITIES {
        history.register(tenant(0), &component(number, 0), None).await;
    } else {
        let which = random.below(ENTITIES);
        history.update(tenant(0), &component(which, number), None).await;
    }
}

fn component(number: u64, version: u64) -> Value {
    let kind = ["Component", "API", "Resource", "System"][usize::try_from(number % 4).unwrap()];
    json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": kind,
        "metadata": {
            "name": format!("service-{number}"),
            "title": format!("Service number {number}"),
            "description": format!("What service {number} does for its users, in version {version}"),
            "tags": ["java", format!("tag-{}", number % 17), format!("tag-{}", version % 5)],
            "labels": { "tier": (number % 3).to_string() },
            "annotations": {
                "backstage.io/techdocs-ref": "dir:.",
                "github.com/project-slug": format!("example/service-{number}"),
            },
            "links": [{ "url": format!("https://example.com/{number}"), "title": "Dashboard" }],
        },
        "spec": {
            "type": format!("type{}", number / 4 % 5),
            "lifecycle": if version.is_multiple_of(2) { "production" } else { "experimental" },
            "owner": format!("team-{}", number % 50),
            "system": format!("system-{}", number % 100),
            "definition": "openapi: 3.1.0",
            "dependsOn": [format!("component:service-{}", number / 4 * 4)],
        },
    })
}

fn started(number: u64, at: chrono::DateTime<chrono::Utc>) -> Event {
    let terms = json!({
        "name": "Basic", "currency": "EUR", "interval": { "unit": "month", "count": 1 },
        "items": [], "quotas": [], "trial_days": 0,
    });
    let plan = domain::id::PlanId(Uuid::from_u128(1));
    let sold =
        subscription::Sold { plan, version: 1, terms: serde_json::from_value(terms).unwrap() };
    Event::Subscription(subscription::Event::Started {
        customer: CustomerId(Uuid::from_u128(u128::from(number % CUSTOMERS))),
        sold,
        time_zone: chrono_tz::UTC,
        anchor: at,
        trial_end: None,
        period_end: at + chrono::TimeDelta::days(30),
        at,
    })
}

fn entry(number: u64, random: &mut Random, now: chrono::DateTime<chrono::Utc>) -> Entry {
    let meter =
        ["api.calls", "storage.gb", "build.minutes"][usize::try_from(random.below(3)).unwrap()];
    Entry {
        source: "bench".into(),
        id: number.to_string().into(),
        meter: meter.parse().unwrap(),
        customer: CustomerId(Uuid::from_u128(u128::from(random.below(CUSTOMERS)))),
        at: now,
        timed: Timed::BySource,
        value: format!("{}.25", random.below(1_000)).parse().unwrap(),
        dimensions: BTreeMap::new(),
    }
}

/// The same numbers in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
