use sqlx::{ConnectOptions, PgConnection};
use xtask::services::Purpose;
use xtask::services::postgres::{Binaries, Server};

use super::*;
use crate::Tables;
use crate::store::{Access, Database, begin, define};
use crate::temporary::{Kind, Temporary, on_postgres};

on_postgres! {
    who_cannot_be_used_is_named_with_a_remedy
    who_makes_tables_for_long_is_not_waited_for_to_make_a_role
    a_standby_is_no_place_for_tables
    a_text_holds_anything_but_the_one_character_it_cannot
    a_connection_that_was_lost_is_made_again
    a_writer_that_rests_too_long_holds_nothing_any_more
    a_transaction_begins_where_a_connection_was_lost
    whoever_is_cut_off_holds_nothing_for_long
}

/// Longer than anybody waits for who makes tables. In seconds: 50.
const OPENED_MAX: Duration = Duration::from_secs(50);

pub(super) async fn settings(on: Kind) -> (Temporary, PostgresTables) {
    let place = Temporary::new(on).await;
    let Tables::Postgres(settings) = place.tables() else { panic!("it is PostgreSQL") };
    (place, settings)
}

pub(super) async fn connected(settings: &PostgresTables) -> PgConnection {
    fitness::options(&settings.url).unwrap().connect().await.unwrap()
}

async fn who_cannot_be_used_is_named_with_a_remedy(on: Kind) {
    let (_place, settings) = settings(on).await;
    let refused = async |url: &str, role: &str| {
        let reader_role = role.to_owned();
        let tables = PostgresTables { url: url.to_owned(), reader_role, ..settings.clone() };
        let error = Postgres::open(&tables).await;
        let error = error.unwrap_err().to_string();
        assert!(!error.contains(&settings.url), "{error}");
        error
    };
    let (url, reader) = (settings.url.as_str(), settings.reader_role.as_str());
    let wrong = url.replacen(":callboard_test", ":secret_callboard_test", 1);
    for (url, reader, said) in [
        ("mysql://here", reader, "expected an address like"),
        (&wrong, reader, "check the address, the password and that the server runs"),
        (url, "Reader", "expected a role of lower-case letters"),
        (url, "pg_write_server_files", "GRANT pg_write_server_files TO"),
        (url, "callboard_nobody", "CREATE ROLE callboard_nobody NOLOGIN"),
    ] {
        let error = refused(url, reader).await;
        assert!(error.contains(said), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let owner = fitness::options(url).unwrap().get_username().to_owned();
    assert!(refused(url, &owner).await.contains("name another one"));
    let mut connection = connected(&settings).await;
    let revoke = format!("REVOKE CREATE ON DATABASE {owner} FROM {owner}");
    run(&mut connection, revoke).await.unwrap();
    assert!(refused(url, reader).await.contains("GRANT CREATE ON DATABASE"));
    assert!(!format!("{settings:?}").contains(&owner));
}

async fn who_makes_tables_for_long_is_not_waited_for_to_make_a_role(on: Kind) {
    let (_place, settings) = settings(on).await;
    let tables = PostgresTables { reader_role: "callboard_nobody".to_owned(), ..settings.clone() };
    let mut holder = connected(&settings).await;
    run(&mut holder, format!("SELECT pg_advisory_lock({MAKING})")).await.unwrap();
    let opening = tokio::time::timeout(OPENED_MAX, Postgres::open(&tables)).await;
    let refused = opening.expect("it ends by itself").unwrap_err();
    assert!(matches!(refused, StoreError::Held(_)), "{refused:?}");
    run(&mut holder, format!("SELECT pg_advisory_unlock({MAKING})")).await.unwrap();
    let refused = Postgres::open(&tables).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unfit { .. }), "it is its turn: {refused:?}");
}

async fn a_standby_is_no_place_for_tables(_: Kind) {
    let starting = tokio::task::spawn_blocking(|| {
        let server = Server::start(&Binaries::find().unwrap(), Purpose::Tests).unwrap();
        (server.start_standby().unwrap(), server)
    });
    let (standby, server) = starting.await.unwrap();
    let open = async |server: &Server| Postgres::open(&PostgresTables::new(server.url())).await;
    let error = open(&standby).await.unwrap_err();
    assert!(error.is_away(), "{error:?}");
    let cause = std::error::Error::source(&error).expect("it says why").to_string();
    assert!(cause.contains("is a standby"), "{cause}");
    open(&server).await.expect("the control");
}

pub(super) async fn table(place: &Temporary) -> (Database, Connection) {
    let database = Database::open(&place.tables()).await.unwrap();
    let mut writer = database.place("test".to_owned()).connect(Access::Write).await.unwrap();
    define(&mut writer, "CREATE TABLE t (a TEXT NOT NULL)").await.unwrap();
    (database, writer)
}

