//! Where table sets are: files of a folder, or schemas of a PostgreSQL database.

#[cfg(test)]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::file::Folder;
use super::postgres::{self, Postgres};
use super::{Connection, StoreError};
use crate::Tables;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Where all table sets are.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    Folder(Folder),
    Postgres(Arc<Postgres>),
}

/// Where one set of tables is, or the list of those that were chosen.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    database: Database,
    name: String,
}

/// What the tables that say which sets were chosen are called.
const CHOICE: &str = "projections";

impl Database {
    /// Opens it, and makes sure that it can be used.
    pub(crate) async fn open(tables: &Tables) -> Result<Self, StoreError> {
        match tables {
            Tables::Folder(path) => Ok(Self::Folder(Folder::open(path)?)),
            Tables::Postgres(settings) => {
                Ok(Self::Postgres(Arc::new(Postgres::open(settings).await?)))
            }
        }
    }

    /// The set of tables of this name, which may be there or not.
    pub(crate) fn place(&self, name: String) -> Place {
        Place { database: self.clone(), name }
    }

    /// Where it is said which sets were chosen.
    pub(crate) fn choice(&self) -> Place {
        self.place(CHOICE.to_owned())
    }

    /// Whether several processes use it at a time. Then transactions survive in their order, so
    /// what one process left half filled another goes on filling.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// For how long nobody was seen to fill a partition before somebody else than its owner does;
    /// none where one process fills all.
    pub(crate) fn unmoved_min(&self) -> Option<Duration> {
        match self {
            Self::Folder(_) => None,
            Self::Postgres(database) => Some(database.unmoved_min),
        }
    }

    /// Removes every set of tables whose name begins so, but `kept`. Those that several processes may
    /// use go in the course of time, if no other process is using them.
    pub(crate) async fn remove_others(
        &self,
        beginning: &str,
        kept: Option<&str>,
    ) -> Result<(), StoreError> {
        match self {
            Self::Folder(folder) => Ok(folder.remove_others(beginning, kept)?),
            Self::Postgres(database) => database.remove_others(beginning, kept).await,
        }
    }
}

impl Place {
    /// One connection. Whoever may write makes the place first, and keeps others from removing it
    /// for as long as it is connected.
    pub(crate) async fn connect(&self, access: Access) -> Result<Connection, StoreError> {
        match &self.database {
            Database::Folder(folder) => {
                let session = folder.connect(&self.name, access).await?;
                Ok(Connection::Sqlite(Box::new(session)))
            }
            Database::Postgres(database) => {
                let purpose = match access {
                    Access::Read => postgres::Purpose::Read,
                    Access::Write => postgres::Purpose::Write,
                };
                let session = database.connect(&self.name, purpose).await?;
                Ok(Connection::Postgres(Box::new(session)))
            }
        }
    }

    /// Whether several processes use it at a time.
    pub(crate) fn is_shared(&self) -> bool {
        self.database.is_shared()
    }

    /// What `table` of this place is called in a statement about several places. Only where
    /// several processes share them.
    pub(crate) fn qualified(&self, table: &str) -> String {
        format!("{}.{table}", postgres::schema(&self.name))
    }

    /// Removes it if it is there and nobody uses it, once that was seen for long enough.
    pub(crate) async fn remove_unused(&self) -> Result<(), StoreError> {
        match &self.database {
            Database::Folder(_) => Ok(()),
            Database::Postgres(database) => database.remove_unused(&self.name).await,
        }
    }

    /// Whether it was ever made.
    pub(crate) async fn exists(&self) -> Result<bool, StoreError> {
        match &self.database {
            Database::Folder(folder) => Ok(folder.path(&self.name).exists()),
            Database::Postgres(database) => database.exists(&self.name).await,
        }
    }

    /// Removes it, unless another process is using it. Whoever in this process still reads from
    /// it goes on reading in a folder, and has to be done in PostgreSQL.
    pub(crate) fn remove(&self) {
        match &self.database {
            Database::Folder(folder) => {
                if let Err(error) = folder.remove(&self.name) {
                    tracing::warn!(tables = self.name, %error, "old tables stay behind");
                }
            }
            Database::Postgres(database) => database.clone().remove_replaced(&self.name),
        }
    }

    /// The file, if it is one.
    #[cfg(test)]
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match &self.database {
            Database::Folder(folder) => Some(folder.path(&self.name)),
            Database::Postgres(_) => None,
        }
    }
}
