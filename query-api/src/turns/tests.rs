use std::sync::Arc;

use tokio::sync::Semaphore;
use uuid::Uuid;

use super::*;

/// The tenant with this number.
fn tenant(number: u128) -> Whose {
    Some(TenantId(Uuid::from_u128(number)))
}

/// Some steps of work that give way in between, as a request does. Each takes 100 µs of a clock
/// that stands still otherwise.
async fn steps(count: usize) {
    for _ in 0..count {
        tokio::time::advance(Duration::from_micros(100)).await;
    }
}

/// How many requests a flood has.
const FLOOD: usize = 200;

/// How many of `count` requests of a flood of one tenant are done when one request is that came last
/// and is of tenant `other`, where `holder` had the turn before for as long as `took`.
async fn done_before(other: Whose, count: usize, (holder, took): (Whose, Duration)) -> usize {
    let (turns, flood) = (Turns::new(1), tenant(1));
    let (done, held) = (Arc::new(Mutex::new(0)), Arc::new(Semaphore::new(0)));
    // Everybody comes while the only turn is taken, so that everybody waits.
    assert!(turns.take_or_wait(&ticket(&turns, holder)));
    let mut all = Vec::new();
    for _ in 0..count {
        let (turn, done, held) = (turns.of(flood), Arc::clone(&done), Arc::clone(&held));
        all.push(tokio::spawn(async move {
            held.add_permits(1);
            turn.taken_by(Box::pin(steps(3))).await;
            *done.lock().unwrap() += 1;
        }));
    }
    let _all_came = held.acquire_many(u32::try_from(count).unwrap()).await.unwrap();
    let before = Arc::clone(&done);
    let last = turns.of(other).taken_by(Box::pin(async move {
        steps(3).await;
        *before.lock().unwrap()
    }));
    let last = tokio::spawn(last);
    tokio::task::yield_now().await;
    turns.give_back(holder, took);
    for it in all {
        it.await.unwrap();
    }
    last.await.unwrap()
}

fn ticket(turns: &Turns, whose: Whose) -> Arc<Ticket> {
    let place = Mutex::new(Place { phase: Phase::New, waker: None });
    Arc::new(Ticket { turns: turns.clone(), whose, place })
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_one_tenant_does_not_keep_another_waiting() {
    let before = (tenant(1), Duration::ZERO);
    let done = done_before(tenant(2), FLOOD, before).await;
    assert!(done < 10, "{done} of the flood's requests came first");
    // The same without tenants to tell apart: it is the turns that let it go first.
    let done = done_before(tenant(1), FLOOD, before).await;
    assert!(done > FLOOD / 2, "only {done} of the flood's requests came first");
}

#[tokio::test(start_paused = true)]
async fn whose_turn_was_cut_by_a_pause_of_the_process_does_not_pay_for_it() {
    // Each request of the flood takes 300 µs.
    let count = 2_000;
    let done = done_before(tenant(2), count, (tenant(2), Duration::from_secs(10))).await;
    assert!(done < count / 4, "{done} of the flood's requests came first");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_something_else_has_no_turn() {
    let turns = Turns::new(1);
    let go = Arc::new(Semaphore::new(0));
    let durable = Arc::clone(&go);
    let work = Box::pin(async move { durable.acquire().await.unwrap().forget() });
    let waits = tokio::spawn(turns.of(tenant(1)).taken_by(work));
    tokio::task::yield_now().await;
    turns.of(tenant(1)).taken_by(Box::pin(steps(3))).await;
    assert!(!waits.is_finished());
    go.add_permits(1);
    waits.await.unwrap();
    assert_eq!(turns.lock().taken, 0);
}

#[tokio::test(start_paused = true)]
async fn work_that_is_given_up_gives_its_turn_back() {
    let turns = Turns::new(1);
    let turn = turns.of(tenant(1));
    assert!(turns.take_or_wait(&ticket(&turns, tenant(1))));
    let waiting = tokio::spawn(turn.taken_by(Box::pin(steps(1))));
    let mut granted = turn.taken_by(Box::pin(steps(1)));
    tokio::task::yield_now().await;
    assert!(futures::poll!(&mut granted).is_pending());
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    turns.give_back(tenant(1), Duration::ZERO);
    assert_eq!(turns.lock().taken, 1, "it has a turn and was not polled yet");
    drop(granted);
    assert_eq!(turns.lock().taken, 0);
    turn.taken_by(Box::pin(steps(1))).await;
}

#[tokio::test]
async fn work_that_panics_gives_its_turn_back() {
    let turns = Turns::new(1);
    let work = Box::pin(async { panic!("as a resolver might") });
    let panicked: Result<(), _> = tokio::spawn(turns.of(None).taken_by(work)).await;
    assert!(panicked.unwrap_err().is_panic());
    assert_eq!(turns.lock().taken, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_forgotten_however_wakes_and_turns_meet() {
    /// Requests: enough for every order of wake and poll to happen now and then.
    const COUNT: usize = 2_000;
    let turns = Turns::new(2);
    let go = Arc::new(Semaphore::new(1));
    let all = (0..COUNT).map(|number| {
        let go = Arc::clone(&go);
        let work = Box::pin(async move {
            for _ in 0..5 {
                let permit = go.acquire().await.unwrap();
                tokio::task::yield_now().await;
                drop(permit);
            }
        });
        tokio::spawn(turns.of(tenant(number as u128 % 7)).taken_by(work))
    });
    let all: Vec<_> = all.collect();
    let ended = futures::future::join_all(all);
    let ended = tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap();
    assert!(ended.into_iter().all(|it| it.is_ok()));
    assert_eq!(turns.lock().taken, 0);
}
