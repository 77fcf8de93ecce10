//! Clauses about snapshots.

use bytes::Bytes;

use super::{Log, PARTITION, Partition, append, claim, command, read_all, soon};
use crate::port::{
    AppendError, LogError, Position, SERIES_BITS, SNAPSHOT_CHUNK_BYTES_MAX,
    SNAPSHOT_SLICE_BYTES_MAX, Snapshot, SnapshotChunk, Writer,
};

fn changes(upto: u64, fold: u32, chunks: &[(&str, Option<&str>)]) -> Snapshot {
    let chunks = chunks.iter().map(|(key, text)| SnapshotChunk {
        key: (*key).to_owned(),
        bytes: text.map(|it| Bytes::copy_from_slice(it.as_bytes())),
    });
    Snapshot { upto: Position(upto), fold, chunks: chunks.collect() }
}

async fn save(writer: &mut Box<dyn Writer>, changed: Snapshot) {
    soon(writer.save_snapshot(changed)).await.expect("the snapshot is saved");
}

/// The newest snapshot with its pieces in the order of their keys.
async fn newest(log: &Log, partition: Partition) -> Option<Snapshot> {
    newest_of(log, partition, 0).await
}

async fn newest_of(log: &Log, partition: Partition, version: u32) -> Option<Snapshot> {
    let mut found = soon(log.snapshot(partition, version)).await.expect("the log can be read")?;
    found.chunks.sort_by(|one, other| one.key.cmp(&other.key));
    Some(found)
}

/// A partition without snapshots says so.
pub async fn has_no_snapshot_at_first(log: Log) {
    let mut writer = claim(&log, PARTITION).await;
    append(&mut writer, command(1, 3)).await;
    assert_eq!(newest(&log, PARTITION).await, None);
}

/// Newer pieces replace older ones, pieces without bytes remove theirs, others stay; for long.
pub async fn merges_snapshots(log: Log) {
    let mut writer = claim(&log, PARTITION).await;
    append(&mut writer, command(1, 5)).await;
    save(&mut writer, changes(1, 1, &[("a", Some("1")), ("b", Some("1")), ("c", Some(""))])).await;
    save(&mut writer, changes(3, 1, &[("b", Some("2")), ("d", Some("2")), ("none", None)])).await;
    save(&mut writer, changes(4, 1, &[("a", None)])).await;
    let expected = changes(4, 1, &[("b", Some("2")), ("c", Some("")), ("d", Some("2"))]);
    assert_eq!(newest(&log, PARTITION).await, Some(expected));
    for number in 0..40 {
        let text = number.to_string();
        save(&mut writer, changes(5, 1, &[("b", Some(&text)), (&text, Some("x"))])).await;
    }
    let found = newest(&log, PARTITION).await.expect("there is a snapshot");
    assert_eq!(found.chunks.len(), 43);
    let changed = found.chunks.iter().find(|it| it.key == "b").expect("the key is there");
    assert_eq!(changed.bytes.as_deref(), Some("39".as_bytes()));
    save(&mut writer, changes(5, 1, &[])).await;
    assert_eq!(newest(&log, PARTITION).await, Some(found), "no change is a snapshot too");
}

fn slice(chunks: &[(&str, Option<&str>)]) -> Vec<SnapshotChunk> {
    changes(0, 1, chunks).chunks
}

/// What is staged counts for nothing until it is finished, and for nothing if it never is.
pub async fn shows_a_snapshot_once_it_is_finished(log: Log) {
    let mut writer = claim(&log, PARTITION).await;
    append(&mut writer, command(1, 5)).await;
    let older = changes(1, 1, &[("a", Some("1")), ("b", Some("1"))]);
    let mut snapshot = writer.begin_snapshot(Position(1), 1);
    soon(snapshot.stage(slice(&[("a", Some("0"))]))).await.expect("a slice is taken");
    soon(snapshot.stage(slice(&[("a", Some("1"))]))).await.expect("a slice is taken");
    soon(snapshot.stage(slice(&[("b", Some("1"))]))).await.expect("a slice is taken");
    assert_eq!(newest(&log, PARTITION).await, None);
    soon(snapshot.finish()).await.expect("the snapshot is finished");
    assert_eq!(newest(&log, PARTITION).await, Some(older.clone()));

    let mut given_up = writer.begin_snapshot(Position(2), 1);
    soon(given_up.stage(slice(&[("a", Some("2")), ("c", Some("2"))]))).await.expect("it is taken");
    assert_eq!(newest(&log, PARTITION).await, Some(older.clone()));
    drop(given_up);
    assert_eq!(newest(&log, PARTITION).await, Some(older));
    save(&mut writer, changes(3, 1, &[("b", Some("3")), ("d", Some("3")), ("d", None)])).await;
    let newer = changes(3, 1, &[("a", Some("1")), ("b", Some("3"))]);
    assert_eq!(newest(&log, PARTITION).await, Some(newer));
}

