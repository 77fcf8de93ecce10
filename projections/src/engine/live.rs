//! Which generation of each model answers requests: one row per model, in a file of its own.

use std::path::Path;

use tokio::sync::Mutex;

use crate::model::Model;
use crate::store::{self, Access, Connection, Durability, Sql, StoreError};

/// The file's name in the folder.
const FILE: &str = "projections.db";

/// The rows.
#[derive(Debug)]
pub(crate) struct Live(Mutex<Connection>);

impl Live {
    pub(crate) async fn open(folder: &Path) -> Result<Self, StoreError> {
        let mut connection = store::connect(&folder.join(FILE), Access::Write).await?;
        // What is chosen or forgotten here decides whether a file of unsynced rows may be read.
        store::set_durability(&mut connection, Durability::Full).await?;
        let table = "CREATE TABLE IF NOT EXISTS live (
            model TEXT NOT NULL,
            schema_version BIGINT NOT NULL,
            generation BIGINT NOT NULL,
            PRIMARY KEY (model, schema_version)
        )";
        store::define(&mut connection, table).await?;
        Ok(Self(Mutex::new(connection)))
    }

    /// The generation that answers requests in this version of the model; none as long as none
    /// was ever filled.
    pub(crate) async fn generation(&self, model: Model) -> Result<Option<u64>, StoreError> {
        let mut sql = Sql::new("SELECT generation FROM live WHERE model = ");
        sql.bind(model.name()).push(" AND schema_version = ").bind(model.schema().version);
        let row = sql.fetch_optional(&mut *self.0.lock().await).await?;
        row.map(|it| it.count(0)).transpose()
    }

    /// Chooses none: what was chosen is lost.
    pub(crate) async fn forget(&self, model: Model) -> Result<(), StoreError> {
        let mut sql = Sql::new("DELETE FROM live WHERE model = ");
        sql.bind(model.name()).push(" AND schema_version = ").bind(model.schema().version);
        sql.execute(&mut *self.0.lock().await).await?;
        Ok(())
    }

    /// Chooses a generation.
    pub(crate) async fn choose(&self, model: Model, generation: u64) -> Result<(), StoreError> {
        let mut sql = Sql::new("INSERT INTO live (model, schema_version, generation) VALUES (");
        sql.bind(model.name()).push(", ").bind(model.schema().version).push(", ").bind(generation);
        sql.push(
            ") ON CONFLICT (model, schema_version) DO UPDATE SET generation = excluded.generation",
        );
        sql.execute(&mut *self.0.lock().await).await?;
        Ok(())
    }
}

/// Removes every table set of `model` in `folder` but the live one, if there is one: left by an
/// earlier version, or half filled when the process ended.
pub(crate) fn remove_others(
    folder: &Path,
    model: Model,
    live: Option<&str>,
) -> std::io::Result<()> {
    let begin = format!("{model}-v");
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|it| it.to_str()) else { continue };
        if name.starts_with(&begin) && name.ends_with(".db") && Some(name) != live {
            store::remove(&path)?;
        }
    }
    Ok(())
}
