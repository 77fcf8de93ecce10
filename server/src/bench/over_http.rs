//! The server through its doors: commands, usage, queries, visibility, neighbours, start.

pub(super) mod door;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use domain::id::TenantId;
use outbound::{Client, Request};
use serde_json::json;
use url::Url;

use self::door::{Door, ENTRIES};
use super::child::Server;
use super::load::{Measured, apart, closed_loop};
use super::{Extent, Row, Verdict, rate};
use crate::command::client;
use crate::config::Config;
use crate::folder::Folder;
use crate::stores::OpenVault;

/// How many entities the import row brings in.
const IMPORTED: u64 = 10_000;

/// How many entities one request of the import row holds.
const PER_REQUEST: u64 = 500;

/// UmaDB over gRPC with 64 clients on the reference machine, from the design's table: commands
/// per second, and the 99th percentile in microseconds.
const UMADB: (u64, u64) = (10_700, 11_000);

/// When to ask again whether the read models have caught up. In milliseconds: 20.
const BEHIND_AGAIN: Duration = Duration::from_millis(20);

/// Measures every row that goes through the doors.
///
/// # Errors
///
/// If the server does not start or fails a call.
pub(crate) async fn rows(config: &Config, folder: &Path, extent: &Extent) -> Result<Vec<Row>> {
    let seconds = extent.seconds;
    let listen = free_address()?;
    let base = Url::parse(&format!("http://{listen}"))?;
    let client = door::client();
    let server = Server::start(folder, &listen, &ready(&client, &listen)?).await?;
    let served = Folder::existing(folder)?;
    let keyring = OpenVault::in_folder(&served).await?.keyring(&served).await?;
    let lifetime =
        Duration::from_secs(config.tokens.lifetime_seconds) + seconds * 10 + extent.ingest;
    let actor = client::actor(&keyring).await?;
    let door = |tenant: TenantId| {
        let token = query_api::auth::mint(keyring.issuer(), tenant, actor, lifetime)?;
        let (client, base) = (client.clone(), base.clone());
        anyhow::Ok(Door { client, base, bearer: format!("Bearer {token}").into() })
    };
    let operator = door(TenantId::SYSTEM)?;
    let single = door(tenant(&operator, "single").await?)?;
    let importer = door(tenant(&operator, "importer").await?)?;
    let metered = door(tenant(&operator, "metered").await?)?;
    let neighbour = door(tenant(&operator, "neighbour").await?)?;

    let mut rows = vec![imported(&importer, &server).await?];
    rows.push(listed(&importer, &server, seconds).await?);
    rows.push(commanded(&single, &server, seconds).await?);
    rows.push(visible(&neighbour, seconds).await?);
    rows.extend(undisturbed(&neighbour, &single, &importer, seconds).await?);
    rows.push(ingested(&metered, &operator, &server, extent.ingest).await?);
    Ok(rows)
}

/// Starts a server on what `folder` holds already, and looks at it once it is at rest.
///
/// # Errors
///
/// If the server does not start.
pub(crate) async fn started(folder: &Path, events: u64) -> Result<Row> {
    let listen = free_address()?;
    let server = Server::start(folder, &listen, &ready(&door::client(), &listen)?).await?;
    let (memory, took) = (server.memory_at_rest_mib().await?, server.started_in);
    let is_met = took < Duration::from_secs(2) && memory < 150;
    Ok(Row {
        what: "start with mixed events, and memory at rest",
        measured: format!("{events} events: {} ms, {memory} MiB", took.as_millis()),
        baseline: "-".to_owned(),
        target: "1M: < 2 s, < 150 MiB",
        verdict: Verdict::of_part(is_met, events, 1_000_000),
    })
}

/// Asks the server at `listen` whether it is ready.
pub(super) fn ready(client: &Client, listen: &str) -> Result<impl AsyncFn() -> bool> {
    let (client, address) = (client.clone(), Url::parse(&format!("http://{listen}/readyz"))?);
    Ok(async move || {
        client.send(Request::get(address.clone())).await.is_ok_and(|it| it.status == 200)
    })
}

