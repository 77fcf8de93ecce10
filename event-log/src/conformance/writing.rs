//! Clauses about claims and appends.

use super::{
    Log, PARTITION, TENANT, append, claim, command, next, read_all, reader, record, seal, soon,
};
use crate::chain::Link;
use crate::port::{
    AppendError, BATCH_BYTES_MAX, BATCH_RECORDS_MAX, ClaimError, LogError, Partition, Position,
};
use crate::record::VALUE_BYTES_MAX;

/// A log says who it is, how many partitions it has, and ends where it starts.
pub async fn gives_a_new_log_an_identity(log: Log) {
    assert_eq!(log.incarnation().len(), 32);
    assert!(log.incarnation().bytes().all(|it| it.is_ascii_hexdigit()));
    assert_eq!(log.partitions(), 2);
    assert_eq!(soon(log.end(PARTITION)).await.expect("the log has an end"), Position::START);
}

/// Records come back as they were, in order, at the positions the append returned.
pub async fn returns_what_was_appended_in_order(log: Log) {
    let mut writer = claim(&log, PARTITION).await;
    let mut written = Vec::new();
    for number in 1..=20 {
        let batch = command(number * 100, number);
        let positions = append(&mut writer, batch.clone()).await;
        written.extend(positions.into_iter().zip(batch));
    }
    assert!(written.is_sorted_by(|one, other| one.0 < other.0), "positions increase");
    let read = read_all(&log, PARTITION, Position::START).await;
    let read: Vec<_> = read.into_iter().map(|it| (it.position, it.record)).collect();
    assert_eq!(read, written);
}

/// Nothing to append is nothing to fail.
pub async fn takes_an_empty_batch(log: Log) {
    let mut writer = claim(&log, PARTITION).await;
    assert_eq!(append(&mut writer, Vec::new()).await, []);
    assert_eq!(soon(log.end(PARTITION)).await.expect("the log has an end"), Position::START);
}

/// The limits of the port hold exactly, and a refusal costs nothing but the batch.
pub async fn refuses_a_batch_that_is_too_large_and_goes_on(log: Log) {
    let mut writer = claim(&log, PARTITION).await;
    let small = record(TENANT, 1, "1/1");
    let value = vec![7; VALUE_BYTES_MAX];
    let large = seal(TENANT, "1", "1/1", &value, Link::GENESIS);
    let fitting = BATCH_BYTES_MAX / large.canonical().len();
    for batch in [vec![small.clone(); BATCH_RECORDS_MAX + 1], vec![large.clone(); fitting + 1]] {
        let refused = soon(writer.append(batch)).await;
        assert!(matches!(refused, Err(AppendError::Refused(LogError::TooLarge(_)))), "{refused:?}");
    }
    append(&mut writer, vec![small; BATCH_RECORDS_MAX]).await;
    append(&mut writer, vec![large; fitting]).await;
    let read = read_all(&log, PARTITION, Position::START).await;
    assert_eq!(read.len(), BATCH_RECORDS_MAX + fitting);
}

/// From the moment a claim is answered, the writer before it writes nothing any more.
pub async fn fences_the_earlier_writer(log: Log) {
    let mut earlier = claim(&log, PARTITION).await;
    append(&mut earlier, command(1, 3)).await;
    let mut later = claim(&log, PARTITION).await;
    for _ in 0..2 {
        let fenced = soon(earlier.append(command(100, 1))).await;
        assert!(matches!(fenced, Err(AppendError::Fenced)), "{fenced:?}");
    }
    append(&mut later, command(4, 2)).await;
    let numbers = read_all(&log, PARTITION, Position::START).await;
    let expected: Vec<_> = command(1, 3).into_iter().chain(command(4, 2)).collect();
    assert_eq!(numbers.into_iter().map(|it| it.record).collect::<Vec<_>>(), expected);
}

