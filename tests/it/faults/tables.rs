//! Every row of every read model in a PostgreSQL database.

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::faults::dump::{Dump, MODELS};

/// Reads the live generation of every model in the database at `url`, as its superuser.
pub(crate) async fn dump(url: &str) -> Dump {
    let mut connection = PgConnection::connect(url).await.expect("the database lets us in");
    let mut dump = Dump::new();
    for model in MODELS {
        let schema = live(&mut connection, model).await;
        let tables = format!("SELECT tablename::text FROM pg_tables WHERE schemaname = '{schema}'");
        for table in texts(&mut connection, &tables).await {
            let rows = format!("SELECT (t.*)::text FROM {schema}.\"{table}\" AS t");
            let mut rows = texts(&mut connection, &rows).await;
            rows.sort_unstable();
            dump.insert(format!("{model}.{table}"), rows);
        }
    }
    connection.close().await.expect("a connection can be closed");
    dump
}

/// The schema of the generation of `model` that answers requests, in its newest version.
async fn live(connection: &mut PgConnection, model: &str) -> String {
    let chosen = format!(
        "SELECT format('callboard_%s_v%s_g%s', model, schema_version, generation)
        FROM callboard_projections.live WHERE model = '{model}' ORDER BY schema_version"
    );
    texts(connection, &chosen).await.pop().expect("every model has a generation")
}

async fn texts(connection: &mut PgConnection, sql: &str) -> Vec<String> {
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(connection).await;
    let rows = rows.unwrap_or_else(|it| panic!("{sql}: {it}"));
    rows.iter().map(|it| it.get(0)).collect()
}
