//! Syncs that fail, are counted, or have not happened yet; snapshots that cannot be read.

use std::time::Duration;

use bytes::Bytes;

use super::{batch_after, open_on, read_all, runtime};
use crate::conformance::PARTITION;
use crate::embedded::files::Files;
use crate::embedded::files::simulated::{Random, Simulated};
use crate::port::{AppendError, EventLog, LogError, Position, Snapshot, SnapshotChunk};

const SEGMENT_BYTES: u64 = 256 * 1024;

#[test]
fn one_append_is_one_sync() {
    const APPENDS: u64 = 100;
    let files = Simulated::new(1);
    runtime().block_on(async {
        let log = open_on(&files, SEGMENT_BYTES).unwrap();
        let mut writer = log.claim(PARTITION).await.unwrap();
        for _ in 0..APPENDS {
            writer.append(batch_after(&[], 100, 10)).await.unwrap();
        }
    });
    assert_eq!(files.syncs_of("segment"), APPENDS);
}

#[test]
fn nobody_sees_a_batch_before_it_is_synced() {
    let files = Simulated::new(1);
    runtime().block_on(async {
        let log = open_on(&files, SEGMENT_BYTES).unwrap();
        let mut writer = log.claim(PARTITION).await.unwrap();
        let mut reader = log.read(PARTITION, Position::START).await.unwrap();
        let batch = batch_after(&[], 3, 10);
        files.hold_syncs();
        let append = tokio::spawn({
            let batch = batch.clone();
            async move { writer.append(batch).await }
        });
        let segment = "/log/0/0000000000000000.segment".as_ref();
        while files.content(segment)[..4] != crate::embedded::frame::MAGIC {
            tokio::task::yield_now().await;
        }
        // It is written now, and everybody could read the file.
        assert_eq!(log.end(PARTITION).await.unwrap(), Position::START);
        let early = tokio::time::timeout(Duration::from_millis(20), reader.next(10)).await;
        assert!(early.is_err(), "{early:?}");
        assert!(!append.is_finished());
        files.release_syncs();
        assert_eq!(reader.next(10).await.unwrap().len(), 3);
        assert_eq!(append.await.unwrap().unwrap().len(), 3);
        assert_eq!(read_all(&log).await.unwrap(), batch);
    });
}

/// Ten logs in which the third append cannot be synced: whatever the disk did with it, the
/// writer is fenced, the next claim settles it elsewhere, and then it survives a power cut.
#[test]
fn a_batch_whose_sync_failed_is_settled_by_the_next_claim() {
    for seed in 1..=10 {
        let files = Simulated::new(seed);
        let mut records = Vec::new();
        runtime().block_on(async {
            let log = open_on(&files, SEGMENT_BYTES).unwrap();
            let mut writer = log.claim(PARTITION).await.unwrap();
            for number in 0..3 {
                let batch = batch_after(&records, 8, 200);
                records.extend(batch.iter().cloned());
                if number == 2 {
                    files.fail_sync_of("segment", 0);
                    let failed = writer.append(batch).await;
                    assert!(matches!(failed, Err(AppendError::Unknown(_))), "{failed:?}");
                } else {
                    writer.append(batch).await.unwrap();
                }
            }
            assert_eq!(log.end(PARTITION).await.unwrap(), Position(16), "nothing is shown");
            let fenced = writer.append(batch_after(&records, 1, 1)).await;
            assert!(matches!(fenced, Err(AppendError::Fenced)), "{fenced:?}");
            let mut writer = log.claim(PARTITION).await.unwrap();
            assert_eq!(read_all(&log).await.unwrap(), records);
            let batch = batch_after(&records, 2, 10);
            records.extend(batch.iter().cloned());
            writer.append(batch).await.unwrap();
        });
        let log = open_on(&files.after_crash(), SEGMENT_BYTES).unwrap();
        assert_eq!(runtime().block_on(read_all(&log)).unwrap(), records);
    }
}

