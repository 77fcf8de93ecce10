//! Processes that are killed, and such that are paused and go on.

use std::time::Duration;

use super::{count, turn};
use crate::faults::cluster::arena::Arena;
use crate::faults::cluster::print;
use crate::harness::Ground;

/// What a kill waits for at most, so that it falls anywhere within a batch. In microseconds.
const MOMENT_MAX: u64 = 50_000;

/// How much longer than a session a process is paused at most. In milliseconds.
const BEYOND_MAX: u64 = 3_000;

/// After how many pauses an owner must have been found out that lacks what keeps it right.
const FOUND_OUT_WITHIN: usize = 50;

/// Kills of an owner: `fast` 1, `ci` 2, `full` 50.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_command_survives_the_death_of_its_owner() {
    let Some(ground) = Ground::given() else { return };
    let _turn = turn().await;
    let mut arena = Arena::open(&ground).await;
    for _ in 0..count(1, 2, 50) {
        let victim = arena.an_owner().await;
        arena.round("owner killed", async |arena| kill(arena, victim).await).await;
    }
    arena.close_in_time("owner killed").await;
}

async fn kill(arena: &mut Arena, victim: usize) {
    tokio::time::sleep(Duration::from_micros(arena.random.below(MOMENT_MAX))).await;
    drop(arena.servers[victim].take());
    // Once it comes back before anybody has noticed, once after others have taken over.
    if arena.random.below(2) == 0 {
        arena.goes_on().await;
    }
    arena.start_again(victim).await;
}

/// Pauses of an owner that last longer than its session: `fast` 0, `ci` 1, `full` 20.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_was_paused_says_nothing_of_the_past_and_writes_nothing() {
    let pauses = count(0, 1, 20);
    let Some(ground) = Ground::given().filter(|_| pauses > 0) else { return };
    let _turn = turn().await;
    let mut arena = Arena::open(&ground).await;
    for _ in 0..pauses {
        let victim = arena.an_owner().await;
        arena.round("owner paused", async |arena| pause(arena, victim).await).await;
    }
    arena.close_in_time("owner paused").await;
}

/// Owners that lack one of the two things that this rests on, a fence between writers and a barrier
/// before an answer that rests on memory, are found out: `full` both, others none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_owner_without_fence_or_barrier_is_found_out() {
    let Some(ground) = Ground::given().filter(|_| count(0, 0, 1) > 0) else { return };
    let _turn = turn().await;
    for left_out in ["write-unfenced", "answer-at-once"] {
        let (pauses, wrong) = found_out(&ground, left_out).await;
        print(&format!("{left_out}: found out after {pauses} pauses: {wrong}"));
    }
}

/// After how many pauses the judges find something wrong, and what.
async fn found_out(ground: &Ground, left_out: &str) -> (usize, String) {
    let mut arena = Arena::without(ground, left_out).await;
    for pauses in 1..=FOUND_OUT_WITHIN {
        let victim = arena.an_owner().await;
        let wrong = arena.wrong_after(async |arena| pause(arena, victim).await).await;
        if let Some(wrong) = wrong.into_iter().next() {
            return (pauses, wrong);
        }
    }
    panic!("{left_out}: nothing was wrong after {FOUND_OUT_WITHIN} pauses");
}

async fn pause(arena: &mut Arena, victim: usize) {
    tokio::time::sleep(Duration::from_micros(arena.random.below(MOMENT_MAX))).await;
    arena.server(victim).pause();
    tokio::time::sleep(arena.session).await;
    // Others have taken over, and know what the paused one does not.
    arena.goes_on().await;
    tokio::time::sleep(Duration::from_millis(arena.random.below(BEYOND_MAX))).await;
    arena.server(victim).resume();
}
