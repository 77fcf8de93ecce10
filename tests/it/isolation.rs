//! Tenants share a node and notice nothing of each other: while one floods, one imports and one
//! is parked, a fourth gets the answers it gets alone.
//!
//! Times are printed and never judged; what is judged are answers.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::harness::{Api, Installation, Profile, Server};

/// How many clients flood.
const FLOODERS: usize = 64;

/// Entries in each request of the flood.
const ENTRIES: usize = 100;

/// How long a round of the fourth tenant took, each.
struct Times(Vec<Duration>);

impl Times {
    fn of_hundred(&mut self, part: usize) -> Duration {
        self.0.sort_unstable();
        self.0[(self.0.len() - 1) * part / 100]
    }

    fn report(&mut self, when: &str) {
        let (rounds, half, most) = (self.0.len(), self.of_hundred(50), self.of_hundred(99));
        print(&format!("  {when}: {rounds} rounds, p50 {half:.1?}, p99 {most:.1?}"));
    }
}

#[expect(clippy::print_stdout, reason = "figures are what such a test is run for")]
fn print(line: &str) {
    println!("{line}");
}

/// Says `text` of the tenant's one component and reads it back.
async fn round(api: &Api, text: &str) {
    let change = "mutation($input: ApplyEntitiesInput!) { applyEntities(input: $input) {
        changes { effect } outcome { position } userErrors { message } } }";
    let descriptor = json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "Component",
        "metadata": {"name": "lighthouse", "description": text},
        "spec": {"type": "service", "lifecycle": "production", "owner": "group:keepers"},
    });
    let input = json!({"input": {"changes": [{"put": {"descriptor": descriptor}}]}});
    let changed = api.graphql(change, input).await["applyEntities"].clone();
    assert_eq!(changed["userErrors"], json!([]));
    let position = changed["outcome"]["position"].as_str().expect("a position");
    let seen = api.graphql_at(position, EVERYTHING, Value::Null).await;
    assert!(is_own(&seen, text), "its own change and nothing of others: {seen}");
}

/// All that a tenant sees of catalogs.
const EVERYTHING: &str = "{ entities(first: 2) { totalCount nodes { description } } }";

/// Whether a tenant sees the one thing it said, and nothing else.
fn is_own(seen: &Value, text: &str) -> bool {
    seen["entities"] == json!({"totalCount": 1, "nodes": [{"description": text}]})
}

/// Some rounds, and more until `enough` says so. At least: `fast` 10, `ci` and `full` 100.
async fn measure(api: &Api, name: &str, mut enough: impl FnMut() -> bool) -> Times {
    let rounds_min = Profile::of_this_run().count(10, 100, 100);
    let mut times = Vec::new();
    while times.len() < rounds_min || !enough() {
        let begin = Instant::now();
        round(api, &format!("{name} {}", times.len())).await;
        times.push(begin.elapsed());
    }
    Times(times)
}

/// A tenant that never stops recording usage.
struct Flood {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
    busy: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Flood {
    async fn begin(api: &Api) -> Self {
        let meter = "mutation { defineMeter(input: {
            key: \"flood\", name: \"Flood\", unit: \"drop\", aggregation: SUM
        }) { userErrors { message } } }";
        api.graphql(meter, Value::Null).await;
        let mut flood = Self {
            stop: Arc::default(),
            accepted: Arc::default(),
            busy: Arc::default(),
            clients: Vec::new(),
        };
        for client in 0..FLOODERS {
            let (api, stop) = (api.clone(), flood.stop.clone());
            let (accepted, busy) = (flood.accepted.clone(), flood.busy.clone());
            flood.clients.push(tokio::spawn(async move {
                for request in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let answer = api.post("/api/v1/usage", &drops(client, request), &[]).await;
                    let answer = answer.expect("the server answers");
                    let count = if answer.status == 200 { &accepted } else { &busy };
                    count.fetch_add(1, Ordering::Relaxed);
                    assert!(matches!(answer.status, 200 | 503), "{}", answer.status);
                }
            }));
        }
        flood
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in join_all(self.clients).await {
            client.expect("a client of the flood ends well");
        }
        let (accepted, busy) = (self.accepted.load(Ordering::Relaxed), self.busy);
        let busy = busy.load(Ordering::Relaxed);
        print(&format!("  the flood: {accepted} requests accepted, {busy} asked to come later"));
        assert!(accepted > 0, "there was no flood");
    }
}

fn drops(client: usize, request: usize) -> Value {
    let drop = |it: usize| {
        let id = format!("{client}/{request}/{it}");
        json!({"source": "cloud", "id": id, "meter": "flood", "value": "1"})
    };
    (0..ENTRIES).map(drop).collect()
}

/// Writes `count` components in files of 500.
fn catalog(home: &Path, count: usize) -> PathBuf {
    let folder = home.join("catalog");
    std::fs::create_dir(&folder).expect("a folder can be made");
    let component = |it: usize| {
        format!(
            "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata:\n  name: part-{it}\n\
             spec:\n  type: library\n  lifecycle: production\n  owner: group:parts\n"
        )
    };
    for (index, numbers) in (0..count).collect::<Vec<_>>().chunks(500).enumerate() {
        let documents: Vec<String> = numbers.iter().map(|it| component(*it)).collect();
        let path = folder.join(format!("{index}.yaml"));
        std::fs::write(path, documents.join("---\n")).expect("a file can be written");
    }
    folder
}

