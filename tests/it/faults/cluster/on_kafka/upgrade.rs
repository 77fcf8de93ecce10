//! Processes that are replaced one by one by the next version, and by this one again. The next one has
//! other tables for the analytics, so each is ready only once it has filled those of its own, also
//! of partitions that the other one owns.

use std::path::Path;

use event_log::Attribute;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::{count, turn};
use crate::faults::cluster::arena::Arena;
use crate::faults::following::Follower;
use crate::harness::{
    Cluster, Ground, Installation, PATIENCE, Ran, Server, callboard, callboard_next, eventually,
};

/// The operators' tenant.
const SYSTEM: &str = "ten_00000000000000000000000000000000";

/// What the next version writes in a new way, from the next level on.
const OLD: &str = "callboard.customer.opened.v1";
const NEW: &str = "callboard.customer.opened.v2";

/// Upgrades that are taken back before one stays: `fast` 0 and none that stays, `ci` 1, `full` 5.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_version_can_be_put_back_until_the_level_is_raised() {
    let taken_back = count(0, 1, 5);
    let Some(ground) = Ground::given().filter(|_| taken_back > 0) else { return };
    let _turn = turn().await;
    let (this, next) = (callboard(), callboard_next());
    let mut arena = Arena::open(&ground).await;
    for _ in 0..taken_back {
        arena.round("upgraded", async |arena| replace(arena, &next).await).await;
        assert_eq!(tables(&arena).await, ["2", "3"], "each version has its own");
        assert_eq!(level(&arena), (1, vec![2, 2]));
        arena.round("put back", async |arena| replace(arena, this).await).await;
        assert_eq!(level(&arena), (1, vec![1, 1]));
    }
    arena.round("one upgraded", async |arena| arena.replace(0, &next).await).await;
    let refused = raise(&arena);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("speaks levels up to 1 only"), "{}", refused.stderr);
    // Nobody writes just now, so whatever one of them owns the other one shows too.
    for which in [0, 1] {
        shows_everything(&arena, which).await;
    }
    arena.round("both upgraded", async |arena| arena.replace(1, &next).await).await;
    assert_eq!(level(&arena), (1, vec![2, 2]));
    assert!(written(&arena, OLD).await > 0, "the check would find it");
    assert_eq!(written(&arena, NEW).await, 0, "nobody has raised the level");

    let raise = async |arena: &mut Arena| assert_eq!(raise(arena).text(), RAISED);
    arena.round("level raised", raise).await;
    assert_eq!(level(&arena), (2, vec![2, 2]));
    assert!(written(&arena, NEW).await > 0, "the next version writes in its own way now");
    refuses_to_start(&mut arena, this).await;
    arena.replace(1, &next).await;
    arena.close("upgraded, put back, upgraded, level raised").await;
}

/// In milliseconds: 3,000.
const SESSION: &str = "3000";

/// One that was paused while the level was raised, so that nobody saw it: in `ci` and `full` runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_does_not_speak_the_level_ends_by_itself() {
    let Some(ground) = Ground::given().filter(|_| count(0, 1, 1) > 0) else { return };
    let _turn = turn().await;
    let cluster = Cluster::on(&ground).await;
    let mut cluster = cluster.with("CALLBOARD_LOG_KAFKA_SESSION_TIMEOUT_MS", SESSION);
    let mut old = cluster.first.up().await;
    cluster.first.create_tenant("acme");
    assert_eq!(shown(&cluster.first), 1, "it is the level of who registered the first tenant");
    cluster.second.put(&callboard_next());
    let new = cluster.second.up().await;
    let raise = || cluster.second.run(&["cluster", "level", "raise"]);
    assert!(raise().stderr.contains("speaks levels up to 1 only"), "it is seen");

    old.pause();
    eventually("nobody sees it", async || (raise().code == 0).then_some(())).await;
    old.resume();
    let ended = old.ended().await;
    assert!(!ended.success(), "{ended}");
    let log = std::fs::read_to_string(cluster.first.home().join("server.log")).expect("a log");
    assert!(log.contains(TOO_OLD), "{log}");
    // Whoever speaks it goes on, and serves everything.
    cluster.second.create_tenant("birch");
    assert_eq!(shown(&cluster.second), 2);
    new.stop().await;
}

