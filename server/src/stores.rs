//! Where an installation keeps what must not be lost: its log and its vault, opened as the
//! settings say.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use domain::id::TenantId;
use event_log::embedded::{self, EmbeddedLog};
use event_log::{EventLog, KafkaLog, Partition, Position};
use uuid::Uuid;
use vault::port::Moved;
use vault::{Contents, CursorName, Cursors, Keyring, PostgresVault, Root, Row, SqliteVault};

use crate::config::{Config, LogKind, StorageKind};
use crate::folder::Folder;

/// The cursor that says whether a backup was restored into the vault, and whether that ended.
pub(crate) const RESTORE: &str = "restore";

/// The cursor that says which log has the records whose keys are in the vault.
pub(crate) const LOG: &str = "log";

/// What the cursor of a restore says until it ended.
const UNFINISHED: &str = "unfinished";

/// The log. One that is made in the folder gets so many partitions.
///
/// # Errors
///
/// If it cannot be opened; it may be in use.
pub(crate) async fn open_log(
    config: &Config,
    folder: &Folder,
    partitions: u32,
) -> Result<Arc<dyn EventLog>> {
    match config.log.kind {
        LogKind::Embedded => {
            let segment_bytes_max = config.log.segment_bytes;
            let settings = embedded::Settings { partitions, segment_bytes_max };
            let log = EmbeddedLog::open(folder.log(), settings);
            let place = folder.log();
            let failed = || format!("could not open the log in `{}`", place.display());
            let log = log.with_context(failed)?;
            if log.partitions() != partitions {
                tracing::warn!(
                    log.partitions = log.partitions(),
                    setting.partitions = partitions,
                    "the log in this folder keeps the number of partitions it was made with, \
                     which is not that of `log.partitions`"
                );
            }
            Ok(Arc::new(log))
        }
        LogKind::Kafka => {
            let log = KafkaLog::open(config.log.kafka.cluster()?).await;
            Ok(Arc::new(log.context("could not open the log on Kafka")?))
        }
    }
}

/// How long what the vault still does may take at the end. In seconds: 5.
const CLOSED_TIME_MAX: Duration = Duration::from_secs(5);

/// A vault.
#[derive(Clone, Debug)]
pub(crate) enum OpenVault {
    /// In the data folder.
    Sqlite(Arc<SqliteVault>),
    /// In a database.
    Postgres(Arc<PostgresVault>),
}

impl OpenVault {
    /// The vault that the settings name.
    ///
    /// # Errors
    ///
    /// If it cannot be opened.
    pub(crate) async fn of(config: &Config, folder: &Folder) -> Result<Self> {
        match config.storage.vault {
            StorageKind::Sqlite => Self::in_folder(folder).await,
            StorageKind::Postgresql => {
                let postgresql = &config.storage.postgresql;
                let connections_max = postgresql.vault_connections_max.get();
                let vault = PostgresVault::open(&postgresql.url("vault")?, connections_max).await;
                let failed = "the vault cannot be opened (`storage.postgresql.url`)";
                Ok(Self::Postgres(Arc::new(vault.context(failed)?)))
            }
        }
    }

    /// Whether there is a vault where the settings say. Makes none.
    ///
    /// # Errors
    ///
    /// If that cannot be known, or a part of it is missing.
    pub(crate) async fn is_there(config: &Config, folder: &Folder) -> Result<bool> {
        Ok(match config.storage.vault {
            StorageKind::Sqlite => SqliteVault::is_there(&folder.vault())?,
            StorageKind::Postgresql => {
                PostgresVault::is_there(&config.storage.postgresql.url("vault")?).await?
            }
        })
    }

    /// The vault in `folder`.
    ///
    /// # Errors
    ///
    /// If it cannot be opened.
    pub(crate) async fn in_folder(folder: &Folder) -> Result<Self> {
        let vault = SqliteVault::open(&folder.vault()).await;
        Ok(Self::Sqlite(Arc::new(vault.context("the vault cannot be opened")?)))
    }

    /// What it holds, to be copied.
    pub(crate) fn contents(&self) -> &dyn Contents {
        match self {
            Self::Sqlite(vault) => vault.as_ref(),
            Self::Postgres(vault) => vault.as_ref(),
        }
    }

    /// Closes it, so that nothing that was written to it last is left beside its file. Statements
    /// that run end first, within [`CLOSED_TIME_MAX`].
    pub(crate) async fn close(&self) {
        let closed = async {
            match self {
                Self::Sqlite(vault) => vault.close().await,
                Self::Postgres(vault) => vault.close().await,
            }
        };
        if tokio::time::timeout(CLOSED_TIME_MAX, closed).await.is_err() {
            tracing::warn!("the vault was left while it still had something to do");
        }
    }

    fn cursors(&self) -> &dyn Cursors {
        match self {
            Self::Sqlite(vault) => vault.as_ref(),
            Self::Postgres(vault) => vault.as_ref(),
        }
    }

