use super::sqlite::alternatives;
use super::*;
use crate::store::{Access, Database, Sql, define};
use crate::temporary::{Kind, Temporary, on_each_kind};

async fn connect(place: &Temporary) -> Connection {
    let database = Database::open(&place.tables()).await.unwrap();
    database.place("test".to_owned()).connect(Access::Write).await.unwrap()
}

async fn table(place: &Temporary) -> Connection {
    let mut connection = connect(place).await;
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

on_each_kind! {
    many_rows_are_written_found_and_removed
    rows_that_begin_with_one_id_or_with_several_are_written_whole
}

async fn many_rows_are_written_found_and_removed(on: Kind) {
    let place = Temporary::new(on).await;
    let mut connection = table(&place).await;
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
    let place = Temporary::new(Kind::Sqlite).await;
    let mut connection = table(&place).await;
    let key = whole(&["a", "b"]);
    for (text, condition, looked_up) in [
        ("SELECT c FROM t", key.as_str(), "(a=? AND b=?)"),
        ("DELETE FROM t", &key, "(a=? AND b=?)"),
        ("SELECT c FROM t", "(a = ? AND b BETWEEN ? AND ?)", "(a=? AND b>? AND b<?)"),
    ] {
        let sql = format!("EXPLAIN QUERY PLAN {text} WHERE {}", alternatives(2, condition));
        let plan = Sql::new(&sql).fetch(&mut connection).await.unwrap();
        let plan: Vec<_> = plan.iter().map(|it| it.text(3).unwrap()).collect();
        let looked_up = |it: &&String| it.contains(looked_up);
        assert_eq!(plan.iter().filter(looked_up).count(), 2, "{plan:?}");
        assert!(!plan.iter().any(|it| it.starts_with("SCAN")), "{plan:?}");
    }
}

async fn rows_that_begin_with_one_id_or_with_several_are_written_whole(on: Kind) {
    let place = Temporary::new(on).await;
    let mut connection = connect(&place).await;
    let text = "CREATE TABLE t (a UUID NOT NULL, b BIGINT NOT NULL, c TEXT,
        PRIMARY KEY (a, b)) /* clustered */";
    define(&mut connection, text).await.unwrap();
    let id = |it: u64| uuid::Uuid::from_u128((it % 3).into());
    // Of 6,000 rows some statements have one id, others two.
    let mut rows = Rows::default();
    for it in 0..6_000_u64 {
        let text = (!it.is_multiple_of(5)).then(|| format!("{it}/{}", id(it)));
        rows.push([id(it).into(), it.into(), text.into()]);
    }
    rows.insert(&mut connection, "INSERT INTO t (a, b, c)", "").await.unwrap();
    let found = Sql::new("SELECT a, b, c FROM t").fetch(&mut connection).await.unwrap();
    assert_eq!(found.len(), 6_000);
    for row in found {
        let (a, b, c) = (row.uuid(0).unwrap(), row.count(1).unwrap(), row.optional_text(2));
        let text = (!b.is_multiple_of(5)).then(|| format!("{b}/{}", id(b)));
        assert_eq!((a, c.unwrap()), (id(b), text));
    }
}

#[test]
fn rows_are_in_the_order_of_an_index() {
    let text = |it: &str| Value::from(it);
    let given = [
        [text("b"), Value::from(-1_i64)],
        [text("a"), Value::from(2_i64)],
        [text("ab"), Value::from(-7_i64)],
        [text("a"), Value::from(-3_i64)],
        [text("a"), Value::from(11_i64)],
    ];
    let mut rows = Rows::default();
    given.iter().cloned().for_each(|it| rows.push(it));
    let sorted: Vec<_> = rows.sorted().collect();
    assert_eq!(sorted, [3, 1, 4, 2, 0].map(|it| given[it].clone()));
}