/// In `ci` and `full` runs, which have a next version.
#[tokio::test]
async fn a_new_installation_has_the_level_of_its_first_binary() {
    if count(0, 1, 1) == 0 {
        return;
    }
    for (binary, level) in [(callboard().to_owned(), 1), (callboard_next(), 2)] {
        let mut installation = Installation::new();
        installation.put(&binary);
        let server = installation.up().await;
        assert_eq!(shown(&installation), 1, "nothing is recorded");
        installation.create_tenant("acme");
        assert_eq!(shown(&installation), level);
        server.stop().await;
    }
}

/// The level, as operators see it.
fn shown(installation: &Installation) -> u64 {
    let shown = installation.run(&["cluster", "level", "--json"]).json();
    shown["level"].as_u64().expect("a number")
}

/// Why the present version does not go on.
const TOO_OLD: &str =
    "the level of the cluster is 2, and this version of Callboard speaks levels up to 1";

/// What an operator is told.
const RAISED: &str = "The level is 2. Binaries that do not speak it cannot be put back.\n";

/// Replaces one process after the other.
async fn replace(arena: &mut Arena, binary: &Path) {
    for which in [0, 1] {
        arena.replace(which, binary).await;
        arena.goes_on().await;
    }
}

/// The level, and what the processes speak.
fn level(arena: &Arena) -> (u64, Vec<u64>) {
    let shown = arena.installation(0).run(&["cluster", "level", "--json"]).json();
    let processes = shown["processes"].as_array().expect("a list").iter();
    let number = |it: &Value| it.as_u64().expect("a number");
    assert_ne!(shown["processes"][0]["address"], json!(null), "each says where it is");
    (number(&shown["level"]), processes.map(|it| number(&it["speaks"])).collect())
}

fn raise(arena: &Arena) -> Ran {
    arena.installation(0).run(&["cluster", "level", "raise"])
}

/// Waits until a process shows everything, in whatever tables.
async fn shows_everything(arena: &Arena, which: usize) {
    let api = arena.server(which).api(&arena.installation(which).token(SYSTEM));
    eventually("everything is shown", async || {
        let status = api.get("/api/v1/projections").await;
        let live = status.as_array()?.iter().filter(|it| it["live"] == true);
        let partitions = live.flat_map(|it| it["partitions"].as_array().into_iter().flatten());
        partitions.map(|it| &it["eventsBehind"]).all(|it| it == 0).then_some(())
    })
    .await;
}

/// The versions of the tables of the analytics that were ever complete.
async fn tables(arena: &Arena) -> Vec<String> {
    let mut connection =
        PgConnection::connect(&arena.cluster.database).await.expect("the database lets us in");
    let chosen = "SELECT schema_version::text FROM callboard_projections.live
        WHERE model = 'analytics' ORDER BY schema_version";
    let chosen = sqlx::query_scalar(chosen).fetch_all(&mut connection).await;
    chosen.expect("it can be read")
}

/// How many events of a type are in the log.
async fn written(arena: &Arena, full_type: &str) -> usize {
    let records = Follower::default().read(&arena.log).await;
    records.iter().filter(|it| it.attribute(Attribute::Type) == full_type).count()
}

/// Sees that the second process ends at its start with this binary, and says why.
async fn refuses_to_start(arena: &mut Arena, binary: &Path) {
    if let Some(server) = arena.servers[1].take() {
        server.stop().await;
    }
    arena.cluster.second.put(binary);
    let mut server = Server::begin(&arena.cluster.second, &[]);
    let became_ready = tokio::time::timeout(PATIENCE, server.ready_or_ended()).await;
    assert_eq!(became_ready, Ok(false), "it ends");
    let log = arena.cluster.second.home().join("server.log");
    let log = std::fs::read_to_string(log).expect("it has a log");
    assert!(log.contains(TOO_OLD), "{log}");
}
