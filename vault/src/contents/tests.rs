use bytes::Bytes;
use chrono::DateTime;
use domain::id::{SubjectId, TenantId};

use super::*;
use crate::conformance::{ACME, GLOBEX};
use crate::port::{
    BlobName, Blobs, Change, Committed, CursorName, Cursors, Hold, KeyName, Keys, Record,
    RecordKind, RecordName, Records, Version, Wrapped,
};
use crate::temporary::TemporaryDatabase;

/// More keys than are read at a time.
const SUBJECTS: u128 = 1_203;

const CONTENT: BlobName = BlobName { hash: [7; 32], length: 3 };

/// A record, which ends or not.
fn record(number: u8, ends_at: Option<i64>) -> (RecordName, Record) {
    let name = RecordName { tenant: ACME, kind: RecordKind::Account, digest: [number; 32] };
    let ends_at = ends_at.map(|it| DateTime::from_timestamp_micros(it).unwrap());
    // As large as a version may be, which no database has a type for.
    let version = Version(u64::MAX - u64::from(number));
    (name, Record { version, ends_at, sealed: Bytes::from_static(b"sealed") })
}

fn stored_records() -> [(RecordName, Record); 2] {
    [record(1, None), record(2, Some(4_000_000_000_000_001))]
}

async fn sqlite(folder: &tempfile::TempDir, name: &str) -> SqliteVault {
    SqliteVault::open(&folder.path().join(name)).await.unwrap()
}

async fn fill(vault: &(impl Keys + Cursors + Blobs + Records)) {
    let subject = |it| KeyName::Subject(ACME, SubjectId(Uuid::from_u128(it)));
    let tenants = [KeyName::Tenant(ACME), KeyName::Tenant(GLOBEX)];
    let names = (1..=SUBJECTS).map(subject).chain(tenants);
    let candidates: Vec<_> = names.map(|it| (it, Wrapped(vec![9; 61]))).collect();
    vault.get_or_create(&candidates).await.unwrap();
    vault.destroy_subject(ACME, SubjectId(Uuid::from_u128(5))).await.unwrap();
    vault.destroy_tenant(GLOBEX).await.unwrap();
    for tenant in [TenantId::SYSTEM, ACME] {
        let cursor = CursorName { tenant, name: "tail".into() };
        vault.advance(&cursor, None, "41").await.unwrap();
    }
    let hold = Hold::random();
    vault.put(ACME, CONTENT, Bytes::from_static(b"sealed"), hold).await.unwrap();
    vault.keep(ACME, hold).await.unwrap();
    let added = stored_records().map(|(name, record)| Change::Add(name, record));
    assert_eq!(vault.commit(&added, DateTime::UNIX_EPOCH).await.unwrap(), Committed::Whole);
}

/// A vault that took a copy has the records in the same state.
async fn assert_has_records(vault: &impl Records) {
    let (names, records): (Vec<_>, Vec<_>) = stored_records().into_iter().unzip();
    let found = vault.get(&names, DateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!(found, records.into_iter().map(Some).collect::<Vec<_>>());
}

async fn all(vault: &dyn Contents) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let next = vault.rows_after(rows.last()).await.unwrap();
        if next.is_empty() {
            break;
        }
        rows.extend(next);
    }
    let take = &mut |records| {
        rows.extend(records);
        ControlFlow::Continue(())
    };
    vault.each_record(take).await.unwrap();
    rows
}

async fn copy(from: &dyn Contents, to: &dyn Contents) {
    assert!(to.is_new().await.unwrap());
    let rows = all(from).await;
    to.take_back(&rows).await.unwrap();
    assert_eq!(all(to).await, rows);
    assert!(!to.is_new().await.unwrap());
    assert!(to.take_back(&rows[..1]).await.is_err(), "it holds that already");
    assert_eq!(all(to).await, rows, "what was refused left nothing");
}

fn assert_complete(rows: &[Row]) {
    let subjects = usize::try_from(SUBJECTS).unwrap();
    // Of the tenant that was destroyed, that there was one.
    assert_eq!(rows.len(), subjects + 2 + 2 + 1 + 2);
    let destroyed = |it: &&Row| matches!(it, Row::Key { wrapped: None, .. });
    assert_eq!(rows.iter().filter(destroyed).count(), 2);
}

