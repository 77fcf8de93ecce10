//! Recording usage, reading it back, and reading the trail that everything leaves.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Api, Installation, PATIENCE};

const DEFINE_METER: &str = "mutation { defineMeter(input: {
    key: \"rides\", name: \"Rides\", unit: \"ride\", aggregation: SUM
}) { outcome { position } userErrors { message } } }";

/// Five entries: two good, one twice, one of no meter, one that contradicts the first.
fn entries() -> Value {
    let at = "2026-03-01T10:00:00Z";
    let entry = |id: &str, meter: &str, value: &str| json!({"source": "desk", "id": id, "meter": meter, "at": at, "value": value});
    json!([
        entry("ride-1", "rides", "2.5"),
        entry("ride-2", "rides", "4"),
        entry("ride-2", "rides", "4"),
        entry("ride-3", "falls", "1"),
        entry("ride-1", "rides", "3"),
    ])
}

#[tokio::test]
async fn usage_is_counted_once_and_read_back_the_same_for_ever() {
    let installation = Installation::new();
    let server = installation.up().await;
    installation.create_tenant("riders");
    let api = server.api(&installation.token("riders"));
    let defined = api.graphql(DEFINE_METER, Value::Null).await;
    assert_eq!(defined["defineMeter"]["userErrors"], json!([]));

    let record = ["usage", "record", "-", "--tenant", "riders", "--json"];
    let ran = installation.run_with_input(&record, &entries().to_string());
    assert_eq!(ran.code, 3, "{}{}", ran.stdout, ran.stderr);
    let counts = json!({"accepted": 2, "duplicate": 1, "conflict": 1, "rejected": 1});
    assert_eq!(ran.json()["counts"], counts);
    let again = installation.run_with_input(&record, &entries().to_string());
    let counts = json!({"accepted": 0, "duplicate": 3, "conflict": 1, "rejected": 1});
    assert_eq!(again.json()["counts"], counts);

    let day = "from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z&meter=rides";
    let sequence = ran.json()["sequence"].as_u64().expect("a sequence");
    let at = format!("/api/v1/usage?{day}&atSequence={sequence}");
    let once = settled(&api, &at, sequence).await;
    assert_eq!(once["rows"][0]["sum"], "6.5");
    assert_eq!(once["rows"][0]["count"], 2);
    let late = json!([{"source": "desk", "id": "late", "meter": "rides", "value": "1",
        "at": "2026-03-01T11:00:00Z"}]);
    let late = installation.run_with_input(&record, &late.to_string());
    let after = late.json()["sequence"].as_u64().expect("a sequence");
    let now = settled(&api, &format!("/api/v1/usage?{day}&atSequence={after}"), after).await;
    assert_eq!(now["rows"][0]["sum"], "7.5");
    assert_eq!(api.get(&at).await, once, "what was answered once is answered for ever");
    let shown = installation.run(&["usage", "show", "rides", "--tenant", "riders"]).text();
    assert!(shown.starts_with("day"), "{shown}");
    let nothing = installation.run(&["usage", "show", "falls", "--tenant", "riders"]);
    assert_eq!(nothing.code, 2, "{}{}", nothing.stdout, nothing.stderr);
    assert!(nothing.stderr.contains("there is no meter `falls`"), "{}", nothing.stderr);
    let long = installation.run(&["token", "--tenant", "riders", "--lifetime", "86401"]);
    assert_eq!(long.code, 2, "{}{}", long.stdout, long.stderr);
    assert!(long.stderr.contains("86401 is not in 1..=86400"), "{}", long.stderr);
    server.stop().await;
}

/// Asks until the answer rests on `sequence`.
async fn settled(api: &Api, path: &str, sequence: u64) -> Value {
    crate::harness::eventually("usage is counted", async || {
        let answer = api.send(outbound::Request::get(api.url(path))).await.ok()?;
        let report: Value = serde_json::from_slice(&answer.body).ok()?;
        (answer.status == 200 && report["sequence"] == sequence).then_some(report)
    })
    .await
}