pub(super) fn free_address() -> Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Registers a tenant and waits until it can be written to.
pub(super) async fn tenant(operator: &Door, slug: &str) -> Result<TenantId> {
    let query = "mutation($slug: String!) {
        registerTenant(input: {slug: $slug, name: $slug}) { tenantId userErrors { message } }
    }";
    let answer = operator.graphql(query, json!({"slug": slug})).await?;
    let id = answer["registerTenant"]["tenantId"].as_str();
    Ok(id.with_context(|| format!("{answer}"))?.parse()?)
}

async fn imported(door: &Door, server: &Server) -> Result<Row> {
    let (began, cpu) = (Instant::now(), server.cpu()?);
    for first in (0..IMPORTED).step_by(usize::try_from(PER_REQUEST)?) {
        door.apply(first, PER_REQUEST).await?;
    }
    while door.count().await? < IMPORTED {}
    let (took, cpu) = (began.elapsed(), (server.cpu()? - cpu).as_micros() / u128::from(IMPORTED));
    let (seconds, hundredths) = (took.as_secs(), took.subsec_millis() / 10);
    Ok(Row {
        what: "10,000 entities until all are queryable",
        measured: format!("{seconds}.{hundredths:02} s, {cpu} µs CPU each"),
        baseline: "Backstage 4.0: 169 s (design, §9)".to_owned(),
        target: "<= 2 s",
        verdict: Verdict::of(took <= Duration::from_secs(2)),
    })
}

async fn listed(door: &Door, server: &Server, seconds: Duration) -> Result<Row> {
    let (door, cpu) = (door.clone(), server.cpu()?);
    let query = "{ entities(first: 20, matching: {filter: [\"kind=component\"]}) {
        nodes { reference title type lifecycle tags }
    } }";
    let ask = move |_, _| {
        let door = door.clone();
        async move { door.graphql(query, json!({})).await.map(drop) }
    };
    let measured = closed_loop(16, seconds, ask).await?;
    let cpu = cpu_per_call(server, cpu, &measured)?;
    Ok(Row {
        what: "GraphQL list of 20 of 10k entities, 16 clients",
        measured: format!(
            "p95 {}, {}/s, {cpu} µs CPU each",
            measured.quantile_ms(0.95),
            rate(measured.count, measured.took)
        ),
        baseline: "Backstage 4.0: p95 158 ms, 14,100 µs CPU (design, §9)".to_owned(),
        target: "p95 < 5 ms, CPU <= 1/40",
        verdict: Verdict::of(measured.quantile_us(0.95) < 5_000 && cpu <= 14_100 / 40),
    })
}

async fn commanded(door: &Door, server: &Server, seconds: Duration) -> Result<Row> {
    let (door, cpu) = (door.clone(), server.cpu()?);
    let ask = move |caller: usize, times| {
        let door = door.clone();
        async move { door.apply(caller as u64 * 1_000_000 + times, 1).await.map(drop) }
    };
    let measured = closed_loop(64, seconds, ask).await?;
    let cpu = cpu_per_call(server, cpu, &measured)?;
    let commands = rate(measured.count, measured.took);
    let met = commands * 2 >= UMADB.0 * 3 && measured.quantile_us(0.99) < UMADB.1;
    Ok(Row {
        what: "single commands over HTTP, 64 clients",
        measured: format!("{commands}/s, p99 {}, {cpu} µs CPU each", measured.quantile_ms(0.99)),
        baseline: "UmaDB over gRPC: 10,700/s, p99 11 ms (design, §9)".to_owned(),
        target: ">= 1.5x, p99 lower",
        verdict: Verdict::of(met),
    })
}

async fn visible(door: &Door, seconds: Duration) -> Result<Row> {
    let door = door.clone();
    let ask = move |caller: usize, times| {
        let door = door.clone();
        async move {
            let number = 900_000_000 + caller as u64 * 1_000_000 + times;
            door.apply(number, 1).await?;
            let query = "query($ref: String!) { entity(reference: $ref) { reference } }";
            let reference = json!({"ref": format!("component:default/c-{number}")});
            while door.graphql(query, reference.clone()).await?["entity"].is_null() {}
            Ok(())
        }
    };
    let measured = closed_loop(1, seconds, ask).await?;
    Ok(Row {
        what: "register until visible in a query",
        measured: format!("p50 {}, p99 {}", measured.quantile_ms(0.5), measured.quantile_ms(0.99)),
        baseline: "-".to_owned(),
        target: "p99 < 100 ms",
        verdict: Verdict::of(measured.quantile_us(0.99) < 100_000),
    })
}

