//! Vaults belong to logs: no process starts with the keys of another installation, or with none.

use std::fs;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use uuid::Uuid;

use crate::harness::{Installation, PATIENCE, Server, database, given_postgres};

const NEW: &str = "the vault is new, but the log";
const FOREIGN: &str = "but this is the log";

/// Starts a server that ends, since it is `refused`.
async fn ends(installation: &Installation, refused: &str) {
    let mut server = Server::begin(installation, &[]);
    let became_ready = tokio::time::timeout(PATIENCE, server.ready_or_ended()).await;
    let log = installation.home().join("server.log");
    let log = fs::read_to_string(log).expect("it has a log");
    assert_eq!(became_ready, Ok(false), "it ends: {log}");
    assert!(log.contains(refused), "expected `{refused}` in {log}");
    assert!(log.contains("storage.*"), "it says what to do: {log}");
}

/// Tries to make a backup, which is `refused`.
fn backs_nothing_up(installation: &Installation, refused: &str) {
    let to = installation.home().join("backup");
    let ran = installation.run(&["backup", &to.display().to_string()]);
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    assert!(ran.stderr.contains(refused), "expected `{refused}` in {}", ran.stderr);
    assert!(!to.exists(), "who was refused leaves nothing");
}

/// Takes the vault, and the root key that opens it, from one folder to another.
fn take(from: &Installation, to: &Installation) {
    for name in ["vault.db", "vault.db-wal", "vault.db-shm", "root.key"] {
        let _ = fs::remove_file(to.folder().join(name));
        let (from, to) = (from.folder().join(name), to.folder().join(name));
        if from.exists() {
            fs::rename(from, to).expect("it can be moved");
        }
    }
}

#[tokio::test]
async fn a_data_folder_serves_with_its_own_vault_only() {
    let (ours, theirs, aside) = (Installation::new(), Installation::new(), Installation::new());
    for it in [&ours, &theirs] {
        let server = it.up().await;
        it.create_tenant("keepers");
        server.stop().await;
    }
    fs::create_dir(aside.folder()).expect("a folder can be made");

    take(&ours, &aside);
    backs_nothing_up(&ours, NEW);
    ends(&ours, NEW).await;
    // Whoever asks for a token is told, and makes no keys.
    let asked = ours.run(&["token", "--tenant", "ten_00000000000000000000000000000000"]);
    assert_ne!(asked.code, 0, "{}", asked.stdout);
    assert!(asked.stderr.contains("the system tenant has no key"), "{}", asked.stderr);
    ends(&ours, NEW).await;
    take(&theirs, &ours);
    backs_nothing_up(&ours, FOREIGN);
    ends(&ours, FOREIGN).await;
    take(&aside, &ours);
    ours.up().await.stop().await;

    // As an earlier version has left it, which did not say whose it is.
    let forget = async || {
        let vault = SqliteConnectOptions::new().filename(ours.folder().join("vault.db"));
        let mut vault = vault.connect().await.expect("it can be opened");
        let forget = sqlx::query("delete from cursors where name = 'log'");
        let forgotten = forget.execute(&mut vault).await.expect("it obeys").rows_affected();
        vault.close().await.expect("it can be closed");
        forgotten
    };
    assert_eq!(forget().await, 1);
    ours.up().await.stop().await;
    assert_eq!(forget().await, 1, "it was said again");
}

mod on_postgres {
    use super::*;

    #[tokio::test]
    async fn a_log_is_served_with_its_own_vault_only() {
        let Some(postgres) = given_postgres() else { return };
        let vault =
            async || database(&postgres, &format!("vault_{}", Uuid::now_v7().simple())).await;
        let with = |installation: Installation, vault: &str| {
            installation
                .with("CALLBOARD_STORAGE_VAULT", "postgresql")
                .with("CALLBOARD_STORAGE_POSTGRESQL_URL", vault)
        };
        let (own, other) = (vault().await, vault().await);
        let ours = with(Installation::new(), &own);
        let server = ours.up().await;
        ours.create_tenant("keepers");
        server.stop().await;

        let ours = with(ours, &other);
        ends(&ours, NEW).await;
        // One of its own, to which the same root key was given.
        let theirs = with(Installation::new(), &own);
        fs::create_dir(theirs.folder()).expect("a folder can be made");
        fs::copy(ours.folder().join("root.key"), theirs.folder().join("root.key"))
            .expect("it can be copied");
        ends(&theirs, FOREIGN).await;
        with(ours, &own).up().await.stop().await;
    }
}
