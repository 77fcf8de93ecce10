//! What a tenant's entities cost in memory, and how long a start with them takes.
//!
//! `cargo bench -p commands --bench memory [entities]`. Registers so many entities (1,000,000
//! unless said otherwise), stops, and starts again from the snapshot in a process of its own.
//! What is measured is that process before and after, so it includes what the allocator keeps.

#![expect(clippy::print_stdout, reason = "printing figures is what this program does")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use commands::{Commands, Request, Settings, SystemClock};
use domain::id::{ActorId, TenantId};
use domain::operation::{EntityChange, ExpectedRevision, Operation};
use domain::principal::Principal;
use event_log::{EmbeddedLog, embedded};
use serde_json::json;
use uuid::Uuid;
use vault::{Keyring, Root, SqliteVault};

/// How many entities one request registers.
const CHANGES: usize = 500;

/// How many requests wait at a time.
const WAITING: usize = 4;

/// The argument before the folder that the second process is to start from.
const AGAIN: &str = "--again";

fn main() {
    let entities: usize = std::env::args().find_map(|it| it.parse().ok()).unwrap_or(1_000_000);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    if let Some(folder) = std::env::args().skip_while(|it| it != AGAIN).nth(1) {
        return runtime.block_on(start_again(Path::new(&folder), entities));
    }
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    runtime.block_on(async {
        let commands = start(folder.path()).await;
        let began = Instant::now();
        register(&commands, entities).await;
        println!("{entities} entities registered in {:.1} s", began.elapsed().as_secs_f32());
        commands.stop().await;
    });
    drop(runtime);
    let program = std::env::current_exe().expect("this program is somewhere");
    let mut again = Command::new(program);
    again.arg(entities.to_string()).arg(AGAIN).arg(folder.path());
    assert!(again.status().expect("it can be started").success());
}

/// Starts from what is there.
async fn start_again(folder: &Path, entities: usize) {
    let before = resident();
    let began = Instant::now();
    let commands = start(folder).await;
    let took = began.elapsed();
    let bytes = (resident() - before) / entities;
    println!("started again in {:.2} s with {bytes} bytes for each", took.as_secs_f32());
    commands.stop().await;
}

async fn start(folder: &Path) -> Commands {
    let log = EmbeddedLog::open(folder.join("log"), embedded::Settings::default());
    let log = Arc::new(log.expect("the log opens"));
    let root = Root::from_hex(&"07".repeat(32), "the bench").expect("it is a key");
    let vault = SqliteVault::open(&folder.join("vault")).await.expect("the vault opens");
    let keyring = Keyring::open(Arc::new(vault), root).await.expect("it opens");
    let settings = Settings::new(folder.join("identities"));
    let started = Commands::start(log, keyring, Arc::new(SystemClock), settings);
    started.await.expect("the write side starts")
}

async fn register(commands: &Commands, entities: usize) {
    let tenant = TenantId(Uuid::now_v7());
    let operator = Principal::unchecked(TenantId::SYSTEM, ActorId(Uuid::now_v7()));
    let slug = "acme".parse().expect("it is a slug");
    let name = "Acme".parse().expect("it is a name");
    let register = Operation::RegisterTenant { tenant, slug, name, owner: None };
    commands.submit(&operator, Request::new(register)).await.expect("it is registered");
    commands.created(tenant, Duration::from_secs(10)).await.expect("it is created");
    let acme = Principal::unchecked(tenant, ActorId(Uuid::now_v7()));
    let clients = (0..WAITING).map(|client| {
        let (commands, acme) = (commands.clone(), acme.clone());
        tokio::spawn(async move {
            for first in (client * CHANGES..entities).step_by(WAITING * CHANGES) {
                let request = Request::new(put(first..entities.min(first + CHANGES)));
                commands.submit(&acme, request).await.expect("it is accepted");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("a client does not fail");
    }
}

fn put(numbers: std::ops::Range<usize>) -> Operation {
    let change = |number| EntityChange::Put {
        descriptor: json!({
            "apiVersion": "backstage.io/v1alpha1",
            "kind": "Component",
            "metadata": { "name": format!("service-{number}") },
            "spec": { "type": "service", "lifecycle": "production", "owner": "group:default/team" },
        }),
        location: None,
        expected: ExpectedRevision::Any,
    };
    Operation::ApplyEntities { changes: numbers.map(change).collect() }
}

/// The memory of this process that is in use. In bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|it| it.starts_with("VmRSS:")).expect("it says so");
    let kib: usize = line.split_whitespace().nth(1).and_then(|it| it.parse().ok()).expect("a size");
    kib * 1024
}