    /// Makes sure that the vault is that of `log`: the first log that it is used with.
    ///
    /// # Errors
    ///
    /// If it is another's, or has no key of any tenant although the log has records. Then nothing is
    /// changed.
    pub(crate) async fn belongs_to(&self, log: &dyn EventLog) -> Result<()> {
        let (cursor, ours) = (installations(LOG), log.incarnation());
        let mut known = self.cursors().get(&cursor).await?;
        if known.is_none() {
            if !self.has_tenants().await? && has_records(log).await? {
                // Unless another process has just begun both.
                known = self.cursors().get(&cursor).await?;
                let known = known.as_deref();
                ensure!(
                    known.is_some(),
                    "the vault is new, but the log {ours} has records already, whose keys are in \
                     another vault: name that one (`storage.*`), or restore a backup into an empty \
                     log and an empty vault"
                );
            } else if let Moved::Elsewhere(found) =
                self.cursors().advance(&cursor, None, ours).await?
            {
                known = found;
            }
        }
        match known {
            Some(theirs) if theirs != ours => bail!(
                "the vault is that of the log {theirs}, but this is the log {ours}: name the vault \
                 that was used with this log (`storage.*`), or the log that was used with this \
                 vault (`log.*`)"
            ),
            _ => Ok(()),
        }
    }

    /// Whether it was ever used for more than to sign tokens with.
    async fn has_tenants(&self) -> Result<bool> {
        // Those of the installation come first.
        let rows = self.contents().rows_after(None).await?;
        Ok(rows.iter().any(|it| match it {
            Row::Key { purpose, .. } => purpose != "master" && purpose != "issuer",
            Row::Blob { .. } | Row::Record { .. } => true,
            Row::Cursor { .. } => false,
        }))
    }

    /// The keys in it, under the root key of `folder`.
    ///
    /// # Errors
    ///
    /// If a backup was restored by half, or the root key is not theirs.
    pub(crate) async fn keyring(&self, folder: &Folder) -> Result<Keyring> {
        if self.cursors().get(&installations(RESTORE)).await?.as_deref() == Some(UNFINISHED) {
            bail!(
                "a restore into this installation did not end; empty the log, the vault and the \
                 data folder, and restore again"
            );
        }
        // In this order: who makes a new vault makes its root key first.
        let is_begun = !self.contents().is_new().await?;
        let path = folder.root_key();
        if is_begun && !path.exists() {
            return Err(lost(&path));
        }
        let root = Root::open_or_create(&path).context("the root key cannot be used")?;
        let keyring = match self {
            Self::Sqlite(vault) => Keyring::open(vault.clone(), root).await,
            Self::Postgres(vault) => Keyring::open(vault.clone(), root).await,
        };
        keyring.context("the keys cannot be opened")
    }

    /// Says that a restore begins: nothing is served before it has ended.
    ///
    /// # Errors
    ///
    /// If the vault fails.
    pub(crate) async fn begin_restore(&self) -> Result<()> {
        self.mark(None, UNFINISHED).await
    }

    /// Says that a restore has ended: what follows is another life of the installation.
    ///
    /// # Errors
    ///
    /// If the vault fails.
    pub(crate) async fn end_restore(&self) -> Result<()> {
        self.mark(Some(UNFINISHED), &Uuid::new_v4().to_string()).await
    }

    /// Which life of the installation this is: none for the first one, another text after each restore.
    ///
    /// # Errors
    ///
    /// If the vault fails.
    pub(crate) async fn life(&self) -> Result<String> {
        Ok(self.cursors().get(&installations(RESTORE)).await?.unwrap_or_default())
    }

    async fn mark(&self, before: Option<&str>, after: &str) -> Result<()> {
        match self.cursors().advance(&installations(RESTORE), before, after).await? {
            Moved::Here => Ok(()),
            Moved::Elsewhere(found) => {
                bail!("expected no other restore into this vault, found one that is {found:?}")
            }
        }
    }
}

/// A cursor of the whole installation.
fn installations(name: &str) -> CursorName {
    CursorName { tenant: TenantId::SYSTEM, name: name.to_owned() }
}

async fn has_records(log: &dyn EventLog) -> Result<bool> {
    for partition in (0..log.partitions()).map(Partition) {
        if log.end(partition).await? > Position::START {
            return Ok(true);
        }
    }
    Ok(false)
}

fn lost(path: &Path) -> anyhow::Error {
    anyhow!(
        "the root key `{}` is missing, and what this installation stored is sealed under it; put \
         back the copy that was kept elsewhere: nothing else opens it",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Purpose;

    async fn keys(folder: &Folder) -> Result<Keyring> {
        OpenVault::in_folder(folder).await?.keyring(folder).await
    }

    #[tokio::test]
    async fn a_root_key_that_is_lost_is_missed_and_no_other_one_made() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::open(home.path(), Purpose::Serve).unwrap();
        keys(&folder).await.unwrap();
        let (path, kept) = (folder.root_key(), home.path().join("kept"));
        std::fs::rename(&path, &kept).unwrap();
        let error = keys(&folder).await.unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert!(error.contains("is missing") && !path.exists(), "{error}");
        std::fs::rename(&kept, &path).unwrap();
        keys(&folder).await.unwrap();
    }
}
