//! A log of mixed events, written by real commands: how long all read models take to be rebuilt
//! from it, and what a node that has it costs at rest.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use commands::{Commands, Request};
use domain::calendar::{Interval, Unit};
use domain::customer::Role;
use domain::id::{CustomerId, PlanId, SubscriptionId};
use domain::meter::Aggregation;
use domain::operation::{EntityChange, ExpectedRevision, Operation, UsageEntry};
use domain::plan::Terms;
use domain::{Event, Principal};
use event_log::{Attribute, EventLog, Partition, Position};
use projections::{Model, Projections, Tables};
use serde_json::json;
use uuid::Uuid;

use super::child::processor_time_of;
use super::in_process::{InProcess, tenant};
use super::{Row, Verdict, percent, rate};
use crate::node::PROJECTION_BATCH_MAX;

/// The tenants whose events are mixed.
const TENANTS: usize = 10;

/// How many callers write at a time.
const CALLERS: usize = 256;

/// The entities of each tenant; once they are there they are updated.
const ENTITIES: u64 = 1_000;

/// The billing accounts of each tenant beside its own.
const CUSTOMERS: u128 = 40;

/// What is counted.
const METERS: [&str; 3] = ["api.calls", "storage.gb", "build.minutes"];

/// The plan that each tenant sells.
const PLAN: PlanId = PlanId(Uuid::from_u128(1));

/// How many records are read at a time.
const READ_MAX: usize = 8_192;

/// How long the read models may take. In seconds: 3,600.
const REBUILT_MAX: Duration = Duration::from_secs(3_600);

/// How fast read models are to be rebuilt, and where.
pub(crate) struct Target {
    /// What is measured.
    pub what: &'static str,
    /// The target in words.
    pub words: &'static str,
    /// What it comes to in events a second.
    pub rate_min: u64,
}

/// Writes `events` of 88 % usage of two entries, 11 % entities, and 1 % subscriptions into
/// `folder`, and rebuilds all read models from them.
///
/// # Errors
///
/// If a part does not start, or an event is refused.
pub(crate) async fn rebuilt(folder: &Path, events: u64) -> Result<Row> {
    let write_side = InProcess::start(folder).await?;
    let tables = Tables::Folder(write_side.folder.models());
    let target = Target {
        what: "all read models from mixed events",
        words: "1M in <= 20 s",
        rate_min: 50_000,
    };
    rebuilt_in(write_side, tables, events, &target).await
}

/// The same with the log of `write_side`, into `tables`.
///
/// # Errors
///
/// If a part does not start, or an event is refused.
pub(crate) async fn rebuilt_in(
    write_side: InProcess,
    tables: Tables,
    events: u64,
    target: &Target,
) -> Result<Row> {
    fill(&write_side, events).await?;
    let InProcess { log, keyring, commands, .. } = write_side;
    commands.stop().await;
    drop(commands);
    let (count, bare) = decode_all(log.as_ref()).await?;

    let (began, cpu) = (Instant::now(), processor_time_of("self")?);
    let settings = projections::Settings {
        batch_max: PROJECTION_BATCH_MAX,
        ..projections::Settings::on(tables)
    };
    let projections = Projections::start(settings, log.clone(), keyring).await?;
    let models = projections.models();
    for partition in (0..log.partitions()).map(Partition) {
        if let Some(last) = log.end(partition).await?.0.checked_sub(1) {
            models.wait_for(&Model::ALL, partition, Position(last), REBUILT_MAX).await?;
        }
    }
    let took = began.elapsed();
    let cpu = micros(processor_time_of("self")? - cpu) / count.max(1);
    drop(models);
    projections.stop().await;
    Ok(Row {
        what: target.what,
        measured: format!(
            "{count} events in {}, {}/s, {cpu} µs CPU each",
            seconds(took),
            rate(count, took)
        ),
        baseline: format!(
            "reading and decoding them once: {} ({} %)",
            seconds(bare),
            percent(micros(bare), micros(took))
        ),
        target: target.words,
        verdict: Verdict::of_part(rate(count, took) >= target.rate_min, events, 1_000_000),
    })
}

fn seconds(it: Duration) -> String {
    format!("{}.{:02} s", it.as_secs(), it.subsec_millis() / 10)
}

fn micros(it: Duration) -> u64 {
    u64::try_from(it.as_micros()).unwrap_or(u64::MAX)
}

