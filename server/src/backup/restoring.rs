//! Brings a backup back.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use commands::FOLD_VERSION;
use event_log::chain::Chains;
use event_log::{EventLog, Link, Partition, Position, Record, Writer, kafka};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vault::port::{InstallationKey, KeyName, Wrapped};
use vault::{Contents, Keyring, Keys as _, MemoryVault, Root, Row};

use super::entries::{Entry, Reader};
use super::manifest::Manifest;
use crate::config::{Config, LogKind};
use crate::folder::{Folder, Purpose};
use crate::stores::{OpenVault, open_log};

/// The file of the vault's rows.
pub(super) const VAULT: &str = "vault";

/// From how many records, or bytes, on a batch is appended. In bytes: 4 MiB.
const BATCH_RECORDS: usize = 4_096;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// From how many rows, or bytes, on some are stored. In bytes: 16 MiB.
const ROWS: usize = 1_000;
const ROWS_BYTES: usize = 16 * 1024 * 1024;

/// The file of a partition's records.
pub(super) fn events(partition: Partition) -> String {
    format!("events-{partition}")
}

/// A row of the vault without its bytes.
#[derive(Debug, Serialize, Deserialize)]
enum Head<'a> {
    Key {
        tenant: Uuid,
        purpose: Cow<'a, str>,
        id: Uuid,
    },
    Cursor {
        tenant: Uuid,
        name: Cow<'a, str>,
        value: Cow<'a, str>,
    },
    Blob {
        tenant: Uuid,
        hash: Cow<'a, [u8]>,
        length: i64,
    },
    Record {
        tenant: Uuid,
        kind: Cow<'a, str>,
        name: Cow<'a, [u8]>,
        version: i64,
        ends_at: Option<i64>,
    },
}

/// What is stored of a row: what it is, and its bytes.
pub(super) fn split(row: &Row) -> Result<(Vec<u8>, Option<&[u8]>)> {
    let (head, content) = match row {
        Row::Key { tenant, purpose, id, wrapped } => {
            (Head::Key { tenant: *tenant, purpose: purpose.into(), id: *id }, wrapped.as_deref())
        }
        Row::Cursor { tenant, name, value } => {
            (Head::Cursor { tenant: *tenant, name: name.into(), value: value.into() }, None)
        }
        Row::Blob { tenant, hash, length, sealed } => {
            let head = Head::Blob { tenant: *tenant, hash: hash.into(), length: *length };
            (head, Some(sealed.as_slice()))
        }
        Row::Record { tenant, kind, name, version, ends_at, sealed } => {
            let (kind, name) = (kind.into(), name.into());
            let (version, ends_at) = (*version, *ends_at);
            let head = Head::Record { tenant: *tenant, kind, name, version, ends_at };
            (head, Some(sealed.as_slice()))
        }
    };
    Ok((serde_json::to_vec(&head)?, content))
}

/// Restores the backup in `from` into what the settings name, which must be empty.
///
/// # Errors
///
/// If anything there is not empty, the root key is not the backup's, or a file is damaged. Once
/// it has begun to write, nothing is served from what it has written until it has ended well.
pub(crate) async fn restore(config: &Config, from: &Path) -> Result<Manifest> {
    let manifest = Manifest::read(from)?;
    let folder = new_folder(config)?;
    check_root_key(&folder, from).await?;
    if config.log.kind == LogKind::Kafka {
        let made = kafka::init(&config.log.kafka.cluster()?, manifest.partitions()).await;
        made.context("the topics cannot be made as the backup needs them")?;
    }
    let log = open_log(config, &folder, manifest.partitions()).await?;
    check_empty(log.as_ref(), manifest.partitions()).await?;
    let vault = OpenVault::of(config, &folder).await?;
    if !vault.contents().is_new().await? {
        bail!("the vault holds keys; restore into a new one");
    }
    vault.begin_restore().await?;
    let rows = take_vault_back(vault.contents(), from).await?;
    ensure!(rows == manifest.rows, "expected {} rows of the vault, found {rows}", manifest.rows);
    for (partition, expected) in (0..).map(Partition).zip(&manifest.records) {
        let records = take_partition_back(log.as_ref(), partition, from).await?;
        ensure!(
            records == *expected,
            "expected {expected} records of partition {partition}, found {records}"
        );
    }
    vault.belongs_to(log.as_ref()).await?;
    vault.end_restore().await?;
    Ok(manifest)
}

/// The data folder, with nothing in it but perhaps the root key.
fn new_folder(config: &Config) -> Result<Folder> {
    let folder = config.storage.open(Purpose::Serve)?;
    for place in [folder.log(), folder.vault(), folder.models(), folder.identities()] {
        if place.exists() {
            bail!("`{}` is there already; restore into a new data folder", place.display());
        }
    }
    Ok(folder)
}