#[tokio::test]
async fn a_copy_holds_every_row_and_is_taken_once() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (sqlite(&folder, "from.db").await, sqlite(&folder, "to.db").await);
    fill(&from).await;
    assert_complete(&all(&from).await);
    copy(&from, &to).await;
    let sealed = Blobs::get(&to, ACME, CONTENT).await.unwrap();
    assert_eq!(sealed, Some(Bytes::from_static(b"sealed")));
    assert_has_records(&to).await;
}

/// How many records there are: more than are read at a time.
const MANY: u32 = 1_201;

/// What is copied of many records which are all replaced once the first of them were read.
async fn copied_during_a_change(vault: &(impl Records + Contents + Clone + 'static)) -> Vec<i64> {
    let name = |it: u32| RecordName {
        tenant: ACME,
        kind: RecordKind::Account,
        digest: std::array::from_fn(|at| it.to_be_bytes().get(at).copied().unwrap_or_default()),
    };
    let stored = |version| {
        let sealed = Bytes::from_static(b"sealed");
        Record { version: Version(version), ends_at: None, sealed }
    };
    let made: Vec<_> = (0..MANY).map(|it| Change::Add(name(it), stored(1))).collect();
    assert_eq!(vault.commit(&made, DateTime::UNIX_EPOCH).await.unwrap(), Committed::Whole);
    let (begun, begins) = std::sync::mpsc::channel();
    let (changed, changes) = std::sync::mpsc::channel::<()>();
    let (changing, runtime) = (vault.clone(), tokio::runtime::Handle::current());
    // Elsewhere, for the copy keeps its thread until then.
    let changing = std::thread::spawn(move || {
        begins.recv().unwrap();
        let anew = |it| Change::Replace(name(it), Version(1), stored(2));
        let anew: Vec<_> = (0..MANY).map(anew).collect();
        let done = runtime.block_on(changing.commit(&anew, DateTime::UNIX_EPOCH)).unwrap();
        assert_eq!(done, Committed::Whole);
        changed.send(()).unwrap();
    });
    let mut versions = Vec::new();
    let found = &mut versions;
    let take = &mut move |records: Vec<Row>| {
        if found.is_empty() {
            begun.send(()).unwrap();
            changes.recv().unwrap();
        }
        found.extend(records.iter().map(|it| match it {
            Row::Record { version, .. } => *version,
            other => panic!("{other:?}"),
        }));
        ControlFlow::Continue(())
    };
    vault.each_record(take).await.unwrap();
    changing.join().unwrap();
    versions
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_copied_as_they_were_at_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let vault = sqlite(&folder, "vault.db").await;
    let versions = copied_during_a_change(&vault).await;
    assert_eq!((versions.len(), versions.iter().all(|it| *it == 1)), (MANY as usize, true));
}

mod on_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn records_are_copied_as_they_were_at_one_moment() {
        if !TemporaryDatabase::can_be_made() {
            return;
        }
        let database = TemporaryDatabase::make().await;
        let vault = PostgresVault::open(database.url(), 4).await.unwrap();
        let versions = copied_during_a_change(&vault).await;
        assert_eq!((versions.len(), versions.iter().all(|it| *it == 1)), (MANY as usize, true));
    }

    #[tokio::test]
    async fn a_copy_moves_from_one_database_to_the_other() {
        if !TemporaryDatabase::can_be_made() {
            return;
        }
        let (folder, database) = (tempfile::tempdir().unwrap(), TemporaryDatabase::make().await);
        let postgres = PostgresVault::open(database.url(), 4).await.unwrap();
        let (from, back) = (sqlite(&folder, "from.db").await, sqlite(&folder, "back.db").await);
        fill(&from).await;
        copy(&from, &postgres).await;
        copy(&postgres, &back).await;
        assert_complete(&all(&back).await);
        assert_has_records(&postgres).await;
        assert_has_records(&back).await;
    }
}
