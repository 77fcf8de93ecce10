//! Read models whose writer is killed, and a database that restarts.

use std::process::Stdio;
use std::time::Duration;

use sqlx::{Connection, PgConnection, Row};
use xtask::services::Purpose;
use xtask::services::postgres::Server as Database;

use super::{count, turn};
use crate::faults::cluster::arena::Arena;
use crate::faults::dump::MODELS;
use crate::harness::{Ground, eventually, given_kafka, postgres_binaries};

/// How long a rebuild goes on before its process is killed, and a database stays down, at most.
/// In milliseconds.
const REBUILT_MAX: u64 = 400;
const DOWN_MAX: u64 = 2_000;

/// Kills of a process that is filling read models: `fast` 0, `ci` 2, `full` 50.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_models_miss_nothing_when_whoever_fills_them_is_killed() {
    let kills = count(0, 2, 50);
    let Some(ground) = Ground::given().filter(|_| kills > 0) else { return };
    let _turn = turn().await;
    let mut arena = Arena::open(&ground).await;
    for number in 0..kills {
        let victim = arena.an_owner().await;
        arena
            .round("projector killed", async |arena| {
                match number % 2 {
                    0 => is_writing(arena).await,
                    _ => is_rebuilding(arena, victim).await,
                }
                drop(arena.servers[victim].take());
                arena.start_again(victim).await;
            })
            .await;
    }
    arena.close("projector killed").await;
}

/// Waits until a transaction on a read model is open.
async fn is_writing(arena: &Arena) {
    let mut watch = PgConnection::connect(&arena.cluster.database).await.expect("it lets us in");
    let open = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'callboard'
            AND backend_xid IS NOT NULL";
    eventually("somebody writes", async || {
        let row = sqlx::query(open).fetch_one(&mut watch).await.expect("it answers");
        (row.get::<i64, _>(0) > 0).then_some(())
    })
    .await;
}

/// Has a process rebuild a model, and waits for a moment while it does.
async fn is_rebuilding(arena: &mut Arena, which: usize) {
    let model = MODELS[usize::try_from(arena.random.below(5)).expect("it is small")];
    let mut command = arena.installation(which).command(&["projections", "rebuild", model]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut rebuilding = command.spawn().expect("the binary starts");
    // It may not end well, for the process that it asks is killed.
    std::thread::spawn(move || drop(rebuilding.wait()));
    tokio::time::sleep(Duration::from_millis(arena.random.below(REBUILT_MAX))).await;
}

/// Restarts of the database, in good order and not in turn: `fast` 0, `ci` 2, `full` 10.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_restarts_loses_no_command_and_no_row() {
    let restarts = count(0, 2, 10);
    let Some(bootstrap) = given_kafka().filter(|_| restarts > 0) else { return };
    let Some(binaries) = postgres_binaries() else { return };
    let _turn = turn().await;
    let database = tokio::task::block_in_place(|| Database::start(&binaries, Purpose::Tests));
    let database = database.expect("a database starts");
    let ground = Ground {
        bootstraps: [bootstrap.clone(), bootstrap],
        replication: 1,
        postgres: database.url(),
    };
    let mut arena = Arena::open(&ground).await;
    for number in 0..restarts {
        arena
            .round("database restarted", async |arena| {
                let ended = tokio::task::block_in_place(|| match number % 2 {
                    0 => database.kill(),
                    _ => database.stop(),
                });
                ended.expect("it ends");
                tokio::time::sleep(Duration::from_millis(arena.random.below(DOWN_MAX))).await;
                tokio::task::block_in_place(|| database.restart()).expect("it starts again");
            })
            .await;
    }
    arena.close("database restarted").await;
}
