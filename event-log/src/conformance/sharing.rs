//! Clauses about who owns partitions, and where they are served.

use std::collections::BTreeSet;

use super::{Log, PARTITION, Partition, claim, soon};
use crate::membership::Turn;
use crate::port::AppendError;

/// Waits until it is known that the partition is served at `address`.
async fn hears(log: &Log, partition: Partition, address: &str) {
    let mut owners = log.owners();
    let is_told = owners.wait_for(|it| it[partition.0 as usize].as_deref() == Some(address));
    drop(soon(is_told).await.expect("the log is open"));
}

/// Who is alone is to take every partition, each once.
pub async fn gives_every_partition_to_one_alone(log: Log) {
    let mut membership = soon(log.join("a test")).await.expect("the log can be joined");
    let mut taken = BTreeSet::new();
    for _ in 0..log.partitions() {
        let turn = soon(membership.next()).await.expect("there is something to do");
        let Turn::Take(partition) = turn else { panic!("expected `Take`, got {turn:?}") };
        assert!(partition.0 < log.partitions() && taken.insert(partition), "{partition} again");
    }
    soon(membership.leave()).await;
}

/// Nobody has announced anything at first; then the last announcement of a partition counts.
pub async fn tells_where_partitions_are_served(log: Log) {
    assert_eq!(**log.owners().borrow(), [None, None]);
    let mut writer = claim(&log, PARTITION).await;
    for address in ["one:1", "two:2"] {
        soon(writer.announce(address)).await.expect("the partition is owned");
        hears(&log, PARTITION, address).await;
    }
    let mut other = claim(&log, Partition(1)).await;
    soon(other.announce("three:3")).await.expect("the partition is owned");
    hears(&log, Partition(1), "three:3").await;
    hears(&log, PARTITION, "two:2").await;
}

/// A writer that lost its partition cannot say that it is served by it.
pub async fn fences_the_announcement_of_the_earlier_writer(log: Log) {
    let mut earlier = claim(&log, PARTITION).await;
    soon(earlier.announce("earlier:1")).await.expect("the partition is owned");
    let mut later = claim(&log, PARTITION).await;
    for _ in 0..2 {
        let fenced = soon(earlier.announce("earlier:2")).await;
        assert!(matches!(fenced, Err(AppendError::Fenced)), "{fenced:?}");
    }
    soon(later.announce("later:1")).await.expect("the partition is owned");
    hears(&log, PARTITION, "later:1").await;
}
