//! What it costs a request to know who asks and what they may do.
//!
//! `cargo bench -p query-api --bench authorization [thousands of requests]`. A request has a token
//! that was seen before, a new one each time, or an API key; its subject is one of 1,000 members with some of
//! four roles, of which one has a condition. Everything counts, from the head of the request to how
//! far the permission reaches.

#![expect(clippy::print_stdout, reason = "printing figures is what this program does")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use commands::{Commands, Request, SecretOf, Settings, SystemClock};
use domain::id::{ActorId, TenantId};
use domain::member;
use domain::operation::Operation;
use domain::principal::{Permission, Predicate, Principal, Scope};
use domain::role::{Permit, RoleName};
use event_log::MemoryLog;
use query_api::auth::{Hosts, Secret, Verifier, mint};
use uuid::Uuid;
use vault::{Keyring, MemoryVault, Root};

/// How long a token lasts: longer than a run.
const LIFETIME: Duration = Duration::from_secs(3_600);

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let thousands: usize = arguments.first().and_then(|it| it.parse().ok()).unwrap_or(200);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    runtime.block_on(measure(thousands * 1_000));
}

async fn measure(requests: usize) {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let root = Root::from_hex(&"07".repeat(32), "the bench").expect("it is a key");
    let keyring = Keyring::open(Arc::new(MemoryVault::default()), root).await;
    let keyring = keyring.expect("the keyring opens");
    let settings = Settings::new(folder.path().to_owned());
    let log = Arc::new(MemoryLog::new(1));
    let commands = Commands::start(log, keyring.clone(), Arc::new(SystemClock), settings).await;
    let commands = commands.expect("the write side starts");
    let (tenant, members) = staff(&commands).await;
    let hosts = Hosts::new(commands.clone(), "localhost".into());
    let verifier = Verifier::new(keyring.clone(), hosts);
    let head = |actor: ActorId| {
        let token = mint(keyring.issuer(), tenant, actor, LIFETIME).expect("a token can be made");
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().expect("it is a header"));
        headers
    };
    let known: Vec<_> = members.iter().map(|it| head(*it)).collect();
    for it in &known {
        authorize(&verifier, &commands, it).await;
    }
    println!("token     requests    p50 ns    p99 ns");
    row("known", &verifier, &commands, known.iter().cycle().take(requests)).await;
    let new: Vec<_> = members.iter().cycle().take(requests / 100).map(|it| head(*it)).collect();
    row("new", &verifier, &commands, new.iter()).await;
    let keys = keys(&commands, &keyring, tenant, &members[..100]).await;
    row("key", &verifier, &commands, keys.iter().cycle().take(requests)).await;
    commands.stop().await;
}

async fn row<'h>(
    name: &str,
    verifier: &Verifier,
    commands: &Commands,
    heads: impl Iterator<Item = &'h HeaderMap>,
) {
    let mut took = Vec::new();
    for head in heads {
        let begun = Instant::now();
        let scope = authorize(verifier, commands, head).await;
        took.push(begun.elapsed());
        assert!(scope != Scope::None, "every member may read something");
    }
    took.sort_unstable();
    let nanos = |part: usize| took[(took.len() - 1) * part / 100].as_nanos();
    println!("{name:8}  {:8}  {:8}  {:8}", took.len(), nanos(50), nanos(99));
}

/// What a door does before it does anything else.
async fn authorize(verifier: &Verifier, commands: &Commands, head: &HeaderMap) -> Scope {
    let verified = verifier.verified(head).ok().flatten().expect("the token is accepted");
    let session = verified.identify(commands).await.expect("the members are known");
    session.principal.authorize(Permission::EntityRead).expect("every member may read something")
}

/// A tenant with 1,000 members.
async fn staff(commands: &Commands) -> (TenantId, Vec<ActorId>) {
    let tenant = TenantId(Uuid::now_v7());
    let (slug, name) = ("acme".parse().expect("a slug"), "Acme".parse().expect("a name"));
    let register = Operation::RegisterTenant { tenant, slug, name, owner: None };
    submit(commands, &Principal::system(TenantId::SYSTEM), register).await;
    commands.created(tenant, Duration::from_secs(10)).await.expect("it is created");
    let system = Principal::system(tenant);
    let condition = Predicate::OwnedBy("group:default/payments".to_owned());
    let permits = vec![Permit::only(Permission::EntityRead, condition)];
    let role: RoleName = "payments".parse().expect("a name");
    submit(commands, &system, Operation::DefineRole { role, permits }).await;
    let roles = ["viewer", "developer", "maintainer", "payments"];
    let mut members = Vec::new();
    for number in 0..1_000 {
        let held = roles.iter().cycle().skip(number).take(1 + number % 3);
        let roles: BTreeSet<_> = held.map(|it| it.parse().expect("a role")).collect();
        let member = ActorId(Uuid::now_v7());
        submit(commands, &system, Operation::AddMember { member, name: None, roles }).await;
        members.push(member);
    }
    (tenant, members)
}

/// An API key of each, as the head of a request.
async fn keys(
    commands: &Commands,
    keyring: &Keyring,
    tenant: TenantId,
    members: &[ActorId],
) -> Vec<HeaderMap> {
    let mut heads = Vec::new();
    for member in members {
        let key = ActorId(Uuid::now_v7());
        let text = Secret::draw(keyring, SecretOf::ApiKey, tenant, key);
        let secret = commands
            .digest_of_secret(tenant, SecretOf::ApiKey, &text)
            .await
            .expect("there are keys");
        let asked = member::ApiKey {
            name: "bench".parse().expect("a name"),
            scope: vec![Permission::EntityRead],
            secret,
            expires_at: chrono::Utc::now() + LIFETIME,
        };
        // Not each of the roles lets one issue keys oneself.
        let who = Principal::unchecked(tenant, *member);
        submit(commands, &who, Operation::IssueApiKey { key, asked }).await;
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {text}").parse().expect("it is a header"));
        heads.push(headers);
    }
    heads
}

async fn submit(commands: &Commands, who: &Principal, operation: Operation) {
    commands.submit(who, Request::new(operation)).await.expect("it is accepted");
}
