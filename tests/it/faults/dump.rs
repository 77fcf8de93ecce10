//! Every row of every read model, to compare what was folded over many crashes with what a rebuild
//! makes of the same log.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use crate::harness::{Installation, Server, eventually};

/// The models there are.
pub(crate) const MODELS: [&str; 5] = ["analytics", "audit", "billing", "catalog", "organisation"];

/// The rows of each table, sorted, by `model.table`.
pub(crate) type Dump = BTreeMap<String, Vec<String>>;

/// Reads the newest generation of every model in `folder`.
pub(crate) async fn dump(folder: &Path) -> Dump {
    let mut dump = Dump::new();
    for model in MODELS {
        let names = std::fs::read_dir(folder).expect("the read models are there");
        let names = names.map(|it| it.expect("they can be listed").file_name());
        let mut files: Vec<(u64, String)> = names
            .filter_map(|it| {
                let name = it.to_str()?;
                let generation = name.strip_suffix(".db")?.strip_prefix(model)?;
                Some((generation.rsplit_once("-g")?.1.parse().ok()?, name.to_owned()))
            })
            .collect();
        files.sort();
        let (_, newest) = files.last().expect("every model has a file");
        let options = SqliteConnectOptions::new().filename(folder.join(newest)).read_only(true);
        let mut connection = options.connect().await.expect("a read model can be opened");
        for table in
            texts(&mut connection, "SELECT name FROM sqlite_master WHERE type = 'table'").await
        {
            let rows = rows(&mut connection, &table).await;
            dump.insert(format!("{model}.{table}"), rows);
        }
        connection.close().await.expect("a read model can be closed");
    }
    dump
}

async fn rows(connection: &mut SqliteConnection, table: &str) -> Vec<String> {
    let columns = format!("SELECT 'quote(\"' || name || '\")' FROM pragma_table_info('{table}')");
    let columns = texts(connection, &columns).await.join(" || ', ' || ");
    let mut rows = texts(connection, &format!("SELECT {columns} FROM \"{table}\"")).await;
    rows.sort_unstable();
    rows
}

async fn texts(connection: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(connection).await;
    let rows = rows.unwrap_or_else(|it| panic!("{sql}: {it}"));
    rows.iter().map(|it| it.get(0)).collect()
}

/// Waits until every model of a running server is at the end of its log, rebuilds all of them and
/// compares: how many tables with how many rows there were.
pub(crate) async fn equals_a_rebuild(
    installation: &Installation,
    server: &Server,
) -> (usize, usize) {
    let door = server.url("/readyz");
    let anybody = server.api("");
    eventually("every model is at the end of the log", async || {
        let answer = anybody.send(outbound::Request::get(door.clone())).await.ok()?;
        let body: Value = serde_json::from_slice(&answer.body).ok()?;
        let models = body["models"].as_array()?;
        models.iter().all(|it| it["eventsBehind"] == 0).then_some(())
    })
    .await;
    let folder = installation.folder().join("models");
    let before = dump(&folder).await;
    for model in MODELS {
        installation.run(&["projections", "rebuild", model]).text();
    }
    let differences = differences(&before, &dump(&folder).await);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    (before.len(), before.values().map(Vec::len).sum())
}

/// Every difference between two dumps, one for each table at most.
pub(crate) fn differences(one: &Dump, other: &Dump) -> Vec<String> {
    let mut differences = Vec::new();
    let tables: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    for table in tables {
        let (Some(one), Some(other)) = (one.get(table), other.get(table)) else {
            differences.push(format!("{table} is in one of them only"));
            continue;
        };
        let differing = one.iter().zip(other).find(|(one, other)| one != other);
        if differing.is_some() || one.len() != other.len() {
            let counts = (one.len(), other.len());
            differences.push(format!("{table} with {counts:?} rows: {differing:#?}"));
        }
    }
    differences
}

#[test]
fn a_row_that_is_missing_or_changed_is_noticed() {
    let table = |rows: &[&str]| {
        let rows = rows.iter().map(|it| (*it).to_owned()).collect();
        Dump::from([("audit.events".to_owned(), rows)])
    };
    assert!(differences(&table(&["1, 'a'", "2, 'b'"]), &table(&["1, 'a'", "2, 'b'"])).is_empty());
    assert_eq!(differences(&table(&["1, 'a'", "2, 'b'"]), &table(&["1, 'a'"])).len(), 1);
    assert_eq!(differences(&table(&["1, 'a'"]), &table(&["1, 'c'"])).len(), 1);
    assert_eq!(differences(&table(&["1, 'a'"]), &Dump::new()).len(), 1);
}
