#![expect(clippy::print_stdout, reason = "fault tests say how much they tried")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::Files;
use super::files::simulated::Simulated;
use super::{EmbeddedLog, Settings};
use crate::chain::Link;
use crate::conformance::{PARTITION, TENANT, seal};
use crate::port::{Batch, EventLog, LogError, Position};
use crate::record::Record;

mod damage;
mod faults;
mod full;
mod power;
mod reopening;
mod staging;

/// Small enough for a test to fill several segments.
const SMALL: Settings = Settings { partitions: 2, segment_bytes_max: 64 * 1024 };

crate::conformance_tests!({
    let folder = tempfile::tempdir().unwrap();
    (Arc::new(EmbeddedLog::open(folder.path(), SMALL).unwrap()), folder)
});

/// Opens a log of one partition on simulated files.
fn open_on(files: &Simulated, segment_bytes_max: u64) -> Result<EmbeddedLog, LogError> {
    let files: Arc<dyn Files> = Arc::new(files.clone());
    EmbeddedLog::open_on(&files, Path::new("/log"), Settings { partitions: 1, segment_bytes_max })
}

/// The oldest file of the partition with this extension, if there is one.
fn oldest_file(files: &Simulated, extension: &str) -> Option<PathBuf> {
    let folder = Path::new("/log/0");
    let mut names = files.list(folder).unwrap();
    names.sort();
    names.iter().find(|it| it.ends_with(extension)).map(|it| folder.join(it))
}

/// Every record up to the end.
async fn read_all(log: &dyn EventLog) -> Result<Vec<Record>, LogError> {
    let end = log.end(PARTITION).await?;
    let mut reader = log.read(PARTITION, Position::START).await?;
    let mut all = Vec::new();
    let mut reached = Position::START;
    while reached < end {
        let found = reader.next(100).await?;
        reached = found.last().unwrap().position.next();
        all.extend(found.into_iter().map(|it| it.record));
    }
    Ok(all)
}

/// One command of `count` records that goes on after `records` in its tenant's chain.
fn batch_after(records: &[Record], count: u64, value_bytes: usize) -> Batch {
    let mut link = records.last().map_or(Link::GENESIS, Record::link);
    let first = records.len() as u64 + 1;
    (0..count)
        .map(|index| {
            let sequence = (first + index).to_string();
            let batchpos = format!("{}/{count}", index + 1);
            let record = seal(TENANT, &sequence, &batchpos, &vec![b'v'; value_bytes], link);
            link = record.link();
            record
        })
        .collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}
