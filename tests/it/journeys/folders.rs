//! Data folders: who may open them, and what a restart keeps.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{Api, Installation, Server};

/// What the doors say of a tenant, in one value.
async fn everything(api: &Api) -> Value {
    let query = "{
        entities(first: 100) { totalCount nodes { id document etag revision changedAt } }
        audit(first: 100) { totalCount nodes { eventId sequence type at actor commandId body } }
    }";
    api.graphql(query, Value::Null).await
}

#[tokio::test]
async fn a_restart_keeps_everything_and_so_does_a_crash() {
    let installation = Installation::new();
    let mut server = installation.up().await;
    installation.create_tenant("keepers");
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/org.yaml");
    installation.run(&["import", samples, "--tenant", "keepers"]).text();
    let token = installation.token("keepers");
    let before = everything(&server.api(&token)).await;
    assert_eq!(before["entities"]["totalCount"], 5);

    server.stop().await;
    server = installation.up().await;
    assert_eq!(everything(&server.api(&token)).await, before);
    server.kill();
    server = installation.up().await;
    assert_eq!(everything(&server.api(&token)).await, before);

    let again = installation.run(&["import", samples, "--tenant", "keepers", "--json"]);
    assert_eq!(again.json()["unchanged"], 5, "{}", again.stdout);
    server.stop().await;
    let doctor = installation.run(&["doctor"]).text();
    assert!(doctor.contains("are whole"), "{doctor}");
}

#[tokio::test]
async fn a_folder_serves_one_process_at_a_time() {
    let installation = Installation::new();
    let server = installation.up().await;
    let second = installation
        .command(&["up", "--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts");
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("in use") || said.contains("another process"), "{said}");
    // The first is unharmed.
    installation.create_tenant("unharmed");
    server.stop().await;
}

#[tokio::test]
async fn a_demo_and_real_data_never_share_a_folder() {
    let real = Installation::new();
    real.up().await.stop().await;
    let refused = real.run(&["up", "--demo"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("not a demo's"), "{}", refused.stderr);

    let demo = Installation::new();
    Server::start(&demo, &["--demo"]).await.stop().await;
    let refused = demo.run(&["up"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("start it with --demo"), "{}", refused.stderr);

    let open = Installation::new();
    let refused = open.run(&["up", "--demo", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("not a loopback address"), "{}", refused.stderr);
}

#[tokio::test]
async fn no_door_but_health_is_open_without_a_credential() {
    let installation = Installation::new();
    let server = installation.up().await;
    let stranger = server.api("not-a-token");
    let health = server.url("/healthz");
    assert_eq!(
        stranger.send(outbound::Request::get(health)).await.expect("it answers").status,
        200
    );
    let asked = stranger.ask("{ entities { totalCount } }", &json!({})).await;
    assert_eq!(asked.expect("it answers").status, 401);
    for door in ["/api/v1/usage", "/api/v1/events", "/api/v1/projections", "/metrics"] {
        let answer = stranger.send(outbound::Request::get(server.url(door))).await;
        assert_eq!(answer.expect("it answers").status, 401, "{door}");
    }
    server.stop().await;
}

#[tokio::test]
async fn nobody_else_reads_what_is_kept_in_a_folder_that_others_may_list() {
    let installation = Installation::new();
    std::fs::create_dir(installation.folder()).expect("a folder can be made");
    let open = Permissions::from_mode(0o755);
    std::fs::set_permissions(installation.folder(), open).expect("it can be opened to others");
    let server = installation.up().await;
    installation.create_tenant("keepers");
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/org.yaml");
    installation.run(&["import", samples, "--tenant", "keepers"]).text();
    // With what SQLite puts beside its files while they are in use.
    let mut kinds = BTreeSet::new();
    check_private(&installation.folder(), &mut kinds);
    for kind in ["db", "db-wal", "db-shm", "segment", "key"] {
        assert!(kinds.contains(kind), "no {kind} in {kinds:?}");
    }
    server.stop().await;
    let copy = installation.home().join("copy").display().to_string();
    installation.run(&["backup", &copy]).text();
    check_private(&installation.home().join("copy"), &mut kinds);
}

/// Asserts that only the owner reads what is in `folder`; collects the endings of its files.
fn check_private(folder: &Path, kinds: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("it can be listed") {
        let entry = entry.expect("it can be listed");
        let path = entry.path();
        // What was temporary may be gone.
        let Ok(metadata) = entry.metadata() else { continue };
        let mode = metadata.permissions().mode() & 0o777;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            check_private(&path, kinds);
        } else {
            assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
            kinds.extend(path.extension().map(|it| it.to_string_lossy().into_owned()));
        }
    }
}

#[tokio::test]
async fn a_log_keeps_its_partitions_and_says_so_where_another_number_is_set() {
    let installation = Installation::new();
    installation.up().await.stop().await;
    let installation = installation.with("CALLBOARD_LOG_PARTITIONS", "3");
    installation.up().await.stop().await;
    let said = std::fs::read_to_string(installation.home().join("server.log")).expect("a log");
    assert_eq!(said.matches("keeps the number of partitions").count(), 1, "{said}");
}

#[tokio::test]
async fn what_is_lost_or_damaged_is_named_with_what_to_do() {
    let installation = Installation::new();
    let before = installation.run(&["doctor"]).text();
    assert!(before.contains("none yet") && before.contains("disk"), "{before}");
    let server = installation.up().await;
    installation.create_tenant("keepers");
    server.stop().await;
    let said = std::fs::read_to_string(installation.home().join("server.log")).expect("a log");
    assert!(!said.contains('\u{1b}'), "no colours where nobody sees them: {said}");

    let models = installation.folder().join("models");
    let model = std::fs::read_dir(&models).expect("it can be listed").flatten().map(|it| it.path());
    let model = model.filter(|it| it.extension().is_some_and(|it| it == "db")).min();
    let model = model.expect("there is a read model");
    std::fs::write(&model, "no database".repeat(1_000)).expect("it can be damaged");
    let doctor = installation.run(&["doctor"]);
    assert_eq!(doctor.code, 3, "{}", doctor.stdout);
    assert!(doctor.stdout.contains("is no database; delete it"), "{}", doctor.stdout);
    let refused = installation.run(&["up"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("is no database; delete it"), "{}", refused.stderr);
    for ending in ["", "-wal", "-shm"] {
        let file = format!("{}{ending}", model.display());
        let removed = std::fs::remove_file(&file);
        assert!(removed.is_ok() || !ending.is_empty(), "{file}");
    }
    installation.up().await.stop().await;

    let key = installation.folder().join("root.key");
    let kept = installation.home().join("kept.key");
    std::fs::rename(&key, &kept).expect("it can be lost");
    for command in [["up"], ["doctor"]] {
        let refused = installation.run(&command);
        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert_ne!(refused.code, 0, "{said}");
        assert!(said.contains("root.key` is missing") && !key.exists(), "{said}");
    }
    std::fs::rename(&kept, &key).expect("it can be found");
    installation.up().await.stop().await;

    let vault = installation.folder().join("vault.db");
    let kept = installation.home().join("kept.db");
    assert!(
        !vault.with_extension("db-wal").exists(),
        "who stops leaves the whole vault in its file"
    );
    std::fs::rename(&vault, &kept).expect("it can be lost");
    let doctor = installation.run(&["doctor"]);
    assert_eq!(doctor.code, 3, "{}", doctor.stdout);
    assert!(doctor.stdout.contains("there is none, but a log"), "{}", doctor.stdout);
    assert!(!vault.exists(), "looking makes none");
}