/// A barrier passes for the writer only, writes nothing that is read, and is in nobody's way.
pub async fn tells_by_a_barrier_who_is_the_writer(log: Log) {
    let mut earlier = claim(&log, PARTITION).await;
    let mut other = claim(&log, Partition(1)).await;
    soon(earlier.barrier()).await.expect("the partition is owned");
    append(&mut earlier, command(1, 3)).await;
    let end = soon(log.end(PARTITION)).await.expect("the log has an end");
    soon(earlier.barrier()).await.expect("the partition is owned");
    assert_eq!(soon(log.end(PARTITION)).await.expect("the log has an end"), end);
    let mut later = claim(&log, PARTITION).await;
    for _ in 0..2 {
        let fenced = soon(earlier.barrier()).await;
        assert!(matches!(fenced, Err(AppendError::Fenced)), "{fenced:?}");
    }
    soon(later.barrier()).await.expect("the partition is owned");
    soon(other.barrier()).await.expect("the other partition is owned by another");
    append(&mut later, command(4, 1)).await;
    assert_eq!(read_all(&log, PARTITION, Position::START).await.len(), 4);
    assert!(soon(log.snapshot(PARTITION, 0)).await.expect("the log can be read").is_none());
}

/// What earlier writers wrote stays, and later positions come after it.
pub async fn continues_after_the_earlier_writer(log: Log) {
    let mut last = None;
    for number in 1..=5 {
        let mut writer = claim(&log, PARTITION).await;
        let positions = append(&mut writer, command(number * 10, 2)).await;
        assert!(last < positions.first().copied());
        last = positions.last().copied();
    }
    assert_eq!(read_all(&log, PARTITION, Position::START).await.len(), 10);
}

/// A caller that stops waiting for its append does not tear it.
pub async fn lets_a_dropped_append_be_whole_or_absent(log: Log) {
    for number in 1..=20_u64 {
        let mut writer = claim(&log, PARTITION).await;
        tokio::select! {
            biased;
            outcome = writer.append(command(number * 10, 5)) => drop(outcome),
            () = tokio::task::yield_now() => (),
        }
    }
    let mut writer = claim(&log, PARTITION).await;
    append(&mut writer, command(1000, 1)).await;
    let all = read_all(&log, PARTITION, Position::START).await;
    let whole: Vec<_> = all.chunk_by(|one, _| !one.record.ends_command()).collect();
    let (last, before) = whole.split_last().expect("one command was appended for sure");
    assert_eq!(last.len(), 1);
    assert!(before.iter().all(|it| it.len() == 5), "a command is whole or absent");
}

/// Partitions have their own records, ends and owners.
pub async fn keeps_partitions_apart(log: Log) {
    let mut zero = claim(&log, Partition(0)).await;
    let mut one = claim(&log, Partition(1)).await;
    append(&mut zero, command(1, 3)).await;
    append(&mut one, command(10, 2)).await;
    append(&mut zero, command(20, 1)).await;
    assert_eq!(read_all(&log, Partition(0), Position::START).await.len(), 4);
    assert_eq!(read_all(&log, Partition(1), Position::START).await.len(), 2);
    let mut reader = reader(&log, Partition(1), Position::START).await;
    assert_eq!(next(&mut reader, 1).await.len(), 2, "a command is not split");
}

/// There is nothing outside the partitions of the log.
pub async fn knows_no_other_partitions(log: Log) {
    let other = Partition(2);
    let claimed = soon(log.claim(other)).await;
    assert!(matches!(claimed, Err(ClaimError::NoSuchPartition(it)) if it == other));
    let read = soon(log.read(other, Position::START)).await;
    assert!(matches!(read, Err(LogError::NoSuchPartition(it)) if it == other));
    assert!(matches!(soon(log.end(other)).await, Err(LogError::NoSuchPartition(_))));
    assert!(matches!(soon(log.snapshot(other, 0)).await, Err(LogError::NoSuchPartition(_))));
}
