//! The server through its doors: commands, usage, queries, visibility, neighbours, start.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use domain::id::{ActorId, TenantId};
use outbound::{Client, Limits, Reach, Request};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::child::Server;
use super::load::{Measured, closed_loop};
use super::{Row, Verdict, rate};
use crate::config::Config;
use crate::folder::Folder;
use crate::node::open_keyring;

/// How many entities the import row brings in.
const IMPORTED: u64 = 10_000;

/// How many entities one request of the import row holds.
const PER_REQUEST: u64 = 500;

/// How many usage entries one request holds.
const ENTRIES: u64 = 100;

/// UmaDB over gRPC with 64 clients on the reference machine, from the design's table: commands
/// per second, and the 99th percentile in microseconds.
const UMADB: (u64, u64) = (10_700, 11_000);

/// The doors of the measured server, for one tenant.
#[derive(Clone, Debug)]
struct Door {
    client: Client,
    base: Url,
    bearer: Arc<str>,
}

impl Door {
    async fn post(&self, path: &str, body: Vec<u8>) -> Result<Value> {
        let request = Request::post(self.base.join(path)?, "application/json", body)
            .with_header("authorization", &self.bearer);
        let answer = self.client.send(request).await?;
        if answer.status != 200 {
            bail!(
                "the server answered {}: {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            );
        }
        Ok(serde_json::from_slice(&answer.body)?)
    }

    async fn graphql(&self, query: &str, variables: Value) -> Result<Value> {
        let body = serde_json::to_vec(&json!({"query": query, "variables": variables}))?;
        let answer = self.post("/graphql", body).await?;
        if let Some(error) = answer["errors"].get(0) {
            bail!("the server answered {error}");
        }
        Ok(answer["data"].clone())
    }

    async fn apply(&self, first: u64, count: u64) -> Result<()> {
        let changes = (first..first + count).map(|number| {
            json!({"put": {"descriptor": {
                "apiVersion": "backstage.io/v1alpha1", "kind": "Component",
                "metadata": {"name": format!("c-{number}"), "title": format!("Component {number}")},
                "spec": {"type": "service", "lifecycle": "production", "owner": "group:team"},
            }}})
        });
        let input = json!({"changes": changes.collect::<Vec<_>>()});
        let query = "mutation($input: ApplyEntitiesInput!) {
            applyEntities(input: $input) { userErrors { message } }
        }";
        let answer = self.graphql(query, json!({"input": input})).await?;
        match answer["applyEntities"]["userErrors"].get(0) {
            None => Ok(()),
            Some(error) => bail!("an entity was refused: {error}"),
        }
    }

    async fn usage(&self, caller: usize, times: u64) -> Result<()> {
        let entries = (0..ENTRIES).map(|number| {
            json!({"source": "bench", "id": format!("{caller}-{times}-{number}"),
                "meter": "api.calls", "value": "1"})
        });
        let body = serde_json::to_vec(&entries.collect::<Vec<_>>())?;
        self.post("/api/v1/usage", body).await.map(drop)
    }

    async fn count(&self) -> Result<u64> {
        let answer = self.graphql("{ entities(first: 1) { totalCount } }", json!({})).await?;
        answer["entities"]["totalCount"].as_u64().context("the server counts")
    }
}

/// Measures every row that goes through the doors.
///
/// # Errors
///
/// If the server does not start or fails a call.
pub(crate) async fn rows(config: &Config, folder: &Path, seconds: Duration) -> Result<Vec<Row>> {
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let base = Url::parse(&format!("http://{address}"))?;
    let client = Client::new(Reach::Loopback, Limits::default());
    let ready = base.join("/readyz")?;
    let is_ready =
        async || client.send(Request::get(ready.clone())).await.is_ok_and(|it| it.status == 200);
    let listen = address.to_string();
    let server = Server::start(folder, &listen, is_ready).await?;
    let keyring = open_keyring(&Folder::existing(folder)?).await?;
    let lifetime = Duration::from_secs(config.tokens.lifetime_seconds);
    let door = |tenant: TenantId| {
        let actor = ActorId(Uuid::from_u128(1));
        let token = query_api::auth::mint(keyring.issuer(), tenant, actor, lifetime)?;
        let (client, base) = (client.clone(), base.clone());
        anyhow::Ok(Door { client, base, bearer: format!("Bearer {token}").into() })
    };
    let operator = door(TenantId::SYSTEM)?;
    let single = door(tenant(&operator, "single").await?)?;
    let importer = door(tenant(&operator, "importer").await?)?;
    let metered = door(tenant(&operator, "metered").await?)?;
    let neighbour = door(tenant(&operator, "neighbour").await?)?;

    let mut rows = vec![imported(&importer).await?];
    rows.push(listed(&importer, &server, seconds).await?);
    rows.push(commanded(&single, &server, seconds).await?);
    rows.push(visible(&neighbour, seconds).await?);
    rows.push(undisturbed(&neighbour, &single, seconds).await?);
    rows.push(ingested(&metered, &server, seconds).await?);
    let memory = server.memory_mib()?;
    drop(server);
    let server = Server::start(folder, &listen, is_ready).await?;
    rows.push(restarted(&server, memory)?);
    Ok(rows)
}

