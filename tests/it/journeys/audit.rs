//! Taking the audit trail away, losing a part of it on the way, and proving it to somebody who has nothing else.

use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::harness::{Api, Installation, Ran};

/// More than there are between two checkpoints, so that an export can break off behind one.
const EVENTS_MIN: usize = 4_500;

/// How many entities one command puts.
const BATCH: usize = 500;

/// More than the end of an export has, which says when it was signed. In bytes.
const END: usize = 1_000;

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
    // Each export is itself an event of what the next one without an end has.
    let newest = export(&installation, &file("first.audit"), &[]).json()["last"].to_string();
    let upto = ["--to", &newest];
    let exported = export(&installation, &whole, &upto).json();
    let last = exported["last"].as_u64().expect("a sequence");
    assert!(last > EVENTS_MIN as u64, "{exported}");
    let bytes = fs::read(&whole).expect("it was written");

    // In its first line, its header, its first event, halfway, behind the checkpoint and at the end.
    for at in [0, 9, 300, 2_000, bytes.len() / 2, bytes.len() - 9_000, bytes.len() - 1] {
        fs::write(&part, &bytes[..at]).expect("it can be written");
        assert_eq!(verify(&elsewhere, key.trim(), &part, &[]).code, 3, "cut at {at}");
        let resumed = export(&installation, &part, &upto);
        assert_eq!(resumed.code, 0, "{}", resumed.stderr);
        // The end says when it was signed.
        let (again, length) = (fs::read(&part).expect("it is there"), bytes.len());
        assert!(again[..length - END] == bytes[..length - END], "cut at {at}");
        assert_eq!(verify(&elsewhere, key.trim(), &part, &[]).code, 0, "cut at {at}");
    }
    let whole_already = export(&installation, &part, &upto).json();
    assert_eq!((&whole_already["fetched"], &exported["fetched"]), (&json!(false), &json!(true)));
    fs::write(&part, [&*bytes, b"E\0"].concat()).expect("it can be written");
    assert_eq!(export(&installation, &part, &upto).code, 3, "something follows the end");
    fs::write(&part, &bytes[..9]).expect("it can be written");
    let other_run = File::options().write(true).open(&part).expect("it is there");
    other_run.lock().expect("nobody has it");
    assert_eq!(export(&installation, &part, &upto).code, 2, "somebody else goes on with it");
    drop(other_run);
    fs::write(&part, &bytes).expect("it can be written");
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
    assert_eq!(verified["leftOut"], json!(0));
    let later_last = verified["last"].as_u64().expect("a sequence");
    assert!(later_last > last + 3, "the exports and what was put: {verified}");
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
    let python = Python::with_signatures();
    let Some(python) = python else { return };
    let said = python.verify(&later, key.trim());
    assert!(said.contains("verified: "), "{said}");
    let refused = python.verify(&part, key.trim());
    assert!(refused.contains("the chain is broken"), "{refused}");
    python.refuses_what_was_made_up(&later, &part, key.trim());
}

/// The program in `docs/examples`.
struct Python;

impl Python {
    /// Where there is Python, with what verifies signatures.
    fn with_signatures() -> Option<Self> {
        let there = Command::new("python3").args(["-c", "import cryptography"]).output();
        there.is_ok_and(|it| it.status.success()).then_some(Self)
    }

    /// What it says of a file.
    fn verify(&self, file: &Path, key: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/verify_audit.py");
        let run = Command::new("python3").args([&*script, file]).arg(key).output();
        let run = run.expect("it was there before");
        let said = if run.status.success() { run.stdout } else { run.stderr };
        String::from_utf8_lossy(&said).into_owned()
    }

    /// What follows the chain, and is signed by nobody.
    fn refuses_what_was_made_up(&self, good: &Path, made_up: &Path, key: &str) {
        let bytes = fs::read(good).expect("it is there");
        let frames = frames(&bytes);
        let without = |kind: u8| {
            let kept = frames.iter().filter(|it| bytes[it.start] != kind);
            let kept: Vec<_> = kept.map(|it| &bytes[it.clone()]).collect();
            [&bytes[..frames[0].start], &kept.concat()].concat()
        };
        let header = &bytes[frames[0].clone()];
        for (name, file, expected) in [
            ("no checkpoint", without(b'C'), "no checkpoint"),
            ("no end", without(b'Z'), "it breaks off"),
            (
                "two headers",
                [&bytes[..frames[1].start], header, &bytes[frames[1].start..]].concat(),
                "misplaced",
            ),
            ("more than the end", [&*bytes, header].concat(), "misplaced"),
            ("an event as a hash", self.with_a_leaf(&bytes, &frames), "was left out later"),
        ] {
            fs::write(made_up, file).expect("it can be written");
            let said = self.verify(made_up, key);
            assert!(said.contains(expected), "{name}: {said}");
        }
    }

    /// The first event is there as its leaf alone.
    fn with_a_leaf(&self, bytes: &[u8], frames: &[Range<usize>]) -> Vec<u8> {
        let leaf = [b"L\0\0\0\x20".as_slice(), &[7; 32]].concat();
        [&bytes[..frames[1].start], &leaf, &bytes[frames[1].end..]].concat()
    }
}

/// Where the parts of an export are.
fn frames(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut at = bytes.iter().position(|it| *it == b'\n').expect("there is a first line") + 1;
    let mut frames = Vec::new();
    while let Some(length) = bytes.get(at + 1..at + 5) {
        let length = u32::from_be_bytes(length.try_into().expect("they are four")) as usize;
        frames.push(at..at + 5 + length);
        at += 5 + length;
    }
    frames
}