fn import(installation: &Installation, folder: &Path) -> Child {
    let folder = folder.display().to_string();
    installation
        .command(&["import", &folder, "--tenant", "importers"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary starts")
}

/// Parks a tenant of a server that is stopped, right after what the catalog has applied. There is
/// no way to do that from outside: what is accepted can be applied.
async fn park(installation: &Installation, tenant: &str) {
    let path = installation.folder().join("models/catalog-v3-g1.db");
    let options = SqliteConnectOptions::new().filename(path);
    let mut connection = options.connect().await.expect("the catalog can be opened");
    let id = tenant.trim_start_matches("ten_");
    let park = format!(
        "INSERT INTO parked (tenant, partition, position, at, reason)
         SELECT X'{id}', partition, position + 1, at, 'parked by a test' FROM checkpoints"
    );
    sqlx::query(AssertSqlSafe(park)).execute(&mut connection).await.expect("it can be parked");
    connection.close().await.expect("the catalog can be closed");
}

/// What the catalog says of the parked tenant, which has one entity more than it shows.
async fn parked_tenant_is_resumed(installation: &Installation, api: &Api, position: &str) {
    let count = async || {
        let data = api.graphql("{ entities { totalCount } }", Value::Null).await;
        data["entities"]["totalCount"].clone()
    };
    assert_eq!(count().await, 0, "a parked tenant stays where it is");
    let body = json!({"query": "{ entities { totalCount } }"});
    let seen = [("callboard-position", position)];
    let answer = api.post("/graphql", &body, &seen).await.expect("the server answers");
    let answer: Value = serde_json::from_slice(&answer.body).expect("the answer is JSON");
    let refused = &answer["errors"][0]["extensions"];
    assert_eq!((&refused["code"], &refused["parked"]), (&json!("NOT_YET_VISIBLE"), &json!(true)));
    assert_eq!(refused["model"], "catalog");
    let status = installation.run(&["projections", "status", "--json"]).json();
    let parked: Vec<&Value> = status
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|it| it["parked"].as_array().into_iter().flatten())
        .collect();
    assert!(parked.len() == 1 && parked[0]["reason"] == "parked by a test", "{parked:?}");
    installation.run(&["projections", "resume", "catalog", "--tenant", "parked"]).text();
    assert_eq!(count().await, 1, "nothing was skipped");
    let shown = api.graphql_at(position, "{ entities { totalCount } }", Value::Null).await;
    assert_eq!(shown["entities"]["totalCount"], 1);
}

struct Tenants {
    flooding: Api,
    parked: Api,
    quiet: Api,
}

async fn four_tenants(installation: &Installation) -> (Server, Tenants) {
    let server = installation.up().await;
    let slugs = ["flooding", "importers", "parked", "quiet"];
    let ids = slugs.map(|it| installation.create_tenant(it));
    server.stop().await;
    park(installation, &ids[2]).await;
    let server = installation.up().await;
    let api = |it: usize| server.api(&installation.token(&ids[it]));
    let tenants = Tenants { flooding: api(0), parked: api(2), quiet: api(3) };
    (server, tenants)
}

/// Entities imported meanwhile: `fast` 1,000, `ci` and `full` 10,000.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_an_import_and_a_parked_tenant_leave_a_fourth_unharmed() {
    let entities = Profile::of_this_run().count(1_000, 10_000, 10_000);
    // Long enough for any machine: answers are judged here, not times.
    let installation = Installation::new().with("CALLBOARD_HTTP_VISIBILITY_WAIT_MS", "60000");
    let (server, tenants) = four_tenants(&installation).await;
    let change = json!({"apiVersion": "backstage.io/v1alpha1", "kind": "Group",
        "metadata": {"name": "waiting"}, "spec": {"type": "team", "children": []}});
    let change = json!({"input": {"changes": [{"put": {"descriptor": change}}]}});
    let apply = "mutation($input: ApplyEntitiesInput!) {
        applyEntities(input: $input) { outcome { position } userErrors { message } } }";
    let accepted = tenants.parked.graphql(apply, change).await;
    assert_eq!(accepted["applyEntities"]["userErrors"], json!([]), "it can still write");

    print(&format!(
        "one floods with {FLOODERS} clients, one imports {entities} entities, one is parked"
    ));
    let mut alone = measure(&tenants.quiet, "alone", || true).await;
    let flood = Flood::begin(&tenants.flooding).await;
    let mut import = import(&installation, &catalog(installation.home(), entities));
    let imported = || import.try_wait().expect("a process of ours can be waited for").is_some();
    let mut loaded = measure(&tenants.quiet, "under load", imported).await;
    flood.end().await;
    alone.report("the fourth alone");
    loaded.report("the fourth under load");
    assert!(import.wait().expect("the import ends").success(), "the import succeeds");

    let importers = server.api(&installation.token("importers"));
    crate::harness::eventually("everything imported is there", async || {
        let data = importers.graphql("{ entities { totalCount } }", Value::Null).await;
        (data["entities"]["totalCount"] == entities).then_some(())
    })
    .await;
    // Positive control: answers of another tenant would have been noticed.
    assert!(!is_own(&importers.graphql(EVERYTHING, Value::Null).await, "alone 0"));
    let position = accepted["applyEntities"]["outcome"]["position"].as_str().expect("a token");
    parked_tenant_is_resumed(&installation, &tenants.parked, position).await;
    server.stop().await;
}