/// Registers a tenant and waits until it can be written to.
async fn tenant(operator: &Door, slug: &str) -> Result<TenantId> {
    let query = "mutation($slug: String!) {
        registerTenant(input: {slug: $slug, name: $slug}) { tenantId userErrors { message } }
    }";
    let answer = operator.graphql(query, json!({"slug": slug})).await?;
    let id = answer["registerTenant"]["tenantId"].as_str();
    Ok(id.with_context(|| format!("{answer}"))?.parse()?)
}

async fn imported(door: &Door) -> Result<Row> {
    let began = Instant::now();
    for first in (0..IMPORTED).step_by(usize::try_from(PER_REQUEST)?) {
        door.apply(first, PER_REQUEST).await?;
    }
    while door.count().await? < IMPORTED {}
    let took = began.elapsed();
    Ok(Row {
        what: "10,000 entities until all are queryable",
        measured: format!("{}.{:02} s", took.as_secs(), took.subsec_millis() / 10),
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
        async move { door.apply(caller as u64 * 1_000_000 + times, 1).await }
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

async fn undisturbed(neighbour: &Door, flooding: &Door, seconds: Duration) -> Result<Row> {
    let call = |door: Door, offset: u64| {
        move |caller: usize, times| {
            let door = door.clone();
            async move { door.apply(offset + caller as u64 * 1_000_000 + times, 1).await }
        }
    };
    let idle = closed_loop(1, seconds, call(neighbour.clone(), 1_100_000_000)).await?;
    let flood = closed_loop(64, seconds, call(flooding.clone(), 1_200_000_000));
    let measured = closed_loop(1, seconds, call(neighbour.clone(), 1_500_000_000));
    let (flood, measured) = tokio::try_join!(flood, measured)?;
    let (before, during) = (idle.quantile_us(0.99), measured.quantile_us(0.99));
    Ok(Row {
        what: "neighbour's p99 while a tenant floods",
        measured: format!(
            "{}, flood {}/s",
            measured.quantile_ms(0.99),
            rate(flood.count, flood.took)
        ),
        baseline: format!("idle: {}", idle.quantile_ms(0.99)),
        target: "<= 2x idle",
        verdict: Verdict::of(during <= before * 2),
    })
}

async fn ingested(door: &Door, server: &Server, seconds: Duration) -> Result<Row> {
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
    let cpu = cpu_per_call(server, cpu, &measured)? / ENTRIES;
    let entries = rate(measured.count * ENTRIES, measured.took);
    Ok(Row {
        what: "usage entries over HTTP, batches of 100",
        measured: format!("{entries}/s, p99 {}, {cpu} µs CPU each", measured.quantile_ms(0.99)),
        baseline: "-".to_owned(),
        target: ">= 100,000/s",
        verdict: Verdict::of(entries >= 100_000),
    })
}

fn restarted(server: &Server, memory_before: u64) -> Result<Row> {
    let memory = server.memory_mib()?;
    let took = server.started_in;
    Ok(Row {
        what: "start on the log of this run, and memory",
        measured: format!("{} ms, {memory} MiB", took.as_millis()),
        baseline: format!("{memory_before} MiB after the run"),
        target: "< 2 s, < 150 MiB",
        verdict: Verdict::of(took < Duration::from_secs(2) && memory < 150),
    })
}

/// The server's processor time for each call since `before`. In microseconds.
fn cpu_per_call(server: &Server, before: Duration, measured: &Measured) -> Result<u64> {
    let used = u64::try_from((server.cpu()? - before).as_micros())?;
    Ok(used / measured.count.max(1))
}
