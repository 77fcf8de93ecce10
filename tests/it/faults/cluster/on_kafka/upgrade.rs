//! Processes that are replaced one by one by the next version, and by this one again.

use std::path::Path;

use event_log::Attribute;
use serde_json::{Value, json};

use super::{count, turn};
use crate::faults::cluster::arena::Arena;
use crate::faults::following::Follower;
use crate::harness::{Ground, PATIENCE, Ran, Server, callboard, callboard_next};

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
        assert_eq!(level(&arena), (1, vec![2, 2]));
        arena.round("put back", async |arena| replace(arena, this).await).await;
        assert_eq!(level(&arena), (1, vec![1, 1]));
    }
    arena.round("one upgraded", async |arena| arena.replace(0, &next).await).await;
    let refused = raise(&arena);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("speaks levels up to 1 only"), "{}", refused.stderr);
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
    let reason =
        "the level of the cluster is 2, and this version of Callboard speaks levels up to 1";
    assert!(log.contains(reason), "{log}");
}