#[tokio::test]
async fn the_audit_trail_is_gapless_and_names_actor_and_command() {
    let installation = Installation::new();
    let server = installation.up().await;
    installation.create_tenant("riders");
    let api = server.api(&installation.token("riders"));
    let mut last = Value::Null;
    for name in ["one", "two", "three"] {
        let rename = "mutation($name: String!) { renameTenant(name: $name) {
            outcome { commandId position sequence } userErrors { message } } }";
        let data = api.graphql(rename, json!({"name": name})).await;
        last = data["renameTenant"]["outcome"].clone();
    }
    let query = "{ audit(first: 100) { totalCount nodes {
        sequence type commandId actor batchPosition body } } }";
    let position = last["position"].as_str().expect("a position");
    let trail = api.graphql_at(position, query, Value::Null).await;
    let events = trail["audit"]["nodes"].as_array().expect("events");
    let sequences: Vec<u64> = events.iter().filter_map(|it| it["sequence"].as_u64()).collect();
    let newest = last["sequence"].as_u64().expect("a sequence");
    assert_eq!(sequences, (1..=newest).rev().collect::<Vec<_>>());
    assert_eq!(trail["audit"]["totalCount"], newest);
    assert_eq!(events[0]["commandId"], last["commandId"]);
    assert_eq!(events[0]["type"], "tenant.renamed.v1");
    assert!(events.iter().all(|it| it["actor"].as_str().is_some_and(|it| it.starts_with("usr_"))));
    let foreign = server.api(&installation.token(&installation.create_tenant("others")));
    let by_command = "query($command: String!) {
        audit(matching: {commandId: $command}) { totalCount } }";
    let asked = json!({"command": last["commandId"]});
    assert_eq!(api.graphql(by_command, asked.clone()).await["audit"]["totalCount"], 1);
    assert_eq!(foreign.graphql(by_command, asked).await["audit"]["totalCount"], 0);
    server.stop().await;
}

/// `callboard events tail`, event by event; killed when dropped.
struct Tail {
    process: Child,
    lines: Receiver<String>,
}

impl Tail {
    fn start(installation: &Installation, after: u64) -> Self {
        let after = after.to_string();
        let mut process = installation
            .command(&["events", "tail", "--tenant", "riders", "--after", &after, "--json"])
            // Its tokens end while it is looked at.
            .env("CALLBOARD_TOKENS_LIFETIME_SECONDS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let output = BufReader::new(process.stdout.take().expect("its output is a pipe"));
        let (sender, lines) = channel();
        // Ends with the process.
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|it| sender.send(it))
        });
        Self { process, lines }
    }

    /// The next event.
    fn next(&mut self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("the stream goes on");
        serde_json::from_str(&line).expect("a line is JSON")
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[tokio::test]
async fn a_tail_is_taken_up_again_without_gap_or_repetition() {
    let installation = Installation::new();
    let server = installation.up().await;
    installation.create_tenant("riders");
    let api = server.api(&installation.token("riders"));
    let rename = async |name: &str| {
        let rename = "mutation($name: String!) {
            renameTenant(name: $name) { userErrors { message } } }";
        api.graphql(rename, json!({"name": name})).await;
    };
    rename("one").await;
    let mut tail = Tail::start(&installation, 0);
    let mut seen = Vec::new();
    while seen.last() != Some(&"tenant.renamed.v1".to_owned()) {
        let event = tail.next();
        assert_eq!(event["sequence"], seen.len() as u64 + 1);
        let full = event["type"].as_str().unwrap_or_default();
        seen.push(full.trim_start_matches("callboard.").to_owned());
    }
    rename("two").await;
    assert_eq!(tail.next()["data"]["name"], "two", "live events follow recorded ones");
    tokio::time::sleep(Duration::from_secs(2)).await;
    rename("two again").await;
    assert_eq!(tail.next()["data"]["name"], "two again", "with another token");
    drop(tail);
    rename("three").await;
    let mut tail = Tail::start(&installation, seen.len() as u64 + 2);
    let event = tail.next();
    assert_eq!(event["sequence"], seen.len() as u64 + 3);
    assert_eq!(event["data"]["name"], "three");
    drop(tail);
    server.stop().await;
}