/// Asks for everything.
async fn fill(write_side: &InProcess, events: u64) -> Result<()> {
    let mut members = Vec::with_capacity(TENANTS);
    for number in 0..TENANTS {
        let member = tenant(&write_side.commands, &format!("mixed-{number}")).await?;
        for operation in beginning(number) {
            write_side.commands.submit(&member, Request::new(operation)).await?;
        }
        members.push(member);
    }
    let next = Arc::new(AtomicU64::new(1));
    let callers = (0..CALLERS).map(|caller| {
        let (commands, next) = (write_side.commands.clone(), next.clone());
        let tenant = caller % TENANTS;
        tokio::spawn(write(commands, members[tenant].clone(), tenant, next, events))
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await??;
    }
    Ok(())
}

/// Asks for one event after the other until there are `events`.
async fn write(
    commands: Commands,
    member: Principal,
    tenant: usize,
    next: Arc<AtomicU64>,
    events: u64,
) -> Result<()> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= events {
            return Ok(());
        }
        commands.submit(&member, Request::new(operation(tenant, number))).await?;
    }
}

/// Accounts and plans are named per tenant: their identities are of the whole installation.
fn customer(tenant: usize, number: u128) -> CustomerId {
    CustomerId(Uuid::from_u128(1_000 * (tenant as u128 + 1) + number))
}

/// What a tenant needs before the rest means something.
fn beginning(tenant: usize) -> Vec<Operation> {
    let meters = METERS.iter().map(|key| Operation::DefineMeter {
        key: key.parse().expect("the keys are well formed"),
        name: (*key).to_owned(),
        unit: "unit".to_owned(),
        aggregation: Aggregation::Sum,
    });
    let customers = (0..CUSTOMERS).map(|number| Operation::OpenCustomer {
        customer: customer(tenant, number),
        role: Role::Customer,
        name: format!("Customer {number}"),
        contact: None,
        currency: None,
        time_zone: None,
    });
    let terms = Terms {
        name: "Basic".to_owned(),
        currency: "EUR".parse().expect("a currency code"),
        interval: Interval { unit: Unit::Month, count: 1 },
        items: Vec::new(),
        quotas: Vec::new(),
        trial_days: 0,
    };
    let plan = Operation::PublishPlanVersion { plan: PLAN, is_new: true, terms };
    meters.chain(customers).chain([plan]).collect()
}

fn operation(tenant: usize, number: u64) -> Operation {
    match number % 100 {
        0 => Operation::StartSubscription {
            subscription: SubscriptionId(Uuid::from_u128(u128::from(number))),
            customer: customer(tenant, u128::from(number / 100) % CUSTOMERS),
            plan: PLAN,
            version: None,
        },
        it @ 1..=11 => put(number / 100 * 11 + it - 1),
        _ => {
            Operation::RecordUsage { entries: (0..2).map(|it| entry(tenant, number, it)).collect() }
        }
    }
}

fn entry(tenant: usize, number: u64, which: u64) -> UsageEntry {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    UsageEntry {
        source: "bench".to_owned(),
        id: format!("{number}-{which}"),
        meter: METERS[usize::try_from(mixed % 3).expect("it is small")]
            .parse()
            .expect("the keys are well formed"),
        customer: Some(customer(tenant, u128::from(mixed) % CUSTOMERS)),
        at: None,
        value: format!("{}.25", mixed % 1_000).parse().expect("it is a number"),
        dimensions: std::collections::BTreeMap::new(),
    }
}

fn put(number: u64) -> Operation {
    let (entity, version) = (number % ENTITIES, number / ENTITIES);
    let descriptor = json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": {
            "name": format!("service-{entity}"),
            "title": format!("Service number {entity}"),
            "description": format!("What it does for its users, in version {version}-{number}"),
            "tags": ["java", format!("tag-{}", entity % 17)],
            "labels": { "tier": (entity % 3).to_string() },
            "annotations": { "github.com/project-slug": format!("example/service-{entity}") },
        },
        "spec": {
            "type": format!("type{}", entity % 5),
            "lifecycle": "production",
            "owner": format!("team-{}", entity % 50),
            "system": format!("system-{}", entity % 100),
            "dependsOn": [format!("component:service-{}", entity / 4 * 4)],
        },
    });
    let expected = ExpectedRevision::Any;
    Operation::ApplyEntities {
        changes: vec![EntityChange::Put { descriptor, location: None, expected }],
    }
}

/// What every rebuild has to do at least: read each record and decode it. Returns how many there
/// were too.
async fn decode_all(log: &dyn EventLog) -> Result<(u64, Duration)> {
    let (began, mut count) = (Instant::now(), 0);
    for partition in (0..log.partitions()).map(Partition) {
        let (mut next, end) = (Position::START, log.end(partition).await?);
        let mut reader = log.read(partition, next).await?;
        while next < end {
            for it in reader.next(READ_MAX).await? {
                let name = it.record.attribute(Attribute::Type);
                std::hint::black_box(Event::decode(name, &it.record.value())?);
                next = it.position.next();
                count += 1;
            }
        }
    }
    Ok((count, began.elapsed()))
}
