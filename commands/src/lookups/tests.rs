//! How many readers callers get, and who waits for whom.

use std::sync::Arc;

use domain::id::TenantId;
use event_log::{LogError, MemoryLog, Partition, Position, Reader, readers_max};
use futures::FutureExt as _;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    BRIEF_EACH_MAX, BRIEF_OF_ONE_MAX, LASTING_EACH_MAX, LASTING_OF_ONE_MAX, Lookup, Lookups,
    OWN_EACH, RETURNING_MAX, TURN, WAIT_MAX,
};

const PARTITION: Partition = Partition(0);

/// How many tenants want something.
const TENANTS: u128 = 20;

fn tenant(number: u128) -> TenantId {
    TenantId(Uuid::from_u128(number + 1))
}

async fn read(
    lookups: &Lookups,
    number: u128,
    partition: Partition,
    lookup: Lookup,
) -> Result<Box<dyn Reader>, LogError> {
    lookups.read(tenant(number), partition, Position::START, lookup).await
}

/// What comes of it without waiting, however much else came of the task before.
fn polled_once<T>(it: impl Future<Output = T>) -> Option<T> {
    tokio::task::unconstrained(it).now_or_never()
}

/// As many readers of a partition as so many tenants get without waiting.
fn at_once(
    lookups: &Lookups,
    tenants: u128,
    partition: Partition,
    lookup: Lookup,
) -> Vec<Box<dyn Reader>> {
    let mut readers = Vec::new();
    for number in 0..tenants {
        while let Some(Ok(it)) = polled_once(read(lookups, number, partition, lookup)) {
            readers.push(it);
        }
    }
    readers
}

/// The same, all of which wait for what is not there yet.
async fn in_use(readers: Vec<Box<dyn Reader>>) -> Vec<JoinHandle<()>> {
    let wait = |mut reader: Box<dyn Reader>| {
        tokio::spawn(async move {
            let _ = reader.next(1).await;
        })
    };
    let waiting: Vec<_> = readers.into_iter().map(wait).collect();
    tokio::task::yield_now().await;
    waiting
}

#[tokio::test(start_paused = true)]
async fn a_tenant_has_its_share_and_all_together_what_is_left_over() {
    for (lookup, of_one, of_all) in [
        (Lookup::Brief, BRIEF_OF_ONE_MAX, BRIEF_EACH_MAX),
        (Lookup::Lasting, LASTING_OF_ONE_MAX, LASTING_EACH_MAX),
    ] {
        let lookups = Lookups::new(Arc::new(MemoryLog::new(1)));
        let one = at_once(&lookups, 1, PARTITION, lookup);
        assert_eq!(one.len(), of_one);
        let others = at_once(&lookups, TENANTS, PARTITION, lookup);
        assert_eq!(one.len() + others.len(), of_all);
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_on_gives_its_reader_to_whoever_waits() {
    let lookups = Lookups::new(Arc::new(MemoryLog::new(1)));
    let stalled = at_once(&lookups, TENANTS, PARTITION, Lookup::Lasting);
    assert_eq!(stalled.len(), LASTING_EACH_MAX);
    let began = Instant::now();
    // Somebody else, and one of those that have as many as they may: the last one.
    let other = read(&lookups, TENANTS, PARTITION, Lookup::Lasting).await.unwrap();
    assert!(began.elapsed() >= TURN, "each has its turn first");
    let has_all = (LASTING_EACH_MAX / LASTING_OF_ONE_MAX - 1) as u128;
    let asked = polled_once(read(&lookups, has_all, PARTITION, Lookup::Lasting));
    assert!(asked.is_none(), "it waits for one of its own");
    let own = read(&lookups, has_all, PARTITION, Lookup::Lasting).await.unwrap();
    assert!(began.elapsed() < WAIT_MAX);
    drop((other, own));
}

#[tokio::test(start_paused = true)]
async fn whoever_needs_one_of_another_partition_takes_it_where_there_is_none_left_at_all() {
    let partitions = 64;
    let lookups = Lookups::new(Arc::new(MemoryLog::new(partitions)));
    let mut stalled = Vec::new();
    for partition in (0..partitions).map(Partition) {
        for number in 0..2 {
            let number = u128::from(partition.0) * 2 + number;
            while let Some(Ok(it)) = polled_once(read(&lookups, number, partition, Lookup::Lasting))
            {
                stalled.push(it);
            }
        }
    }
    let last = Partition(partitions - 1);
    read(&lookups, u128::MAX / 2, last, Lookup::Lasting).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_reads_just_now_is_not_interrupted() {
    let lookups = Lookups::new(Arc::new(MemoryLog::new(1)));
    let reading = in_use(at_once(&lookups, TENANTS, PARTITION, Lookup::Lasting)).await;
    let late = read(&lookups, TENANTS, PARTITION, Lookup::Lasting).await;
    assert!(matches!(late, Err(LogError::Busy { partition: PARTITION })), "{late:?}");
    assert!(reading.iter().all(|it| !it.is_finished()));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_use_for_long_does_not_hold_up_what_is_brief() {
    let partitions = 64;
    let lookups = Lookups::new(Arc::new(MemoryLog::new(partitions)));
    let all = (0..partitions).map(Partition);
    let mut lasting = Vec::new();
    for partition in all.clone() {
        // Each partition has tenants of its own.
        for number in 0..TENANTS {
            let number = u128::from(partition.0) * TENANTS + number;
            while let Some(Ok(it)) = polled_once(read(&lookups, number, partition, Lookup::Lasting))
            {
                lasting.push(it);
            }
        }
    }
    let left = readers_max(partitions) - OWN_EACH * partitions as usize - RETURNING_MAX;
    assert_eq!(lasting.len(), left - left / 3, "all that there are of all partitions");
    let _reading = in_use(lasting).await;
    let last = Partition(partitions - 1);
    let late = read(&lookups, u128::MAX / 2, last, Lookup::Lasting).await;
    assert!(matches!(late, Err(LogError::Busy { .. })), "no more fit: {late:?}");
    for partition in all {
        let brief = polled_once(read(&lookups, 0, partition, Lookup::Brief));
        assert!(matches!(brief, Some(Ok(_))), "{partition}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_served_once_another_is_done_and_nothing_is_kept_of_who_is_gone() {
    let lookups = Lookups::new(Arc::new(MemoryLog::new(1)));
    let mut held = at_once(&lookups, 1, PARTITION, Lookup::Brief);
    let waiting = tokio::spawn({
        let lookups = lookups.clone();
        async move { read(&lookups, 0, PARTITION, Lookup::Brief).await.map(drop) }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    held.pop();
    waiting.await.unwrap().unwrap();
    held.clear();
    read(&lookups, 1, PARTITION, Lookup::Brief).await.unwrap();
    assert_eq!(lookups.0.tenants.lock().unwrap().len(), 1);
}
