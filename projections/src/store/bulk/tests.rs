use super::*;
use crate::store::{Access, connect, define};

async fn table(folder: &tempfile::TempDir) -> Connection {
    let path = folder.path().join("test.db");
    let mut connection = connect(&path, Access::Write).await.unwrap();
    let text = "CREATE TABLE t (
        a BIGINT NOT NULL, b TEXT NOT NULL, c BIGINT, PRIMARY KEY (a, b)) /* clustered */";
    define(&mut connection, text).await.unwrap();
    connection
}

fn rows(count: usize) -> Rows<2> {
    let mut rows = Rows::default();
    (0..count as u64).for_each(|it| rows.push([(it % 7).into(), it.to_string().into()]));
    rows
}

#[tokio::test]
async fn many_rows_are_written_found_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = table(&folder).await;
    let insert = "INSERT INTO t (a, b)";
    for count in [0, 1, 2, 3, 127, 128, 129, 5_000] {
        rows(count).insert(&mut connection, insert, "").await.unwrap();
        let more = rows(count + 1);
        more.insert(&mut connection, insert, "ON CONFLICT DO NOTHING").await.unwrap();
        let found = rows(count).fetch(&mut connection, "SELECT a, b FROM t", ["a", "b"]).await;
        assert_eq!(found.unwrap().len(), count);
        rows(count).delete(&mut connection, "t", ["a", "b"]).await.unwrap();
        let left = Sql::new("SELECT b FROM t").fetch(&mut connection).await.unwrap();
        let left: Vec<_> = left.iter().map(|it| it.text(0).unwrap()).collect();
        assert_eq!(left, [count.to_string()]);
        rows(count + 1).delete(&mut connection, "t", ["a", "b"]).await.unwrap();
    }
}

#[tokio::test]
async fn keys_are_looked_up_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = table(&folder).await;
    for text in ["SELECT c FROM t", "DELETE FROM t"] {
        let sql = format!("EXPLAIN QUERY PLAN {text} WHERE {}", alternatives(2, &["a", "b"]));
        let plan = Sql::new(&sql).fetch(&mut connection).await.unwrap();
        let plan: Vec<_> = plan.iter().map(|it| it.text(3).unwrap()).collect();
        let whole = |it: &&String| it.contains("(a=? AND b=?)");
        assert_eq!(plan.iter().filter(whole).count(), 2, "{plan:?}");
        assert!(!plan.iter().any(|it| it.starts_with("SCAN")), "{plan:?}");
    }
}
