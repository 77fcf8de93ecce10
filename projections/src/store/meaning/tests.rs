use super::*;
use crate::store::{Access, Connection, Database, Sql, begin, define};
use crate::temporary::{Kind, Temporary, on_each_kind};
use crate::testing::noise;

on_each_kind! {
    what_the_database_says_is_told_apart
    what_was_refused_leaves_the_transaction_as_it_was
}

async fn tables(place: &Temporary) -> (Database, Connection) {
    let database = Database::open(&place.tables()).await.unwrap();
    let mut writer = database.place("test".to_owned()).connect(Access::Write).await.unwrap();
    let table = "CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, n BIGINT CHECK (n < 100))";
    define(&mut writer, table).await.unwrap();
    (database, writer)
}

async fn what_the_database_says_is_told_apart(on: Kind) {
    let place = Temporary::new(on).await;
    let (_database, mut writer) = tables(&place).await;
    let long = format!("INSERT INTO t VALUES ('{}', 1)", noise(5_000));
    let refused = |code: &str| Meaning::Refused(code.to_owned());
    let cases = match on {
        Kind::Sqlite => vec![
            (long.as_str(), None),
            ("INSERT INTO t VALUES ('a', 1), ('a', 2)", Some(refused("(SQLite 1555)"))),
            ("INSERT INTO t VALUES ('b', 100)", Some(refused("(SQLite 275)"))),
            ("INSERT INTO t VALUES (NULL, 1)", Some(refused("(SQLite 1299)"))),
            ("INSERT INTO t VALUES (zeroblob(2000000000), 1)", Some(refused("(SQLite 18)"))),
            ("INSERT INTO t (rowid, a, n) VALUES ('x', 'a', 1)", Some(refused("(SQLite 20)"))),
            ("INSERT INTO nowhere VALUES (1)", Some(Meaning::Wrong)),
            ("INSERT", Some(Meaning::Wrong)),
        ],
        Kind::Postgres => vec![
            (long.as_str(), Some(refused("(SQLSTATE 54000)"))),
            ("INSERT INTO t VALUES ('a', 1), ('a', 2)", Some(refused("(SQLSTATE 23505)"))),
            ("INSERT INTO t VALUES ('b', 100)", Some(refused("(SQLSTATE 23514)"))),
            ("INSERT INTO t VALUES (NULL, 1)", Some(refused("(SQLSTATE 23502)"))),
            ("INSERT INTO t VALUES ('c', 1 / (SELECT 0))", Some(refused("(SQLSTATE 22012)"))),
            ("INSERT INTO nowhere VALUES (1)", Some(Meaning::Wrong)),
            ("INSERT", Some(Meaning::Wrong)),
            ("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(9)", Some(Meaning::Passing)),
            ("SET LOCAL lock_timeout = 'x'", Some(refused("(SQLSTATE 22023)"))),
            ("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$", Some(Meaning::Passing)),
            ("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$", Some(Meaning::Passing)),
        ],
    };
    for (text, expected) in cases {
        let said = Sql::new(text).execute(&mut writer).await.err().map(|it| it.meaning());
        match (said, expected) {
            (Some(Meaning::Refused(said)), Some(Meaning::Refused(code))) => {
                assert!(said.ends_with(&code), "{said} for {text:.60}");
                assert!(said.len() < 100, "{said}");
            }
            (said, expected) => assert_eq!(said, expected, "{text:.60}"),
        }
    }
}

/// Also where the row that is refused is not the first of its statement.
async fn what_was_refused_leaves_the_transaction_as_it_was(on: Kind) {
    let place = Temporary::new(on).await;
    let (_database, mut writer) = tables(&place).await;
    let mut whole = begin(&mut writer).await.unwrap();
    Sql::new("INSERT INTO t VALUES ('kept', 1)").execute(&mut whole).await.unwrap();
    let mut part = begin(&mut whole).await.unwrap();
    let mut rows = crate::store::bulk::Rows::default();
    for it in 0..200_i64 {
        rows.push([format!("row-{it:03}").into(), it.into()]);
    }
    let refused = rows.insert(&mut part, "INSERT INTO t (a, n)", "").await.unwrap_err();
    assert!(matches!(refused.meaning(), Meaning::Refused(_)), "{refused}");
    part.rollback().await.unwrap();
    whole.commit().await.unwrap();
    let found = Sql::new("SELECT a FROM t").fetch(&mut writer).await.unwrap();
    let found: Vec<_> = found.iter().map(|it| it.text(0).unwrap()).collect();
    assert_eq!(found, ["kept"]);
}
