//! The disk of a running process fills up and gets room again: nothing that was acknowledged is
//! lost, and everything is written and shown again without a restart.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::dump;
use crate::harness::{Api, Installation, eventually};

const APPLY: &str = "mutation($input: ApplyEntitiesInput!) { applyEntities(input: $input) {
    outcome { position } userErrors { message } } }";

/// How many requests in a row are refused before the disk counts as full.
const REFUSALS: usize = 40;

/// How many requests fill the disk at most.
const REQUESTS_MAX: usize = 5_000;

/// A small file system of a test's own, unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    /// Nothing where the test may not mount.
    fn mount(path: &Path) -> Option<Self> {
        std::fs::create_dir_all(path).expect("a folder can be made");
        let disk = Self(path.to_owned());
        disk.run("mount", &["-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs"]).then_some(disk)
    }

    fn enlarge(&self) {
        assert!(self.run("mount", &["-o", "remount,size=400m"]));
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let ran = Command::new(program).args(arguments).arg(&self.0).output();
        ran.is_ok_and(|it| it.status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.run("umount", &["--lazy"]);
    }
}

/// Registers an entity; the position at which it can be seen, or nothing if it is refused.
async fn register(api: &Api, kind: &str, name: &str, spec: &Value) -> Option<String> {
    let descriptor = json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "description": "d".repeat(20_000)}, "spec": spec,
    });
    let input = json!({"input": {"changes": [{"put": {"descriptor": descriptor}}]}});
    let answer = api.ask(APPLY, &input).await.ok()?;
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    Some(body["data"]["applyEntities"]["outcome"]["position"].as_str()?.to_owned())
}

async fn component(api: &Api, name: &str) -> Option<String> {
    let spec = json!({"type": "service", "lifecycle": "production", "owner": "group:keepers"});
    register(api, "Component", name, &spec).await
}

/// Registers components until nothing is taken any more, and answers those that were.
async fn fill(api: &Api) -> Vec<String> {
    let (mut taken, mut refusals) = (Vec::new(), 0);
    for number in 0..REQUESTS_MAX {
        let name = format!("part-{number}");
        if component(api, &name).await.is_some() {
            taken.push(name);
            refusals = 0;
            continue;
        }
        refusals += 1;
        if refusals == REFUSALS {
            return taken;
        }
    }
    panic!("{REQUESTS_MAX} requests did not fill the disk");
}

/// Whether the catalog shows a component at a position.
async fn is_shown(api: &Api, name: &str, position: &str) -> bool {
    let reference = format!("component:default/{name}");
    let body = json!({"query": "query($it: String!) { entity(reference: $it) { reference } }",
        "variables": {"it": reference}});
    let answer = api.post("/graphql", &body, &[("callboard-position", position)]).await;
    let answer: Value = serde_json::from_slice(&answer.expect("it answers").body).expect("JSON");
    answer["data"]["entity"]["reference"] == json!(reference)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_with_room_again_all_is_written_and_shown() {
    let installation = Installation::new()
        .with("CALLBOARD_LOG_SEGMENT_BYTES", "1048576")
        .with("CALLBOARD_HTTP_VISIBILITY_WAIT_MS", "30000");
    let Some(disk) = Disk::mount(&installation.folder()) else {
        print("skipped: this user may not mount a file system");
        return;
    };
    let server = installation.up().await;
    let api = server.api(&installation.token(&installation.create_tenant("acme")));
    let mut taken = fill(&api).await;
    assert!(!taken.is_empty());
    disk.enlarge();

    eventually("what is written is taken again", async || component(&api, "after").await).await;
    taken.push("after".to_owned());
    let user = json!({"memberOf": [], "profile": {"displayName": "Ada"}});
    let position = eventually("a key is made for a person", async || {
        register(&api, "User", "ada", &user).await
    })
    .await;
    for name in &taken {
        assert!(is_shown(&api, name, &position).await, "{name} was acknowledged");
    }
    let other = server.api(&installation.token(&installation.create_tenant("globex")));
    eventually("another tenant is served", async || component(&other, "first").await).await;
    let (tables, rows) = dump::equals_a_rebuild(&installation, &server).await;
    print(&format!("{} entities taken; {tables} tables with {rows} rows", taken.len()));
    server.stop().await;
}

#[expect(clippy::print_stdout, reason = "figures are what such a test is run for")]
fn print(line: &str) {
    println!("{line}");
}
