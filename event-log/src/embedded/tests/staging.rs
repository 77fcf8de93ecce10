//! Large snapshots: the disk never has much of them to take at once, and nobody waits for them.

use bytes::Bytes;

use super::{batch_after, open_on, runtime};
use crate::conformance::PARTITION;
use crate::embedded::files::Files;
use crate::embedded::files::simulated::{Omit, Simulated};
use crate::port::{AppendError, EventLog, Position, SNAPSHOT_SLICE_BYTES_MAX, SnapshotChunk};

const SEGMENT_BYTES: u64 = 256 * 1024;

/// What goes with a chunk in its file, and what a sector may add. In bytes.
const FRAMING_BYTES_MAX: usize = 4 * 1024;

/// A slice as large as there may be.
fn slice(number: usize) -> Vec<SnapshotChunk> {
    let chunk = |it: usize| {
        let key = format!("{number:03}/{it}");
        let bytes = vec![b'x'; SNAPSHOT_SLICE_BYTES_MAX / 4 - key.len()];
        SnapshotChunk { key, bytes: Some(Bytes::from(bytes)) }
    };
    (0..4).map(chunk).collect()
}

/// Saves and merges snapshots of many slices, and says how much of a file was ever written and not
/// synced.
fn unsynced_max(omit: Omit) -> usize {
    const SNAPSHOTS: usize = 12;
    const SLICES: usize = 3;
    let files = Simulated::new(1);
    files.omit(omit);
    runtime().block_on(async {
        let log = open_on(&files, SEGMENT_BYTES).unwrap();
        let mut writer = log.claim(PARTITION).await.unwrap();
        for number in 0..SNAPSHOTS {
            let mut snapshot = writer.begin_snapshot(Position::START, 1);
            for it in 0..SLICES {
                snapshot.stage(slice(number * SLICES + it)).await.unwrap();
            }
            snapshot.finish().await.unwrap();
        }
        let found = log.snapshot(PARTITION, 0).await.unwrap().unwrap();
        assert_eq!(found.chunks.len(), SNAPSHOTS * SLICES * 4);
    });
    let names = files.list("/log/0".as_ref()).unwrap();
    let files_left = names.iter().filter(|it| it.ends_with(".snapshot")).count();
    assert!(files_left < SNAPSHOTS, "they were merged too");
    files.unsynced_max_of("temporary")
}

#[test]
fn a_large_snapshot_is_synced_slice_by_slice() {
    let most = unsynced_max(Omit::Nothing);
    assert!(most <= SNAPSHOT_SLICE_BYTES_MAX + FRAMING_BYTES_MAX, "{most} bytes at once");
    let noticed = unsynced_max(Omit::SyncsOf("temporary"));
    assert!(noticed > 3 * SNAPSHOT_SLICE_BYTES_MAX, "the check would notice");
}

#[test]
fn appends_do_not_wait_for_a_snapshot_that_the_disk_does_not_take() {
    let files = Simulated::new(1);
    runtime().block_on(async {
        let log = open_on(&files, SEGMENT_BYTES).unwrap();
        let mut writer = log.claim(PARTITION).await.unwrap();
        writer.append(batch_after(&[], 1, 10)).await.unwrap();
        files.hold_syncs_of("temporary");
        let mut snapshot = writer.begin_snapshot(Position(1), 1);
        let saving = tokio::spawn(async move {
            snapshot.stage(slice(0)).await?;
            snapshot.finish().await
        });
        while !files.list("/log/0".as_ref()).unwrap().iter().any(|it| it.contains("snapshot")) {
            tokio::task::yield_now().await;
        }
        for _ in 0..50 {
            writer.append(batch_after(&[], 1, 10)).await.unwrap();
        }
        assert!(!saving.is_finished());
        assert_eq!(log.snapshot(PARTITION, 0).await.unwrap(), None);
        files.release_syncs();
        saving.await.unwrap().unwrap();
        assert_eq!(log.snapshot(PARTITION, 0).await.unwrap().unwrap().upto, Position(1));
    });
}

/// What is left of a snapshot that was not finished: no file, whoever stopped it.
#[test]
fn a_snapshot_that_is_given_up_takes_no_room() {
    let files = Simulated::new(1);
    let left = || {
        let names = files.list("/log/0".as_ref()).unwrap();
        names.iter().filter(|it| it.contains("snapshot")).count()
    };
    runtime().block_on(async {
        let log = open_on(&files, SEGMENT_BYTES).unwrap();
        let mut writer = log.claim(PARTITION).await.unwrap();
        let mut dropped = writer.begin_snapshot(Position::START, 1);
        dropped.stage(slice(0)).await.unwrap();
        assert_eq!(left(), 1);
        drop(dropped);
        assert_eq!(left(), 0);

        let mut voided = writer.begin_snapshot(Position::START, 1);
        voided.stage(slice(0)).await.unwrap();
        writer.begin_snapshot(Position::START, 1);
        let voided = voided.stage(slice(1)).await;
        assert!(matches!(voided, Err(AppendError::Fenced)), "{voided:?}");
        assert_eq!(left(), 0);

        // One whose log is closed under it leaves a file that the next one removes.
        let mut left_behind = writer.begin_snapshot(Position::START, 1);
        left_behind.stage(slice(0)).await.unwrap();
        drop(log);
        let refused = left_behind.finish().await;
        assert!(matches!(refused, Err(AppendError::Fenced)), "{refused:?}");
        assert_eq!(left(), 0);
        let mut of_the_dead = writer.begin_snapshot(Position::START, 1);
        assert!(of_the_dead.stage(slice(0)).await.is_err());
        let log = open_on(&files, SEGMENT_BYTES).unwrap();
        assert_eq!(log.snapshot(PARTITION, 0).await.unwrap(), None);
    });
}
