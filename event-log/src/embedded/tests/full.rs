//! A disk without room: batches are refused, nothing is lost, and it goes on when there is room.

use std::path::Path;
use std::process::Command;

use super::{batch_after, open_on, read_all, runtime};
use crate::conformance::PARTITION;
use crate::embedded::files::Files;
use crate::embedded::files::simulated::Simulated;
use crate::embedded::{EmbeddedLog, Settings};
use crate::port::{AppendError, EventLog, LogError, Position, Snapshot, SnapshotChunk, Writer};
use crate::record::Record;

const SEGMENT_BYTES: u64 = 32 * 1024;

/// Appends until the log refuses for want of room several times in a row, and says how often it
/// refused at all: what is packed meanwhile makes some room again.
async fn fill(writer: &mut Box<dyn Writer>, records: &mut Vec<Record>) -> u32 {
    let (mut refused, mut in_a_row) = (0, 0);
    while in_a_row < 5 {
        let batch = batch_after(records, 5, 300);
        match writer.append(batch.clone()).await {
            Ok(_) => {
                records.extend(batch);
                in_a_row = 0;
            }
            Err(AppendError::Refused(LogError::Full)) => {
                refused += 1;
                in_a_row += 1;
            }
            Err(other) => panic!("{other}"),
        }
        assert!(records.len() < 100_000, "the disk never fills");
    }
    refused
}

#[test]
fn a_full_disk_refuses_and_takes_again_when_there_is_room() {
    let files = Simulated::new(1);
    runtime().block_on(async {
        let log = open_on(&files, SEGMENT_BYTES).unwrap();
        let mut writer = log.claim(PARTITION).await.unwrap();
        let mut records = Vec::new();
        for round in 0..10 {
            files.leave_room(10_000);
            let refused = fill(&mut writer, &mut records).await;
            assert_eq!(log.end(PARTITION).await.unwrap().0, records.len() as u64);
            assert_eq!(read_all(&log).await.unwrap(), records, "round {round}, {refused} refused");
            let chunk = SnapshotChunk { key: "a".to_owned(), bytes: Some(vec![0; 500_000].into()) };
            let upto = Position(records.len() as u64);
            let changed = Snapshot { upto, fold: 1, chunks: vec![chunk] };
            let full = writer.save_snapshot(changed).await;
            assert!(matches!(full, Err(AppendError::Refused(LogError::Full))), "{full:?}");
            files.leave_room(200_000);
            // The same writer goes on: nothing was lost, so nothing needs to be replayed.
            let batch = batch_after(&records, 5, 300);
            records.extend(batch.iter().cloned());
            writer.append(batch).await.unwrap();
        }
        drop(log);
        let log = open_on(&files.after_crash(), SEGMENT_BYTES).unwrap();
        assert_eq!(read_all(&log).await.unwrap(), records);
    });
}

/// A frame larger than a segment makes its file longer, so here the write itself has no room,
/// and a part of the frame lands in the file.
#[test]
fn a_batch_that_fits_in_part_is_not_there_at_all() {
    for seed in 1..=20 {
        let files = Simulated::new(seed);
        runtime().block_on(async {
            let log = open_on(&files, SEGMENT_BYTES).unwrap();
            let mut writer = log.claim(PARTITION).await.unwrap();
            let batch = batch_after(&[], 40, 2000);
            // The next segment, which is made ready meanwhile, must not take the room.
            while Files::open(&files, "/log/0/0000000000000001.segment".as_ref()).is_err() {
                tokio::task::yield_now().await;
            }
            files.leave_room(usize::try_from(seed).unwrap() * 2_500);
            let full = writer.append(batch).await;
            assert!(matches!(full, Err(AppendError::Refused(LogError::Full))), "{full:?}");
        });
        let log = open_on(&files.after_crash(), SEGMENT_BYTES).unwrap();
        assert_eq!(runtime().block_on(log.end(PARTITION)).unwrap(), Position::START);
    }
}

/// A small file system of its own, unmounted when dropped.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// Nothing where the test may not mount.
    fn mount(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={bytes}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path());
        let mounted = mount.output().is_ok_and(|it| it.status.success());
        mounted.then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|it| it.success()) || std::thread::panicking());
    }
}

#[test]
fn a_real_full_disk_refuses_and_takes_again_when_there_is_room() {
    let Some(disk) = Tmpfs::mount(1024 * 1024) else {
        println!("skipped: this user may not mount a file system");
        return;
    };
    let settings = Settings { partitions: 1, segment_bytes_max: SEGMENT_BYTES };
    let ballasts = [1, 2, 3].map(|it| disk.path().join(format!("ballast {it}")));
    for ballast in &ballasts {
        std::fs::write(ballast, vec![1; 150_000]).unwrap();
    }
    let log = EmbeddedLog::open(disk.path().join("log"), settings).unwrap();
    let mut records = Vec::new();
    let mut refused = 0;
    runtime().block_on(async {
        let mut writer = log.claim(PARTITION).await.unwrap();
        for ballast in &ballasts {
            refused += fill(&mut writer, &mut records).await;
            assert_eq!(read_all(&log).await.unwrap(), records);
            std::fs::remove_file(ballast).unwrap();
            let batch = batch_after(&records, 5, 300);
            records.extend(batch.iter().cloned());
            writer.append(batch).await.unwrap();
        }
    });
    println!("{} records, {refused} batches refused", records.len());
    drop(log);
    let log = EmbeddedLog::open(disk.path().join("log"), settings).unwrap();
    assert_eq!(runtime().block_on(read_all(&log)).unwrap(), records);
    drop(log);
}
