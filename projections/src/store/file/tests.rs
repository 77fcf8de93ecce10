use super::*;
use crate::store::{Database, Place, begin, define, set_durability};
use crate::temporary::{Kind, Temporary};

/// Has the file hold so many pages at most, or those it has now.
async fn limit(writer: &mut Connection, pages: Option<i64>) {
    let pages = match pages {
        Some(pages) => pages,
        None => number(writer, "PRAGMA page_count").await,
    };
    number(writer, &format!("PRAGMA max_page_count = {pages}")).await;
}

async fn number(connection: &mut Connection, text: &str) -> i64 {
    let row = Sql::new(text).fetch_optional(connection).await.unwrap().unwrap();
    row.integer(0).unwrap()
}

/// What a connection of its own sees.
async fn seen(place: &Place) -> i64 {
    let mut reader = place.connect(Access::Read).await.unwrap();
    number(&mut reader, "SELECT count(*) FROM t").await
}

/// Adds a row for which there is no room where the file is limited. Without a journal of the
/// statement, as bulk writes do without it.
async fn add(connection: &mut Connection) -> Result<(), StoreError> {
    let insert = "INSERT OR FAIL INTO t (a) VALUES (hex(zeroblob(10000)))";
    Sql::new(insert).execute(connection).await.map(drop)
}

async fn table() -> (Temporary, Place, Connection) {
    let temporary = Temporary::new(Kind::Sqlite).await;
    let database = Database::open(&temporary.tables()).await.unwrap();
    let place = database.place("test".to_owned());
    let mut writer = place.connect(Access::Write).await.unwrap();
    define(&mut writer, "CREATE TABLE t (a TEXT NOT NULL)").await.unwrap();
    (temporary, place, writer)
}

#[tokio::test]
async fn what_is_committed_after_the_disk_was_full_is_there_for_everybody() {
    let (_temporary, place, mut writer) = table().await;
    for round in 0..3 {
        limit(&mut writer, None).await;
        let mut transaction = begin(&mut writer).await.unwrap();
        let refused = add(&mut transaction).await.unwrap_err().to_string();
        assert!(refused.contains("full"), "{refused}");
        if round == 1 {
            transaction.rollback().await.unwrap_err();
        } else {
            drop(transaction);
        }
        limit(&mut writer, Some(1_000_000)).await;
        // Somebody else was first, so this one is undone; the next is not.
        drop(begin(&mut writer).await.unwrap());
        let mut transaction = begin(&mut writer).await.unwrap();
        add(&mut transaction).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(seen(&place).await, round + 1);
    }
    drop(writer);
    assert_eq!(seen(&place).await, 3);
}

#[tokio::test]
async fn what_is_within_a_transaction_that_is_gone_is_not_kept_by_half() {
    let (_temporary, place, mut writer) = table().await;
    limit(&mut writer, None).await;
    let mut transaction = begin(&mut writer).await.unwrap();
    let mut savepoint = begin(&mut transaction).await.unwrap();
    add(&mut savepoint).await.unwrap_err();
    savepoint.rollback().await.unwrap_err();
    transaction.commit().await.unwrap_err();
    limit(&mut writer, Some(1_000_000)).await;
    let mut transaction = begin(&mut writer).await.unwrap();
    add(&mut transaction).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(seen(&place).await, 1);
}

#[tokio::test]
async fn a_connection_that_is_made_again_is_as_careful_as_before() {
    const FULL: i64 = 2;
    let (_temporary, _place, mut writer) = table().await;
    set_durability(&mut writer, Durability::Full).await.unwrap();
    limit(&mut writer, None).await;
    let mut transaction = begin(&mut writer).await.unwrap();
    add(&mut transaction).await.unwrap_err();
    drop(transaction);
    // The limit was that of the connection before.
    add(&mut writer).await.unwrap();
    assert_eq!(number(&mut writer, "PRAGMA synchronous").await, FULL);
}