/// The control for the test above: on this disk, syncing the same pages again seems to help and
/// does not.
#[test]
fn a_second_sync_of_the_same_pages_saves_nothing() {
    let lost = (1..=20).filter(|seed| {
        let files = Simulated::new(*seed);
        let path = "/file".as_ref();
        let file = files.create(path).unwrap();
        files.sync_folder("/".as_ref()).unwrap();
        let bytes = [7; 4096];
        file.write_at(0, &bytes).unwrap();
        files.fail_sync_of("", 0);
        file.sync().unwrap_err();
        file.sync().unwrap();
        assert_eq!(files.content(path), bytes);
        files.after_crash().content(path) != bytes
    });
    assert!(lost.count() > 10);
}

#[test]
fn a_snapshot_that_cannot_be_read_gives_way_to_an_older_one() {
    const ROUNDS: u64 = 200;
    let mut random = Random(5);
    let (mut none, mut older) = (0, 0);
    let files = Simulated::new(1);
    let mut saved = vec![None];
    runtime().block_on(async {
        let log = open_on(&files, SEGMENT_BYTES).unwrap();
        let mut writer = log.claim(PARTITION).await.unwrap();
        for number in 0..5_u64 {
            writer.append(batch_after(&[], 1, 10)).await.unwrap();
            let chunk = |key: &str| SnapshotChunk {
                key: key.to_owned(),
                bytes: Some(Bytes::from(number.to_string())),
            };
            let chunks = vec![chunk("all"), chunk(&number.to_string())];
            let upto = Position(number + 1);
            writer.save_snapshot(Snapshot { upto, fold: 1, chunks }).await.unwrap();
            saved.push(log.snapshot(PARTITION, 0).await.unwrap());
        }
    });
    let files = files.after_crash();
    for _ in 0..ROUNDS {
        let files = files.copy();
        let names = files.list("/log/0".as_ref()).unwrap();
        let names: Vec<_> = names.iter().filter(|it| it.ends_with(".snapshot")).collect();
        let name = names[usize::try_from(random.below(names.len() as u64)).unwrap()];
        let path = std::path::Path::new("/log/0").join(name);
        let bit = random.below(files.content(&path).len() as u64 * 8);
        let bit = usize::try_from(bit).unwrap();
        files.tamper(&path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        runtime().block_on(async {
            let log = open_on(&files, SEGMENT_BYTES).unwrap();
            let found = log.snapshot(PARTITION, 0).await.unwrap();
            assert!(saved[..5].contains(&found), "{found:?}");
            *(if found.is_none() { &mut none } else { &mut older }) += 1;
            // What is saved next builds on what was found.
            let mut writer = log.claim(PARTITION).await.unwrap();
            let chunks = vec![SnapshotChunk { key: "new".to_owned(), bytes: Some(Bytes::new()) }];
            let changed = Snapshot { upto: Position(5), fold: 1, chunks };
            writer.save_snapshot(changed.clone()).await.unwrap();
            let mut expected = found.unwrap_or(changed.clone());
            expected.upto = changed.upto;
            expected.chunks.retain(|it| it.key != "new");
            expected.chunks.extend(changed.chunks);
            drop(log);
            let log = open_on(&files, SEGMENT_BYTES).unwrap();
            assert_eq!(log.snapshot(PARTITION, 0).await.unwrap(), Some(expected));
        });
    }
    println!("{ROUNDS} flips: {older} times an older snapshot, {none} times none");
    assert!(none > 0 && older > 0);
}

#[test]
fn a_claim_that_cannot_settle_says_so_and_can_be_repeated() {
    let files = Simulated::new(1);
    runtime().block_on(async {
        let log = open_on(&files, SEGMENT_BYTES).unwrap();
        let mut writer = log.claim(PARTITION).await.unwrap();
        let batch = batch_after(&[], 4, 100);
        for _ in 0..3 {
            files.fail_sync_of("segment", 0);
            if let Ok(positions) = writer.append(batch.clone()).await {
                panic!("the sync fails, but {positions:?} were answered");
            }
            files.fail_sync_of("segment", 0);
            let refused = log.claim(PARTITION).await;
            assert!(
                matches!(&refused, Err(crate::port::ClaimError::Log(LogError::Storage { .. }))),
                "{refused:?}"
            );
            writer = log.claim(PARTITION).await.unwrap();
        }
        let expected: Vec<_> = (0..3).flat_map(|_| batch.clone()).collect();
        assert_eq!(read_all(&log).await.unwrap(), expected);
    });
}
