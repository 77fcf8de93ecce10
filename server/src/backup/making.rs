//! Makes a backup.

use std::fs::DirBuilder;
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context as _, Result};
use event_log::chain::Chains;
use event_log::{EventLog, Partition, Position};
use vault::{Contents, Row};

use super::entries::{self, Writer};
use super::manifest::{FORMAT, Manifest};
use crate::config::Config;
use crate::stores::{LOG, OpenVault, RESTORE, open_log};

/// How many records are read at a time.
const RECORDS_MAX: usize = 4_096;

/// Copies the log and the vault that the settings name into `to`, which is not there yet.
///
/// # Errors
///
/// If something cannot be read or written, or the log's chains are broken. Then what is in the
/// folder is no backup.
pub(crate) async fn make(config: &Config, to: &Path) -> Result<Manifest> {
    let folder = config.storage.existing()?;
    let log = open_log(config, &folder, config.log.partitions).await?;
    // What was copied with the keys of others could be opened by nobody.
    let vault = OpenVault::of(config, &folder).await?;
    vault.belongs_to(log.as_ref()).await?;
    DirBuilder::new()
        .mode(0o700)
        .create(to)
        .with_context(|| format!("could not make the folder `{}`", to.display()))?;
    let at = chrono::Utc::now();
    let ends = ends(log.as_ref()).await?;
    let rows = copy_vault(vault.contents(), to).await?;
    let mut records = Vec::with_capacity(ends.len());
    for (partition, end) in (0..).map(Partition).zip(ends) {
        records.push(copy_partition(log.as_ref(), partition, end, to).await?);
    }
    let incarnation = log.incarnation().to_owned();
    let manifest = Manifest { format: FORMAT, at, incarnation, records, rows };
    entries::sync_folder(to)?;
    manifest.write(to)?;
    Ok(manifest)
}

/// Where each partition is copied up to. That of the directory is looked up last.
async fn ends(log: &dyn EventLog) -> Result<Vec<Position>> {
    let mut ends = vec![Position::START; log.partitions() as usize];
    for partition in (0..log.partitions()).rev() {
        ends[partition as usize] = log.end(Partition(partition)).await?;
    }
    Ok(ends)
}

async fn copy_vault(vault: &dyn Contents, to: &Path) -> Result<u64> {
    let mut writer = Writer::create(to.join(super::restoring::VAULT))?;
    let mut last = None;
    loop {
        let rows = vault.rows_after(last.as_ref()).await?;
        for row in &rows {
            // What is restored has another log.
            if matches!(row, Row::Cursor { name, .. } if name == RESTORE || name == LOG) {
                continue;
            }
            let (head, content) = super::restoring::split(row)?;
            writer.push(&head, content)?;
        }
        match rows.into_iter().next_back() {
            Some(row) => last = Some(row),
            None => break,
        }
    }
    let mut pushed = Ok(());
    let push = &mut |records: Vec<Row>| {
        pushed = records.iter().try_for_each(|it| {
            let (head, content) = super::restoring::split(it)?;
            writer.push(&head, content)
        });
        if pushed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    vault.each_record(push).await?;
    pushed?;
    writer.finish()
}

async fn copy_partition(
    log: &dyn EventLog,
    partition: Partition,
    end: Position,
    to: &Path,
) -> Result<u64> {
    let mut writer = Writer::create(to.join(super::restoring::events(partition)))?;
    let (mut next, mut chains) = (Position::START, Chains::default());
    let mut reader = log.read(partition, next).await?;
    while next < end {
        for recorded in reader.next(RECORDS_MAX).await? {
            if recorded.position >= end {
                break;
            }
            next = recorded.position.next();
            let record = recorded.record;
            let place = || format!("partition {partition}, position {}", recorded.position);
            chains.follow(&record).with_context(place)?;
            let mut head = record.link().0.to_vec();
            head.extend_from_slice(record.traceparent().unwrap_or_default().as_bytes());
            writer.push(&head, Some(record.canonical()))?;
        }
    }
    writer.finish()
}
