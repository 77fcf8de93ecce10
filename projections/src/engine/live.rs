//! Which generation of each model answers requests: one row per model, in a place of its own.

use tokio::sync::Mutex;

use crate::model::Model;
use crate::store::{self, Access, Connection, Database, Durability, Sql, StoreError};

/// The rows.
#[derive(Debug)]
pub(crate) struct Live(Mutex<Connection>);

impl Live {
    pub(crate) async fn open(database: &Database) -> Result<Self, StoreError> {
        let mut connection = database.choice().connect(Access::Write).await?;
        // What is chosen or forgotten here decides whether tables of unsynced rows may be read.
        store::set_durability(&mut connection, Durability::Full).await?;
        let table = "CREATE TABLE IF NOT EXISTS live (
            model TEXT NOT NULL,
            schema_version BIGINT NOT NULL,
            generation BIGINT NOT NULL,
            PRIMARY KEY (model, schema_version)
        )";
        let mut transaction = store::begin(&mut connection).await?;
        store::take_turns(&mut transaction).await?;
        store::define(&mut transaction, table).await?;
        transaction.commit().await?;
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
