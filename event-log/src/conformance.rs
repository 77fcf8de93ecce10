//! The contract of [`crate::port`] as a test suite. An adapter is done when it passes.
//!
//! Each function here is one clause and takes an empty log of two partitions.
//! [`conformance_tests!`](crate::conformance_tests) turns them into tests of an adapter. What an
//! adapter does when its storage fails is for its own tests.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::chain::Link;
use crate::port::{Batch, EventLog, LogError, Partition, Position, Reader, Recorded, Writer};
use crate::record::{Attribute, Draft, Record};

mod reading;
mod sharing;
mod snapshots;
#[cfg(test)]
mod tests;
mod writing;

pub use reading::*;
pub use sharing::*;
pub use snapshots::*;
pub use writing::*;

/// What every clause is given.
pub type Log = Arc<dyn EventLog>;

/// A tenant for records that need one.
pub const TENANT: &str = "ten_conformance";

/// The partition most clauses use.
pub const PARTITION: Partition = Partition(0);

/// How long a clause waits for what must come. Far more than any adapter needs.
const PATIENCE_MAX: Duration = Duration::from_secs(30);

/// Makes the tests of the contract for one adapter.
///
/// Takes an expression that makes an empty log of two partitions and whatever must stay alive
/// with it: `(Arc<dyn EventLog>, guard)`. It is evaluated once per test, in an async block.
#[macro_export]
macro_rules! conformance_tests {
    ($make:expr) => {
        $crate::conformance_tests!(@each $make =>
            gives_a_new_log_an_identity,
            returns_what_was_appended_in_order,
            takes_an_empty_batch,
            refuses_a_batch_that_is_too_large_and_goes_on,
            fences_the_earlier_writer,
            tells_by_a_barrier_who_is_the_writer,
            continues_after_the_earlier_writer,
            lets_a_dropped_append_be_whole_or_absent,
            keeps_partitions_apart,
            knows_no_other_partitions,
            reads_from_any_position,
            refuses_to_read_beyond_the_end,
            never_splits_a_command,
            shows_a_batch_at_once,
            follows_the_live_end,
            keeps_readers_apart,
            loses_nothing_when_a_pending_read_is_dropped,
            has_no_snapshot_at_first,
            merges_snapshots,
            shows_a_snapshot_once_it_is_finished,
            appends_beside_a_snapshot,
            lets_one_snapshot_take_the_place_of_another,
            starts_anew_with_another_series,
            keeps_snapshots_of_two_versions,
            keeps_snapshots_of_partitions_apart,
            fences_snapshots_of_the_earlier_writer,
            refuses_a_snapshot_that_breaks_a_limit,
            gives_every_partition_to_one_alone,
            tells_where_partitions_are_served,
            fences_the_announcement_of_the_earlier_writer,
        );
    };
    (@each $make:expr => $($clause:ident,)+) => {
        mod conformance {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $clause() {
                let (log, _guard) = $make;
                $crate::conformance::$clause(log).await;
            })+
        }
    };
}

/// A small record of `tenant` whose value says `number`, at `batchpos` of its command.
#[must_use]
pub fn record(tenant: &str, number: u64, batchpos: &str) -> Record {
    let sequence = number.to_string();
    let value = format!("{{\"number\":{number}}}");
    seal(tenant, &sequence, batchpos, value.as_bytes(), Link::GENESIS)
}

/// A record with exactly this content, linked after `previous`.
#[must_use]
pub fn seal(tenant: &str, sequence: &str, batchpos: &str, value: &[u8], previous: Link) -> Record {
    let attributes = Attribute::ALL.map(|attribute| match attribute {
        Attribute::SpecVersion => "1.0",
        Attribute::Type => "callboard.sample.made.v1",
        Attribute::Time => "2026-01-01T00:00:00Z",
        Attribute::Tenant | Attribute::PartitionKey => tenant,
        Attribute::Sequence | Attribute::Revision | Attribute::Id => sequence,
        Attribute::BatchPos => batchpos,
        Attribute::ContentType => "application/json",
        Attribute::Source
        | Attribute::Subject
        | Attribute::DataSchema
        | Attribute::CommandId
        | Attribute::CorrelationId
        | Attribute::CausationId
        | Attribute::Actor => "sample",
    });
    let trace = sequence.len().is_multiple_of(2).then_some("00-trace-of-the-sample-01");
    Record::seal(&Draft { attributes, value }, previous, trace).expect("samples are small")
}

/// One command of `count` records, numbered from `first`.
#[must_use]
pub fn command(first: u64, count: u64) -> Batch {
    (0..count).map(|it| record(TENANT, first + it, &format!("{}/{count}", it + 1))).collect()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE_MAX, future).await.expect("the log answers in time")
}

async fn claim(log: &Log, partition: Partition) -> Box<dyn Writer> {
    soon(log.claim(partition)).await.expect("the partition can be claimed")
}

async fn append(writer: &mut Box<dyn Writer>, batch: Batch) -> Vec<Position> {
    let count = batch.len();
    let positions = soon(writer.append(batch)).await.expect("the batch is appended");
    assert_eq!(positions.len(), count, "one position per record");
    positions
}

async fn reader(log: &Log, partition: Partition, from: Position) -> Box<dyn Reader> {
    soon(log.read(partition, from)).await.expect("the partition can be read")
}

async fn next(reader: &mut Box<dyn Reader>, records_max: usize) -> Vec<Recorded> {
    let found = soon(reader.next(records_max)).await.expect("the log can be read");
    assert!(!found.is_empty(), "a reader returns at least one record");
    found
}

/// Everything from `from` to the end of the partition.
async fn read_all(log: &Log, partition: Partition, from: Position) -> Vec<Recorded> {
    let end = soon(log.end(partition)).await.expect("the log has an end");
    let mut reader = reader(log, partition, from).await;
    let mut all: Vec<Recorded> = Vec::new();
    let mut reached = from;
    while reached < end {
        all.extend(next(&mut reader, 7).await);
        reached = all.last().expect("a read is never empty").position.next();
    }
    assert_eq!(reached, end, "the end is right after the last record");
    all
}

fn assert_damage_free<T: Debug>(result: &Result<T, LogError>) {
    assert!(!matches!(result, Err(LogError::Damaged { .. })), "{result:?}");
}
