//! Backups: what was acknowledged is there again in an installation that was empty.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Api, Installation, Ran};

/// All samples, and the part of them that has a person in it.
const SAMPLES: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/samples/org.yaml"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/samples/catalog-info.yaml"),
];

/// Every event of a tenant, what its catalog says, and what verifies its exports, in one value.
async fn everything(api: &Api) -> Value {
    let query = "{
        entities(first: 100) { totalCount nodes { id reference document etag revision changedAt } }
        audit(first: 100) { totalCount nodes { eventId sequence type at actor commandId body } }
    }";
    let said = api.graphql(query, Value::Null).await;
    json!({ "said": said, "keys": api.get("/api/v1/audit/keys").await })
}

/// Where the root key of `installation` is.
fn root_key(installation: &Installation) -> PathBuf {
    installation.folder().join("root.key")
}

/// Gives `to` the root key of `from`, as an operator does who kept a copy.
fn hand_over_root_key(from: &Installation, to: &Installation) {
    fs::create_dir_all(to.folder()).expect("a folder");
    fs::copy(root_key(from), root_key(to)).expect("a copy");
}

#[track_caller]
fn refused(ran: &Ran, with: &str) {
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains(with), "expected `{with}` in {}", ran.stderr);
}

/// Fills `from` with two tenants and answers what one of them sees, and its credential.
async fn fill(from: &Installation, api: impl Fn(&str) -> Api) -> (Value, String) {
    from.create_tenant("wheelhouse");
    from.create_tenant("boathouse");
    for tenant in ["wheelhouse", "boathouse"] {
        for samples in SAMPLES {
            from.run(&["import", samples, "--tenant", tenant]).text();
        }
    }
    let token = from.token("wheelhouse");
    (everything(&api(&token)).await, token)
}

/// Checks that `to` serves what was `before`, and goes on.
async fn goes_on(to: &Installation, before: &Value, token: &str) {
    let server = to.up().await;
    assert_eq!(&everything(&server.api(token)).await, before);
    for samples in SAMPLES {
        let ran = to.run(&["import", samples, "--tenant", "boathouse", "--json"]);
        let again = ran.json();
        assert_eq!((&again["created"], &again["updated"]), (&json!(0), &json!(0)), "{again}");
    }
    // What the directory decides still reaches the tenant.
    to.run(&["tenant", "suspend", "wheelhouse"]).text();
    to.create_tenant("lighthouse");
    server.stop().await;
}

fn backup_of(installation: &Installation) -> (PathBuf, String) {
    let folder = installation.home().join("backup");
    let path = folder.display().to_string();
    (folder, path)
}

#[tokio::test]
async fn a_backup_of_a_data_folder_is_restored_into_a_new_one() {
    let from = Installation::new().with("CALLBOARD_ENVIRONMENT", "production");
    let server = from.up().await;
    let (before, token) = fill(&from, |token| server.api(token)).await;
    let (folder, path) = backup_of(&from);
    refused(&from.run(&["backup", &path]), "in use");
    assert!(!folder.exists(), "who was refused leaves nothing");
    server.stop().await;
    let made = from.run(&["backup", &path, "--json"]).json();
    refused(&from.run(&["backup", &path]), "could not make the folder");
    let mode = fs::metadata(&folder).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o077, 0, "nobody else looks into a backup");

    let to = Installation::new().with("CALLBOARD_ENVIRONMENT", "production");
    refused(&to.run(&["restore", &path]), "put the root key");
    let other = Installation::new();
    other.up().await.stop().await;
    hand_over_root_key(&other, &to);
    refused(&to.run(&["restore", &path]), "does not open the backup");
    hand_over_root_key(&from, &to);
    assert_eq!(to.run(&["restore", &path, "--json"]).json(), made);
    refused(&to.run(&["restore", &path]), "is there already");
    goes_on(&to, &before, &token).await;
}

#[tokio::test]
async fn nothing_is_served_of_a_backup_that_was_restored_by_half() {
    let from = Installation::new();
    let server = from.up().await;
    fill(&from, |token| server.api(token)).await;
    server.stop().await;
    let (folder, path) = backup_of(&from);
    from.run(&["backup", &path]).text();
    damage(&folder.join("events-0"));

    let to = Installation::new();
    hand_over_root_key(&from, &to);
    refused(&to.run(&["restore", &path]), "is damaged");
    refused(&to.run(&["up"]), "a restore into this installation did not end");
    fs::remove_file(folder.join("backup.json")).expect("it is there");
    refused(&Installation::new().run(&["restore", &path]), "no finished backup");
}

/// Changes a byte in the middle.
fn damage(path: &Path) {
    let mut content = fs::read(path).expect("a file");
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(path, content).expect("a file");
}

mod on_kafka {
    use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
    use uuid::Uuid;

    use super::*;
    use crate::harness::{given_kafka, given_postgres};

    /// An installation with nothing on its own disk but the root key.
    async fn installation(bootstrap: &str, postgres: &str) -> Installation {
        let name = format!("backup_{}", Uuid::now_v7().simple());
        let mut connection = PgConnection::connect(postgres).await.expect("PostgreSQL runs");
        let text = AssertSqlSafe(format!("create database {name}"));
        sqlx::query(text).execute(&mut connection).await.expect("a database can be made");
        let (server, _) = postgres.rsplit_once('/').expect("an address names a database");
        Installation::new()
            .with("CALLBOARD_ENVIRONMENT", "production")
            .with("CALLBOARD_LOG_KIND", "kafka")
            .with("CALLBOARD_LOG_KAFKA_BOOTSTRAP", bootstrap)
            .with("CALLBOARD_LOG_KAFKA_PREFIX", format!("{name}."))
            .with("CALLBOARD_LOG_KAFKA_REPLICATION", "1")
            .with("CALLBOARD_STORAGE_READ_MODELS", "postgresql")
            .with("CALLBOARD_STORAGE_VAULT", "postgresql")
            .with("CALLBOARD_STORAGE_POSTGRESQL_URL", format!("{server}/{name}"))
    }

    #[tokio::test]
    async fn a_backup_made_while_it_is_served_is_restored_into_an_empty_cluster() {
        let Some((bootstrap, postgres)) = given_kafka().zip(given_postgres()) else { return };
        let from = installation(&bootstrap, &postgres).await;
        from.run(&["kafka", "init", "--partitions", "3"]).text();
        let server = from.up().await;
        let (before, token) = fill(&from, |token| server.api(token)).await;
        let (_, path) = backup_of(&from);
        let made = from.run(&["backup", &path, "--json"]).json();
        assert_eq!(made["records"].as_array().map(Vec::len), Some(3));
        from.create_tenant("afterwards");
        server.stop().await;

        let to = installation(&bootstrap, &postgres).await;
        hand_over_root_key(&from, &to);
        assert_eq!(to.run(&["restore", &path, "--json"]).json(), made);
        refused(&to.run(&["restore", &path]), "holds records");
        goes_on(&to, &before, &token).await;
        // Nor is anything restored into what was served, and nobody is told to remove it.
        let served = to.like();
        hand_over_root_key(&from, &served);
        refused(&served.run(&["restore", &path]), "holds records");
    }
}