async fn a_text_holds_anything_but_the_one_character_it_cannot(on: Kind) {
    let (place, _) = settings(on).await;
    let (_, mut writer) = table(&place).await;
    let mut insert = Sql::new("INSERT INTO t (a) VALUES (");
    insert.bind("nothing\0here").push(")");
    insert.execute(&mut writer).await.unwrap();
    let mut rows = crate::store::bulk::Rows::default();
    rows.push(["a\0b".into()]);
    rows.insert(&mut writer, "INSERT INTO t (a)", "").await.unwrap();
    let mut find = Sql::new("SELECT a FROM t WHERE a IN ");
    find.bind_list(["nothing\0here", "a\0b"]).push(" ORDER BY a");
    let found = find.fetch(&mut writer).await.unwrap();
    let found: Vec<_> = found.iter().map(|it| it.text(0).unwrap()).collect();
    assert_eq!(found, ["a\u{fffd}b", "nothing\u{fffd}here"]);
}

async fn a_connection_that_was_lost_is_made_again(on: Kind) {
    let (place, settings) = settings(on).await;
    let (_, mut writer) = table(&place).await;
    let mut other = connected(&settings).await;
    for _ in 0..3 {
        lose_connections(&mut other).await;
        let count = || Sql::new("SELECT count(*) FROM t");
        assert!(count().fetch(&mut writer).await.is_err(), "it was lost");
        assert_eq!(count().fetch(&mut writer).await.unwrap().len(), 1);
        // Whoever has rested for a while does not even notice.
        lose_connections(&mut other).await;
        let Connection::Postgres(session) = &mut writer else { panic!("it is PostgreSQL") };
        session.has_rested();
        assert_eq!(count().fetch(&mut writer).await.unwrap().len(), 1);
    }
}

async fn a_writer_that_rests_too_long_holds_nothing_any_more(on: Kind) {
    let (place, _) = settings(on).await;
    let (database, mut paused) = table(&place).await;
    let mut next = database.place("test".to_owned()).connect(Access::Write).await.unwrap();
    Sql::new("INSERT INTO t (a) VALUES ('old')").execute(&mut next).await.unwrap();
    let name = "idle_in_transaction_session_timeout";
    let set = Sql::new(&format!("SHOW {name}")).fetch(&mut paused).await.unwrap();
    assert_eq!(set[0].text(0).unwrap(), "1min");
    Sql::new(&format!("SET {name} = 100")).execute(&mut paused).await.unwrap();
    let mut transaction = crate::store::begin(&mut paused).await.unwrap();
    let update = |a: &str| Sql::new(&format!("UPDATE t SET a = '{a}'"));
    update("paused").execute(&mut transaction).await.unwrap();
    // It waits until the server has ended the other one, whose process does nothing.
    assert_eq!(update("next").execute(&mut next).await.unwrap(), 1);
    update("late").execute(&mut transaction).await.unwrap_err();
    drop(transaction);
    let found = Sql::new("SELECT a FROM t").fetch(&mut paused).await.unwrap();
    assert_eq!(found[0].text(0).unwrap(), "next", "it has another connection");
}

pub(super) async fn lose_connections(other: &mut PgConnection) {
    let text = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
        WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()";
    run(other, text.to_owned()).await.unwrap();
}

async fn a_transaction_begins_where_a_connection_was_lost(on: Kind) {
    let (place, settings) = settings(on).await;
    let (_database, mut writer) = table(&place).await;
    let mut other = connected(&settings).await;
    for round in 0..3 {
        lose_connections(&mut other).await;
        let mut transaction = begin(&mut writer).await.unwrap();
        let mut insert = Sql::new("INSERT INTO t (a) VALUES (");
        insert.bind(format!("{round}")).push(")");
        insert.execute(&mut transaction).await.unwrap();
        transaction.commit().await.unwrap();
    }
    assert_eq!(Sql::new("SELECT a FROM t").fetch(&mut writer).await.unwrap().len(), 3);
    // What was begun is lost, and is not taken for what is begun next.
    let mut transaction = begin(&mut writer).await.unwrap();
    lose_connections(&mut other).await;
    assert!(begin(&mut transaction).await.is_err());
    drop(transaction);
    begin(&mut writer).await.unwrap().commit().await.unwrap();
}

async fn whoever_is_cut_off_holds_nothing_for_long(on: Kind) {
    let (place, _) = settings(on).await;
    let (database, mut writer) = table(&place).await;
    let mut reader = database.place("test".to_owned()).connect(Access::Read).await.unwrap();
    for connection in [&mut writer, &mut reader] {
        for (setting, value) in [
            ("idle_in_transaction_session_timeout", "1min"),
            ("tcp_keepalives_idle", "30"),
            ("tcp_keepalives_interval", "10"),
            ("tcp_keepalives_count", "3"),
            ("tcp_user_timeout", "60000"),
        ] {
            let mut sql = Sql::new("SELECT current_setting(");
            sql.bind(setting).push(")");
            let shown = sql.fetch(connection).await.unwrap();
            assert_eq!(shown[0].text(0).unwrap(), value, "{setting}");
        }
    }
}
