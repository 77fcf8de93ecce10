//! What a log still knows after it was closed.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::{SMALL, read_all};
use crate::conformance::{PARTITION, command};
use crate::embedded::EmbeddedLog;
use crate::port::{EventLog, LogError, Position, Snapshot, SnapshotChunk};

fn open(folder: &Path) -> EmbeddedLog {
    EmbeddedLog::open(folder, SMALL).unwrap()
}

#[tokio::test]
async fn everything_is_there_after_many_reopenings() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    let mut incarnation = None;
    for round in 0..12_u64 {
        let log = open(folder.path());
        assert_eq!(log.torn_tails(), []);
        assert_eq!(log.incarnation(), incarnation.get_or_insert(log.incarnation().to_owned()));
        assert_eq!(read_all(&log).await.unwrap(), expected, "round {round}");
        let mut writer = log.claim(PARTITION).await.unwrap();
        for number in 0..40 {
            let batch = command(number, 5);
            writer.append(batch.clone()).await.unwrap();
            expected.extend(batch);
        }
    }
    let names = std::fs::read_dir(folder.path().join("0")).unwrap();
    let names: Vec<_> = names.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|it| it.ends_with(".archive")), "{names:?}");
}

#[tokio::test]
async fn a_second_handle_is_told_that_the_folder_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let second = EmbeddedLog::open(folder.path(), SMALL);
    assert!(matches!(second, Err(LogError::InUse(_))), "{second:?}");
    drop(log);
    open(folder.path());
}

#[tokio::test]
async fn readers_and_writers_of_a_closed_log_are_sent_home() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(open(folder.path()));
    let mut writer = log.claim(PARTITION).await.unwrap();
    let mut reader = log.read(PARTITION, Position::START).await.unwrap();
    let reading = tokio::spawn(async move { reader.next(1).await });
    tokio::task::yield_now().await;
    drop(log);
    assert!(matches!(reading.await.unwrap(), Err(LogError::Closed)));
    assert!(writer.append(command(1, 1)).await.is_err());
}

#[tokio::test]
async fn snapshots_are_there_after_reopening_and_nothing_depends_on_them() {
    let folder = tempfile::tempdir().unwrap();
    let chunk = |key: u64, value: u64| SnapshotChunk {
        key: key.to_string(),
        bytes: Some(Bytes::from(value.to_string())),
    };
    for round in 0..30_u64 {
        let log = open(folder.path());
        let expected = (round > 0).then(|| {
            let mut chunks: Vec<_> = (0..round).map(|it| chunk(it % 7, it)).rev().collect();
            chunks.sort_by(|one, other| one.key.cmp(&other.key));
            chunks.dedup_by(|one, other| one.key == other.key);
            Snapshot { upto: Position(round), fold: 1, chunks }
        });
        assert_eq!(log.snapshot(PARTITION, 0).await.unwrap(), expected);
        let mut writer = log.claim(PARTITION).await.unwrap();
        writer.append(command(round, 1)).await.unwrap();
        let chunks = vec![chunk(round % 7, round)];
        let changed = Snapshot { upto: Position(round + 1), fold: 1, chunks };
        writer.save_snapshot(changed).await.unwrap();
    }
    let before = read_all(&open(folder.path())).await.unwrap();
    for entry in std::fs::read_dir(folder.path().join("0")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "snapshot") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let log = open(folder.path());
    assert_eq!(log.snapshot(PARTITION, 0).await.unwrap(), None);
    assert_eq!(read_all(&log).await.unwrap(), before);
}
