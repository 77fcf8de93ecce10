use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::id::SubjectId;
use sqlx::sqlite::SqlitePool;
use uuid::Uuid;

use super::{CONNECTIONS_MAX, SqliteVault};
use crate::conformance::ACME;
use crate::port::{BlobName, Blobs, CursorName, Cursors, Hold, KeyName, Keys, Slot, Wrapped};

/// A vault and the folder that holds it, removed at the end.
#[derive(Debug)]
struct Temporary {
    vault: SqliteVault,
    folder: tempfile::TempDir,
}

async fn temporary() -> Temporary {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path()).await;
    Temporary { vault, folder }
}

async fn open(folder: &Path) -> SqliteVault {
    SqliteVault::open(&folder.join("vault.db")).await.unwrap()
}

mod contract {
    crate::conformance::conformance_tests!({
        let super::Temporary { vault, folder } = super::temporary().await;
        (std::sync::Arc::new(vault), folder)
    });
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let temporary = temporary().await;
    let vault = &temporary.vault;
    let subject = SubjectId(Uuid::from_u128(7));
    let names = [KeyName::Tenant(ACME), KeyName::Subject(ACME, subject)];
    vault.get_or_create(&names.map(|it| (it, Wrapped(vec![9; 61])))).await.unwrap();
    vault.destroy_subject(ACME, subject).await.unwrap();
    let cursor = CursorName { tenant: ACME, name: "tail".into() };
    vault.advance(&cursor, None, "41").await.unwrap();
    vault.close().await;

    let vault = open(temporary.folder.path()).await;
    let slots = Keys::get(&vault, &names).await.unwrap();
    assert_eq!(slots, [Some(Slot::Held(Wrapped(vec![9; 61]))), Some(Slot::Destroyed)]);
    let again = vault.get_or_create(&[(names[1], Wrapped(vec![8; 61]))]).await.unwrap();
    assert_eq!(again, [Slot::Destroyed]);
    assert_eq!(Cursors::get(&vault, &cursor).await.unwrap().as_deref(), Some("41"));
}

#[tokio::test]
async fn a_file_that_is_missing_beside_its_journal_is_not_made_anew() {
    let temporary = temporary().await;
    let name = [(KeyName::Tenant(ACME), Wrapped(vec![9; 61]))];
    temporary.vault.get_or_create(&name).await.unwrap();
    // As whoever was killed leaves it: what was written last is in the journal only.
    let killed = tempfile::tempdir().unwrap();
    for it in std::fs::read_dir(temporary.folder.path()).unwrap() {
        let it = it.unwrap();
        std::fs::copy(it.path(), killed.path().join(it.file_name())).unwrap();
    }
    let (path, aside) = (killed.path().join("vault.db"), killed.path().join("aside"));
    assert!(killed.path().join("vault.db-wal").exists());
    std::fs::rename(&path, &aside).unwrap();
    let refused = SqliteVault::open(&path).await.unwrap_err();
    let reason = std::error::Error::source(&refused).unwrap().to_string();
    assert!(reason.contains("put it back"), "{reason}");
    assert!(!path.exists(), "who was refused leaves nothing");
    std::fs::rename(&aside, &path).unwrap();
    let vault = open(killed.path()).await;
    let held = Some(Slot::Held(name[0].1.clone()));
    assert_eq!(Keys::get(&vault, &[name[0].0]).await.unwrap(), [held]);
}