/// Measures `neighbour`, who writes and reads at the position of what it wrote: alone, then beside a
/// flood of single commands, then beside an import.
async fn undisturbed(
    neighbour: &Door,
    flooding: &Door,
    importing: &Door,
    seconds: Duration,
) -> Result<[Row; 2]> {
    let call = |door: &Door, offset: u64, count: u64| {
        let door = door.clone();
        move |caller: usize, times: u64| {
            let door = door.clone();
            let first = offset + caller as u64 * 1_000_000 + times * count;
            async move { door.apply(first, count).await.map(drop) }
        }
    };
    let round = |offset: u64| {
        // Its connections belong to its thread.
        let door = neighbour.apart();
        move |_, times: u64| {
            let door = door.clone();
            async move { door.round(offset + times).await }
        }
    };
    let idle = apart(seconds, round(1_100_000_000)).await?;
    let flood = closed_loop(64, seconds, call(flooding, 1_200_000_000, 1));
    let flooded = apart(seconds, round(1_500_000_000));
    let (flood, flooded) = tokio::try_join!(flood, flooded)?;
    let import = closed_loop(1, seconds, call(importing, 1_600_000_000, PER_REQUEST));
    let beside = apart(seconds, round(1_700_000_000));
    let (import, beside) = tokio::try_join!(import, beside)?;
    let row = |what, during: &Measured, others: u64| Row {
        what,
        measured: format!(
            "p50 {}, p99 {}, the other {others}/s",
            during.quantile_ms(0.5),
            during.quantile_ms(0.99)
        ),
        baseline: format!("idle: p50 {}, p99 {}", idle.quantile_ms(0.5), idle.quantile_ms(0.99)),
        target: "p99 <= 2x idle",
        verdict: Verdict::of(during.quantile_us(0.99) <= idle.quantile_us(0.99) * 2),
    };
    Ok([
        row(
            "neighbour writes and reads while a tenant floods, 64 clients",
            &flooded,
            rate(flood.count, flood.took),
        ),
        row(
            "neighbour writes and reads while a tenant imports",
            &beside,
            rate(import.count * PER_REQUEST, import.took),
        ),
    ])
}

async fn ingested(door: &Door, operator: &Door, server: &Server, seconds: Duration) -> Result<Row> {
    let define = "mutation { defineMeter(input: {
        key: \"api.calls\", name: \"Calls\", unit: \"call\", aggregation: SUM
    }) { userErrors { message } } }";
    door.graphql(define, json!({})).await?;
    let (caller, cpu) = (door.clone(), server.cpu()?);
    let ask = move |number, times| {
        let door = caller.clone();
        async move { door.usage(number, times).await }
    };
    let measured = closed_loop(16, seconds, ask).await?;
    let ended = Instant::now();
    while operator.behind().await? > 0 {
        tokio::time::sleep(BEHIND_AGAIN).await;
    }
    let lag = ended.elapsed();
    let cpu = cpu_per_call(server, cpu, &measured)? / ENTRIES;
    let entries = rate(measured.count * ENTRIES, measured.took);
    let is_met = entries >= 100_000 && lag < Duration::from_secs(5);
    Ok(Row {
        what: "usage entries over HTTP, batches of 100",
        measured: format!(
            "{entries}/s for {} s, p99 {}, {cpu} µs CPU each, then {} ms until all is counted",
            seconds.as_secs(),
            measured.quantile_ms(0.99),
            lag.as_millis()
        ),
        baseline: "-".to_owned(),
        target: ">= 100,000/s, lag < 5 s",
        verdict: Verdict::of_part(is_met, seconds.as_secs(), 600),
    })
}

/// The server's processor time for each call since `before`. In microseconds.
fn cpu_per_call(server: &Server, before: Duration, measured: &Measured) -> Result<u64> {
    let used = u64::try_from((server.cpu()? - before).as_micros())?;
    Ok(used / measured.count.max(1))
}
