//! The section `storage`: in which database the read models and the vault are.

use std::num::NonZeroU32;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use projections::{PostgresTables, Tables};
use serde::{Deserialize, Serialize};

use super::Secret;
use crate::folder::{Folder, Purpose};

/// Where everything is kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Storage {
    /// The one data folder.
    pub folder: PathBuf,
    /// Where the root key is, if not in the folder.
    pub root_key_file: PathBuf,
    /// Where the read models are.
    pub read_models: Kind,
    /// Where the vault is.
    pub vault: Kind,
    /// The database of whatever is not in the folder.
    pub postgresql: Postgresql,
}

/// What keeps tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Files in the data folder.
    Sqlite,
    /// The database of the section `storage.postgresql`.
    Postgresql,
}

/// A PostgreSQL database.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Postgresql {
    /// Its address, with user and password.
    pub url: Secret,
    /// The file that holds the address.
    pub url_file: PathBuf,
    /// The role of whoever reads on behalf of a tenant.
    pub reader_role: String,
    /// How many connections the vault has.
    pub vault_connections_max: NonZeroU32,
}

impl Storage {
    /// The data folder, made if it is not there.
    ///
    /// # Errors
    ///
    /// As for [`Folder::open`].
    pub(crate) fn open(&self, purpose: Purpose) -> Result<Folder> {
        Ok(Folder::open(&self.folder, purpose)?.with_root_key(&self.root_key_file))
    }

    /// The data folder of an installation that is there already.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(crate) fn existing(&self) -> Result<Folder> {
        Ok(Folder::existing(&self.folder)?.with_root_key(&self.root_key_file))
    }

    /// Where the read models' tables are, if not in `folder`.
    ///
    /// # Errors
    ///
    /// If the address of the database is missing or cannot be read.
    pub(crate) fn tables(&self, folder: PathBuf) -> Result<Tables> {
        match self.read_models {
            Kind::Sqlite => Ok(Tables::Folder(folder)),
            Kind::Postgresql => {
                let mut tables = PostgresTables::new(self.postgresql.url("read_models")?);
                tables.reader_role.clone_from(&self.postgresql.reader_role);
                Ok(Tables::Postgres(tables))
            }
        }
    }
}

impl Postgresql {
    /// The address, which `what` of the storage needs.
    ///
    /// # Errors
    ///
    /// If it is missing or cannot be read.
    pub(crate) fn url(&self, what: &str) -> Result<String> {
        let file = &self.url_file;
        match (self.url.0.is_empty(), file.as_os_str().is_empty()) {
            (false, true) => Ok(self.url.0.clone()),
            (true, false) => {
                let text = std::fs::read_to_string(file).with_context(|| {
                    format!("could not read `storage.postgresql.url_file` at `{}`", file.display())
                })?;
                Ok(text.trim().to_owned())
            }
            (true, true) => bail!(
                "`storage.{what}` is \"postgresql\": set `storage.postgresql.url_file`, or the \
                 variable `CALLBOARD_STORAGE_POSTGRESQL_URL`"
            ),
            (false, false) => bail!(
                "both `storage.postgresql.url` and `storage.postgresql.url_file` are set; set one"
            ),
        }
    }
}