/// Sets for every connection how large the file may become.
async fn limit_pages(pool: &SqlitePool, pragma: &'static str) {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut connection = pool.acquire().await.unwrap();
        sqlx::query(pragma).execute(&mut *connection).await.unwrap();
        connections.push(connection);
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_what_comes_when_there_is_room_is_kept() {
    let temporary = temporary().await;
    let vault = &temporary.vault;
    limit_pages(&vault.blobs, "pragma max_page_count = 8").await;
    let name = |hash| BlobName { hash: [hash; 32], length: 100_000 };
    let put = |hash| vault.put(ACME, name(hash), vec![hash; 100_000].into(), Hold::random());
    put(1).await.unwrap_err();
    limit_pages(&vault.blobs, "pragma max_page_count = 1000000").await;
    put(2).await.unwrap();

    let beside = open(temporary.folder.path()).await;
    assert_eq!(Blobs::get(&beside, ACME, name(1)).await.unwrap(), None);
    assert_eq!(Blobs::get(&beside, ACME, name(2)).await.unwrap().unwrap()[..], [2; 100_000]);
}

/// The keys of subjects with these numbers, of which the last cannot be removed while it is held.
async fn hold_last(vault: &SqliteVault, numbers: std::ops::RangeInclusive<u128>) {
    let id = |it: u128| Uuid::from_u128(it);
    let last = *numbers.end();
    let candidates: Vec<_> = numbers
        .map(|it| (KeyName::Subject(ACME, SubjectId(id(it))), Wrapped(vec![9; 61])))
        .collect();
    vault.get_or_create(&candidates).await.unwrap();
    let held = format!(
        "create trigger held before delete on keys when hex(old.id) = '{:X}'
         begin select raise(abort, 'held'); end",
        id(last).simple()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(held)).execute(&vault.pool).await.unwrap();
}

#[tokio::test]
async fn a_tenant_with_more_keys_than_go_at_once_is_erased_bit_by_bit() {
    let temporary = temporary().await;
    let vault = &temporary.vault;
    hold_last(vault, 1..=25_000).await;
    let left = async || {
        let left = "select count(*) from keys where wrapped is not null";
        sqlx::query_scalar::<_, i64>(left).fetch_one(&vault.pool).await.unwrap()
    };
    vault.destroy_tenant(ACME).await.unwrap_err();
    assert_eq!(left().await, 5_000, "what went before stays gone");
    let names = [1, 25_000].map(|it| KeyName::Subject(ACME, SubjectId(Uuid::from_u128(it))));
    let gone = [Some(Slot::Destroyed), Some(Slot::Destroyed)];
    assert_eq!(Keys::get(vault, &names).await.unwrap(), gone);
    sqlx::raw_sql("drop trigger held").execute(&vault.pool).await.unwrap();
    vault.destroy_tenant(ACME).await.expect("it goes on");
    assert_eq!(left().await, 0);
}

/// Two vaults on one file, as of two processes.
#[tokio::test]
async fn two_connections_creating_the_same_keys_agree() {
    let temporary = temporary().await;
    let vaults = [Arc::new(open(temporary.folder.path()).await), Arc::new(temporary.vault)];
    for round in 0..20_u128 {
        let names: Vec<_> = (0..8)
            .map(|it| KeyName::Subject(ACME, SubjectId(Uuid::from_u128(round << 64 | it))))
            .collect();
        let creators = [0_u8, 1, 2, 3].map(|creator| {
            let vault = Arc::clone(&vaults[usize::from(creator % 2)]);
            let candidates: Vec<_> =
                names.iter().map(|it| (*it, Wrapped(vec![creator; 61]))).collect();
            tokio::spawn(async move { vault.get_or_create(&candidates).await.unwrap() })
        });
        let slots = futures::future::join_all(creators).await;
        let slots: Vec<_> = slots.into_iter().map(Result::unwrap).collect();
        assert!(slots.iter().all(|it| *it == slots[0]), "{slots:?}");
    }
}

#[tokio::test]
async fn its_files_are_for_its_owner_only() {
    let temporary = temporary().await;
    let subject = SubjectId(Uuid::from_u128(7));
    temporary.vault.destroy_subject(ACME, subject).await.unwrap();
    let mut files = 0;
    for file in std::fs::read_dir(temporary.folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file:?}");
        files += 1;
    }
    assert!(files >= 2, "the vault and its write-ahead log");
}

#[tokio::test]
async fn a_destroyed_key_leaves_no_bytes_behind() {
    let temporary = temporary().await;
    let subjects: Vec<_> = (0..100).map(|it| SubjectId(Uuid::from_u128(it))).collect();
    let mark = |it: usize| format!("wrapped key number {it:05}").into_bytes();
    let candidates: Vec<_> = subjects
        .iter()
        .enumerate()
        .map(|(it, subject)| (KeyName::Subject(ACME, *subject), Wrapped(mark(it))))
        .collect();
    temporary.vault.get_or_create(&candidates).await.unwrap();
    let found = |it: usize| {
        let files = std::fs::read_dir(temporary.folder.path()).unwrap();
        let mut contents = files.map(|it| std::fs::read(it.unwrap().path()).unwrap());
        contents.any(|content| content.windows(mark(it).len()).any(|window| window == mark(it)))
    };
    // The positive control: before, the search finds it.
    assert!(found(42));
    temporary.vault.destroy_subject(ACME, subjects[42]).await.unwrap();
    assert!(!found(42));
    assert!(found(43));
    temporary.vault.destroy_tenant(ACME).await.unwrap();
    assert!(!found(43));
}

#[tokio::test]
async fn a_destruction_that_cannot_wipe_the_bytes_says_so() {
    let temporary = temporary().await;
    let path = temporary.folder.path().join("vault.db");
    let vault = SqliteVault::open_waiting(&path, Duration::from_millis(50)).await.unwrap();
    let subject = SubjectId(Uuid::from_u128(7));
    let name = KeyName::Subject(ACME, subject);
    vault.get_or_create(&[(name, Wrapped(vec![9; 61]))]).await.unwrap();

    let mut reading = temporary.vault.pool.begin().await.unwrap();
    sqlx::query("select * from keys").fetch_all(&mut *reading).await.unwrap();
    assert!(vault.destroy_subject(ACME, subject).await.is_err());
    assert_eq!(Keys::get(&vault, &[name]).await.unwrap(), [Some(Slot::Destroyed)]);
    reading.rollback().await.unwrap();
    vault.destroy_subject(ACME, subject).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_vault_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vault.db"), [b'x'; 4096]).unwrap();
    let error = SqliteVault::open(&folder.path().join("vault.db")).await.unwrap_err();
    assert!(error.to_string().starts_with("the vault failed while "), "{error}");
}

#[tokio::test]
async fn a_large_blob_comes_back() {
    let temporary = temporary().await;
    let content = bytes::Bytes::from(vec![7; crate::BLOB_BYTES_MAX + 28]);
    let name = crate::BlobName { hash: [1; 32], length: 1 };
    temporary.vault.put(ACME, name, content.clone(), Hold::random()).await.unwrap();
    assert_eq!(Blobs::get(&temporary.vault, ACME, name).await.unwrap(), Some(content));
}