/// The writer goes on while its snapshot is written, which stays that of its position.
pub async fn appends_beside_a_snapshot(log: Log) {
    let mut writer = claim(&log, PARTITION).await;
    append(&mut writer, command(1, 2)).await;
    let mut snapshot = writer.begin_snapshot(Position(2), 1);
    for number in 0..20 {
        append(&mut writer, command(3 + 2 * number, 2)).await;
        let key = number.to_string();
        soon(snapshot.stage(slice(&[(&key, Some("x"))]))).await.expect("a slice is taken");
    }
    append(&mut writer, command(43, 2)).await;
    soon(snapshot.finish()).await.expect("the snapshot is finished");
    append(&mut writer, command(45, 2)).await;
    let found = newest(&log, PARTITION).await.expect("there is a snapshot");
    assert_eq!((found.upto, found.chunks.len()), (Position(2), 20));
    assert_eq!(read_all(&log, PARTITION, Position::START).await.len(), 46);
}

/// Of two snapshots that were begun the later one counts.
pub async fn lets_one_snapshot_take_the_place_of_another(log: Log) {
    let mut writer = claim(&log, PARTITION).await;
    append(&mut writer, command(1, 2)).await;
    let mut earlier = writer.begin_snapshot(Position(1), 1);
    soon(earlier.stage(slice(&[("a", Some("1"))]))).await.expect("a slice is taken");
    let mut later = writer.begin_snapshot(Position(2), 1);
    let voided = soon(earlier.stage(slice(&[("b", Some("1"))]))).await;
    assert!(matches!(voided, Err(AppendError::Fenced)), "{voided:?}");
    soon(later.stage(slice(&[("c", Some("2"))]))).await.expect("a slice is taken");
    soon(later.finish()).await.expect("the snapshot is finished");
    let voided = soon(earlier.finish()).await;
    assert!(matches!(voided, Err(AppendError::Fenced)), "{voided:?}");
    assert_eq!(newest(&log, PARTITION).await, Some(changes(2, 1, &[("c", Some("2"))])));
}

/// A snapshot is handed out as it is; the first of another series replaces it.
pub async fn starts_anew_with_another_series(log: Log) {
    let mut writer = claim(&log, PARTITION).await;
    append(&mut writer, command(1, 2)).await;
    let older = changes(1, 3, &[("a", Some("1"))]);
    save(&mut writer, older.clone()).await;
    let mut writer = claim(&log, PARTITION).await;
    assert_eq!(newest(&log, PARTITION).await, Some(older));
    let newer = changes(2, 4, &[("b", Some("1"))]);
    save(&mut writer, newer.clone()).await;
    assert_eq!(newest(&log, PARTITION).await, Some(newer));
}

