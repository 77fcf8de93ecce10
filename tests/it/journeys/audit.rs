//! Taking the audit trail away, losing a part of it on the way, and proving it to somebody who has nothing else.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::harness::{Api, Installation, Ran};

/// More than there are between two checkpoints, so that an export can break off behind one.
const EVENTS_MIN: usize = 4_500;

/// How many entities one command puts.
const BATCH: usize = 500;

const APPLY: &str = "mutation($changes: [EntityChangeInput!]!) {
    applyEntities(input: {changes: $changes}) { userErrors { code message } }
}";

fn text(path: &Path) -> &str {
    path.to_str().expect("the folder has a name that is text")
}

fn export(installation: &Installation, file: &Path, options: &[&str]) -> Ran {
    let run = ["audit", "export", "--json", "--tenant", "acme", "-o", text(file)];
    installation.run(&[&run, options].concat())
}

fn verify(elsewhere: &Installation, key: &str, file: &Path, options: &[&str]) -> Ran {
    let run = ["audit", "verify", "--json", text(file), "--vkey", key];
    elsewhere.run(&[&run, options].concat())
}

/// Puts `count` components that were not there.
async fn apply(api: &Api, batch: usize, count: usize) {
    let component = |number: usize| {
        json!({ "put": { "descriptor": {
            "apiVersion": "backstage.io/v1alpha1", "kind": "Component",
            "metadata": { "name": format!("c-{batch}-{number}") },
            "spec": { "type": "service", "lifecycle": "production", "owner": "group:default/all" },
        } } })
    };
    let changes: Vec<_> = (0..count).map(component).collect();
    let applied = api.graphql(APPLY, json!({ "changes": changes })).await;
    assert_eq!(applied["applyEntities"]["userErrors"], json!([]));
}

#[tokio::test]
async fn an_export_is_gone_on_with_and_verified_without_the_server() {
    let installation = Installation::new();
    let server = installation.up().await;
    installation.create_tenant("acme");
    let api = server.api(&installation.token("acme"));
    for batch in 0..EVENTS_MIN / BATCH {
        apply(&api, batch, BATCH).await;
    }
    let key = installation.run(&["audit", "keys", "--tenant", "acme"]).text();
    // Nothing of the installation is where files are verified.
    let elsewhere = Installation::new();
    let file = |name: &str| elsewhere.home().join(name);
    let (whole, part, later) = (file("whole.audit"), file("part.audit"), file("later.audit"));
    let exported = export(&installation, &whole, &[]).json();
    let last = exported["last"].as_u64().expect("a sequence");
    assert!(last > EVENTS_MIN as u64, "{exported}");
    let bytes = fs::read(&whole).expect("it was written");

    // In its first line, its header, its first event, halfway, behind the checkpoint and at the end.
    for at in [0, 9, 300, 2_000, bytes.len() / 2, bytes.len() - 9_000, bytes.len() - 1] {
        fs::write(&part, &bytes[..at]).expect("it can be written");
        assert_eq!(verify(&elsewhere, key.trim(), &part, &[]).code, 3, "cut at {at}");
        let resumed = export(&installation, &part, &[]);
        assert_eq!(resumed.code, 0, "{}", resumed.stderr);
        assert!(fs::read(&part).expect("it is there") == bytes, "cut at {at}");
    }
    let other = export(&installation, &part, &["--from", "2"]);
    assert_eq!(other.code, 2, "what is there is something else: {}", other.stderr);
    let notes = file("notes.txt");
    fs::write(&notes, "notes").expect("it can be written");
    assert_eq!(export(&installation, &notes, &[]).code, 2);
    assert_eq!(fs::read(&notes).expect("it is there"), b"notes", "it is left alone");

    apply(&api, EVENTS_MIN, 3).await;
    assert_eq!(export(&installation, &later, &[]).code, 0);
    server.stop().await;

    let verified = verify(&elsewhere, key.trim(), &later, &["--earlier", text(&whole)]).json();
    assert_eq!((&verified["last"], &verified["leftOut"]), (&json!(last + 3), &json!(0)));
    assert_eq!(
        (&verified["signed"], &verified["earlierIsBeginning"]),
        (&json!(true), &json!(true))
    );
    let name = b"c-7-123";
    let at = bytes.windows(name.len()).position(|it| it == name).expect("it is not encrypted here");
    let mut changed = bytes;
    changed[at] = b'd';
    fs::write(&part, &changed).expect("it can be written");
    let found = verify(&elsewhere, key.trim(), &part, &[]);
    assert_eq!((found.code, &found.json()["verified"]), (3, &json!(false)));
    assert_eq!(found.json()["from"], found.json()["to"], "the event is named: {}", found.stdout);
    independently(&later, key.trim(), &part);
}

/// Verifies one file and refuses another, by the program in `docs/examples`, where there is Python.
fn independently(good: &Path, key: &str, changed: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/verify_audit.py");
    let run = |file: &Path| Command::new("python3").args([&*script, file]).arg(key).output();
    let Ok(verified) = run(good) else { return };
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    let refused = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && said.contains("verified: "), "{said}{refused}");
    let refused = run(changed).expect("it was there before");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("the chain is broken"), "{said}");
}
