//! A server that is stopped: it has connections, takes new ones, and says nothing.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::id::SubjectId;
use futures::future::{BoxFuture, FutureExt as _, TryFutureExt as _, join_all};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;
use xtask::services::postgres::{Binaries, Server};
use xtask::services::{Purpose, Way};

use crate::conformance::{ACME, GLOBEX};
use crate::port::{
    BlobName, Blobs, Change, CursorName, Cursors, Hold, KeyName, Keys, RecordKind, RecordName,
    Records, VaultError, Version, Wrapped,
};
use crate::temporary::TemporaryDatabase;
use crate::{Contents, Keyring, KeyringError, PostgresVault, Root};

/// The longest that a test waits for what is to end by itself. In seconds: 120, several times the
/// longest bound, for a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many connections the vault has.
const CONNECTIONS: u32 = 2;

const BLOB: BlobName = BlobName { hash: [7; 32], length: 3 };

async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| panic!("{what} does not end"))
}

pub(super) async fn keyring(vault: &Arc<PostgresVault>) -> Result<Keyring, KeyringError> {
    Keyring::open(vault.clone(), Root::from_bytes(&[1; 32].into())).await
}

/// A server of this test's own, and a vault on it.
pub(super) async fn served() -> Option<(Server, Arc<PostgresVault>)> {
    if !TemporaryDatabase::can_be_made() {
        return None;
    }
    let binaries = Binaries::find().expect("it is installed where its tests run");
    let starting = tokio::task::spawn_blocking(move || Server::start(&binaries, Purpose::Tests));
    let server = starting.await.unwrap().unwrap();
    let vault = PostgresVault::open(&server.url(), CONNECTIONS).await.unwrap();
    Some((server, Arc::new(vault)))
}

/// What became of everything that a vault can be asked, by its name.
async fn everything(vault: &PostgresVault) -> Vec<(&'static str, Result<(), VaultError>)> {
    let subject = SubjectId(Uuid::from_u128(7));
    let candidates = [(KeyName::Subject(ACME, subject), Wrapped(vec![9; 61]))];
    let (cursor, hold) = (CursorName { tenant: ACME, name: "tail".into() }, Hold::random());
    let content = Bytes::from_static(b"abc");
    let (names, now) = ([candidates[0].0], chrono::DateTime::UNIX_EPOCH);
    let records = [RecordName { tenant: ACME, kind: RecordKind::Account, digest: [7; 32] }];
    let changes = [Change::Remove(records[0], Version(1))];
    let mut nothing = |_| ControlFlow::Continue(());
    let calls: [(_, BoxFuture<'_, Result<(), VaultError>>); 17] = [
        ("reading keys", Keys::get(vault, &names).map_ok(drop).boxed()),
        ("making keys", vault.get_or_create(&candidates).map_ok(drop).boxed()),
        ("destroying a subject", vault.destroy_subject(ACME, subject)),
        ("destroying a tenant", vault.destroy_tenant(GLOBEX)),
        ("storing a blob", vault.put(ACME, BLOB, content, hold)),
        ("keeping blobs", vault.keep(ACME, hold)),
        ("releasing blobs", vault.release(ACME, hold)),
        ("reading a blob", Blobs::get(vault, ACME, BLOB).map_ok(drop).boxed()),
        ("removing blobs", Blobs::remove_tenant(vault, GLOBEX)),
        ("reading a cursor", Cursors::get(vault, &cursor).map_ok(drop).boxed()),
        ("moving a cursor", vault.advance(&cursor, Some("1"), "1").map_ok(drop).boxed()),
        ("reading records", Records::get(vault, &records, now).map_ok(drop).boxed()),
        ("changing records", vault.commit(&changes, now).map_ok(drop).boxed()),
        ("removing what ended", vault.purge(now).map_ok(drop).boxed()),
        ("removing records", Records::remove_tenant(vault, GLOBEX)),
        ("copying rows", vault.rows_after(None).map_ok(drop).boxed()),
        ("copying records", vault.each_record(&mut nothing)),
    ];
    join_all(calls.map(async |(what, call)| (what, call.await))).await
}

/// Fails unless the server says something to everything; to whoever makes a key while another one is
/// destroyed that may be to ask again.
async fn everything_is_answered(vault: &PostgresVault) {
    for (what, done) in everything(vault).await {
        let is_answered = done.as_ref().err().is_none_or(VaultError::is_held);
        assert!(is_answered, "{what}: {done:?}");
    }
}

#[tokio::test]
async fn nobody_waits_for_ever_for_a_server_that_is_stopped() {
    let Some((server, vault)) = served().await else { return };
    let known = keyring(&vault).await.unwrap();
    known.tenant(ACME).await.unwrap();
    // The control: as long as it runs, everything is answered.
    everything_is_answered(&vault).await;
    let fresh = keyring(&vault).await.unwrap();

    let paused = server.pause().unwrap();
    known.tenant(ACME).await.expect("nobody is asked for what is in memory");
    let asked = soon("a call", async {
        let url = server.url();
        let opened = PostgresVault::open(&url, CONNECTIONS);
        tokio::join!(fresh.tenant(ACME), everything(&vault), opened)
    });
    let (key, calls, opened) = asked.await;
    let error = key.unwrap_err();
    assert!(error.is_away(), "{error:?}");
    let KeyringError::Vault(said) = &error else { panic!("{error:?}") };
    let (said, cause) = (said.to_string(), said.source.to_string());
    assert_eq!(said, "the vault failed while reading keys");
    assert!(cause.contains("it did not answer in 10 s"), "{cause}");
    for (what, done) in calls {
        let error = done.expect_err(what);
        assert!(error.is_away(), "{what}: {error:?}");
    }
    assert!(opened.unwrap_err().is_away());

    drop(paused);
    // Nobody gets the answer of somebody else.
    soon("coming back", async {
        while fresh.tenant(ACME).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    everything_is_answered(&vault).await;
}

#[tokio::test]
async fn a_connection_that_was_cut_takes_no_room_from_those_that_come_after_it() {
    if !TemporaryDatabase::can_be_made() {
        return;
    }
    let database = TemporaryDatabase::make().await;
    let known: PgConnectOptions = database.url().parse().unwrap();
    let server = format!("{}:{}", known.get_host(), known.get_port());
    let way = Way::to(server.parse().unwrap()).unwrap();
    let url = database.url().replacen(&server, &way.address().to_string(), 1);
    let vault = Arc::new(PostgresVault::open(&url, 1).await.unwrap());
    let fresh = keyring(&vault).await.unwrap();
    fresh.tenant(ACME).await.unwrap();

    // It is cut off while the server works for it.
    let mut holder = known.connect().await.unwrap();
    let hold = "begin; lock table callboard_vault.keys in access exclusive mode";
    sqlx::raw_sql(hold).execute(&mut holder).await.unwrap();
    let waiting = tokio::spawn({
        let fresh = fresh.clone();
        async move { fresh.tenant(GLOBEX).await.map(drop) }
    });
    let waits = "select exists (select from pg_locks join pg_database d on d.oid = database
        where datname = current_database() and not granted)";
    soon("waiting", async {
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut holder).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(way.cut() > 0);
    let error = soon("a key", waiting).await.unwrap().unwrap_err();
    assert!(error.is_away(), "{error:?}");
    sqlx::raw_sql("rollback").execute(&mut holder).await.unwrap();
    soon("a key", fresh.tenant(GLOBEX)).await.expect("the next one has a connection of its own");
}