/// The two versions of the fold that saved last keep their snapshots, whichever is the higher one,
/// and each builds on its own.
pub async fn keeps_snapshots_of_two_versions(log: Log) {
    let of = |version: u32, upto: u64, chunks: &[(&str, Option<&str>)]| {
        changes(upto, version << SERIES_BITS, chunks)
    };
    let mut writer = claim(&log, PARTITION).await;
    append(&mut writer, command(1, 5)).await;
    save(&mut writer, of(5, 1, &[("a", Some("5")), ("b", Some("5"))])).await;
    save(&mut writer, of(6, 2, &[("a", Some("6"))])).await;
    let five = of(5, 1, &[("a", Some("5")), ("b", Some("5"))]);
    assert_eq!(newest_of(&log, PARTITION, 5).await, Some(five));
    assert_eq!(newest_of(&log, PARTITION, 6).await, Some(of(6, 2, &[("a", Some("6"))])));
    assert_eq!(newest_of(&log, PARTITION, 7).await, None);

    // The older one is put back, by another process, and goes on with its own.
    let mut writer = claim(&log, PARTITION).await;
    for round in 0..12 {
        let text = round.to_string();
        save(&mut writer, of(5, 3, &[("a", Some(&text))])).await;
    }
    let five = of(5, 3, &[("a", Some("11")), ("b", Some("5"))]);
    assert_eq!(newest_of(&log, PARTITION, 5).await, Some(five.clone()));
    assert_eq!(newest_of(&log, PARTITION, 6).await, Some(of(6, 2, &[("a", Some("6"))])));

    save(&mut writer, of(7, 4, &[("c", Some("7"))])).await;
    assert_eq!(newest_of(&log, PARTITION, 6).await, None, "two others have saved since");
    assert_eq!(newest_of(&log, PARTITION, 5).await, Some(five));
    assert_eq!(newest_of(&log, PARTITION, 7).await, Some(of(7, 4, &[("c", Some("7"))])));
    save(&mut writer, of(6, 5, &[("d", Some("6"))])).await;
    let six = of(6, 5, &[("d", Some("6"))]);
    assert_eq!(newest_of(&log, PARTITION, 6).await, Some(six), "nothing of the former one is left");
    assert_eq!(newest_of(&log, PARTITION, 5).await, None);
}

/// Every partition has its own.
pub async fn keeps_snapshots_of_partitions_apart(log: Log) {
    let mut writer = claim(&log, Partition(1)).await;
    save(&mut writer, changes(0, 1, &[("a", Some("1"))])).await;
    assert_eq!(newest(&log, Partition(0)).await, None);
    assert_eq!(newest(&log, Partition(1)).await, Some(changes(0, 1, &[("a", Some("1"))])));
}

/// A writer that lost its partition cannot leave a wrong snapshot behind.
pub async fn fences_snapshots_of_the_earlier_writer(log: Log) {
    let mut earlier = claim(&log, PARTITION).await;
    append(&mut earlier, command(1, 2)).await;
    save(&mut earlier, changes(1, 1, &[("a", Some("1"))])).await;
    let mut begun = earlier.begin_snapshot(Position(2), 1);
    soon(begun.stage(slice(&[("a", Some("2"))]))).await.expect("a slice is taken");
    let mut later = claim(&log, PARTITION).await;
    let fenced = soon(begun.finish()).await;
    assert!(matches!(fenced, Err(AppendError::Fenced)), "{fenced:?}");
    let fenced = soon(earlier.save_snapshot(changes(2, 1, &[("a", Some("2"))]))).await;
    assert!(matches!(fenced, Err(AppendError::Fenced)), "{fenced:?}");
    assert_eq!(newest(&log, PARTITION).await, Some(changes(1, 1, &[("a", Some("1"))])));
    save(&mut later, changes(2, 1, &[("a", Some("3"))])).await;
    assert_eq!(newest(&log, PARTITION).await, Some(changes(2, 1, &[("a", Some("3"))])));
}

/// Pieces have a largest size and a snapshot cannot be of the future; the older one stands.
pub async fn refuses_a_snapshot_that_breaks_a_limit(log: Log) {
    let mut writer = claim(&log, PARTITION).await;
    let largest = "x".repeat(SNAPSHOT_CHUNK_BYTES_MAX - 1);
    let standing = changes(0, 1, &[("a", Some(&largest))]);
    save(&mut writer, standing.clone()).await;
    let larger = format!("{largest}x");
    let refused = soon(writer.save_snapshot(changes(0, 1, &[("a", Some(&larger))]))).await;
    assert!(matches!(refused, Err(AppendError::Refused(LogError::TooLarge(_)))), "{refused:?}");
    let half = "x".repeat(SNAPSHOT_SLICE_BYTES_MAX / 3);
    let slice = slice(&[("a", Some(&half)), ("b", Some(&half)), ("c", Some(&half)), ("d", None)]);
    let refused = soon(writer.begin_snapshot(Position(0), 1).stage(slice)).await;
    assert!(matches!(refused, Err(AppendError::Refused(LogError::TooLarge(_)))), "{refused:?}");
    let refused = soon(writer.save_snapshot(changes(1, 1, &[("a", Some("1"))]))).await;
    assert!(
        matches!(refused, Err(AppendError::Refused(LogError::BeyondEnd { .. }))),
        "{refused:?}"
    );
    assert_eq!(newest(&log, PARTITION).await, Some(standing));
}