/// Opens the keys of the installation that was copied, in memory.
async fn check_root_key(folder: &Folder, from: &Path) -> Result<()> {
    let path = folder.root_key();
    ensure!(
        path.exists(),
        "put the root key of the installation that was copied at `{}`; a backup does not hold it",
        path.display()
    );
    let root = Root::open_or_create(&path).context("the root key cannot be used")?;
    let mut reader = Reader::open(from.join(VAULT))?;
    let vault = Arc::new(MemoryVault::default());
    while let Some(entry) = reader.next()? {
        if let Row::Key { tenant, purpose, wrapped: Some(wrapped), .. } = joined(entry)?
            && tenant.is_nil()
        {
            let key = match purpose.as_str() {
                "master" => InstallationKey::Master,
                "issuer" => InstallationKey::Issuer,
                _ => continue,
            };
            vault.get_or_create(&[(KeyName::Installation(key), Wrapped(wrapped))]).await?;
        }
    }
    let opened = Keyring::open(vault, root).await;
    opened.with_context(|| format!("`{}` does not open the backup", path.display()))?;
    Ok(())
}

async fn check_empty(log: &dyn EventLog, partitions: u32) -> Result<()> {
    let found = log.partitions();
    ensure!(found == partitions, "expected a log of {partitions} partitions, found {found}");
    let mut has_snapshot = false;
    for partition in (0..partitions).map(Partition) {
        if log.end(partition).await? > Position::START {
            bail!("partition {partition} of the log holds records; restore into an empty one");
        }
        has_snapshot |= log.snapshot(partition, FOLD_VERSION).await?.is_some();
    }
    ensure!(
        !has_snapshot,
        "this log is empty, and was served before: its records were removed. Restore under another \
         `log.kafka.prefix`, or remove the topic of its snapshots too"
    );
    Ok(())
}

async fn take_vault_back(vault: &dyn Contents, from: &Path) -> Result<u64> {
    let mut reader = Reader::open(from.join(VAULT))?;
    let (mut rows, mut bytes, mut count) = (Vec::new(), 0, 0);
    while let Some(entry) = reader.next()? {
        bytes += entry.1.as_ref().map_or(0, Vec::len);
        rows.push(joined(entry)?);
        count += 1;
        if rows.len() >= ROWS || bytes >= ROWS_BYTES {
            vault.take_back(&rows).await?;
            rows.clear();
            bytes = 0;
        }
    }
    vault.take_back(&rows).await?;
    Ok(count)
}

async fn take_partition_back(log: &dyn EventLog, partition: Partition, from: &Path) -> Result<u64> {
    let mut reader = Reader::open(from.join(events(partition)))?;
    let mut writer = log.claim(partition).await?;
    let (mut batch, mut bytes, mut count) = (Vec::new(), 0, 0);
    let mut chains = Chains::default();
    while let Some(entry) = reader.next()? {
        count += 1;
        let damaged = || format!("record {count} in `{}` is damaged", events(partition));
        let record = record(entry).with_context(damaged)?;
        chains.follow(&record).with_context(damaged)?;
        bytes += record.canonical().len();
        let is_whole = record.ends_command();
        batch.push(record);
        if is_whole && (batch.len() >= BATCH_RECORDS || bytes >= BATCH_BYTES) {
            append(writer.as_mut(), std::mem::take(&mut batch)).await?;
            bytes = 0;
        }
    }
    append(writer.as_mut(), batch).await?;
    Ok(count)
}

async fn append(writer: &mut dyn Writer, batch: Vec<Record>) -> Result<()> {
    writer.append(batch).await.context("the log does not take the records")?;
    Ok(())
}

fn record((head, canonical): Entry) -> Result<Record> {
    let (link, trace) = head.split_at_checked(32).context("a record has no link")?;
    let link = Link(link.try_into().expect("it was split there"));
    let trace = std::str::from_utf8(trace)?;
    let canonical = canonical.context("a record has no content")?;
    let trace = Some(trace).filter(|it| !it.is_empty());
    Ok(Record::from_stored(canonical.into(), link, trace)?)
}

fn joined((head, content): Entry) -> Result<Row> {
    let head: Head<'_> = serde_json::from_slice(&head).context("a row of the vault is none")?;
    Ok(match head {
        Head::Key { tenant, purpose, id } => {
            Row::Key { tenant, purpose: purpose.into_owned(), id, wrapped: content }
        }
        Head::Cursor { tenant, name, value } => {
            Row::Cursor { tenant, name: name.into_owned(), value: value.into_owned() }
        }
        Head::Blob { tenant, hash, length } => {
            let sealed = content.context("a blob has no content")?;
            Row::Blob { tenant, hash: hash.into_owned(), length, sealed }
        }
        Head::Record { tenant, kind, name, version, ends_at } => {
            let sealed = content.context("a record of the vault has no content")?;
            let (kind, name) = (kind.into_owned(), name.into_owned());
            Row::Record { tenant, kind, name, version, ends_at, sealed }
        }
    })
}
