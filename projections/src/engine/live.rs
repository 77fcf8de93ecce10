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
        // Whoever finds it waits for nobody who makes tables.
        if !store::has_table(&mut connection, "live").await? {
            let mut transaction = store::begin(&mut connection).await?;
            store::take_turns(&mut transaction).await?;
            store::define(&mut transaction, table).await?;
            transaction.commit().await?;
        }
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

    /// Chooses none: `generation`, which was chosen, is lost.
    pub(crate) async fn forget(&self, model: Model, generation: u64) -> Result<(), StoreError> {
        let mut sql = Sql::new("DELETE FROM live WHERE model = ");
        sql.bind(model.name()).push(" AND schema_version = ").bind(model.schema().version);
        sql.push(" AND generation = ").bind(generation);
        sql.execute(&mut *self.0.lock().await).await?;
        Ok(())
    }

    /// Chooses a generation, unless a later one is chosen already: by another process.
    pub(crate) async fn choose(&self, model: Model, generation: u64) -> Result<(), StoreError> {
        choose("live", model, generation).execute(&mut *self.0.lock().await).await?;
        Ok(())
    }

    /// The same as a part of a transaction elsewhere, durably.
    pub(crate) async fn choose_within(
        &self,
        transaction: &mut Connection,
        database: &Database,
        model: Model,
        generation: u64,
    ) -> Result<(), StoreError> {
        store::sync_at_commit(transaction).await?;
        let table = database.choice().qualified("live");
        choose(&table, model, generation).execute(transaction).await?;
        Ok(())
    }
}

fn choose(table: &str, model: Model, generation: u64) -> Sql {
    let mut sql = Sql::new("INSERT INTO ");
    sql.push(table).push(" AS live (model, schema_version, generation) VALUES (");
    sql.bind(model.name()).push(", ").bind(model.schema().version).push(", ").bind(generation);
    sql.push(
        ") ON CONFLICT (model, schema_version) DO UPDATE SET generation = excluded.generation
            WHERE live.generation < excluded.generation",
    );
    sql
}
