//! The event feed: pages, waiting, and the same live.

use std::time::Duration;

use outbound::Request;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::testing::{Member, Site, soon};

const RENAME: &str = "mutation($name: String!) {
    renameTenant(name: $name) { userErrors { code } outcome { sequence } } }";

/// Makes an event; its sequence.
async fn rename(site: &Site, who: &Member, name: &str) -> u64 {
    let payload = site.mutate(who, RENAME, json!({ "name": name })).await;
    payload["outcome"]["sequence"].as_u64().unwrap()
}

fn sequences(page: &Value) -> Vec<u64> {
    page["events"].as_array().unwrap().iter().map(|it| it["sequence"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn pages_follow_each_other_without_gap() {
    let site = Site::start().await;
    for name in ["one", "two", "three", "four"] {
        rename(&site, &site.b, "between").await;
        rename(&site, &site.a, name).await;
    }
    let mut all = Vec::new();
    let mut next = 0;
    loop {
        let page = site.get(&site.a, &format!("/api/v1/events?after={next}&limit=2")).await.json();
        if page["events"] == json!([]) {
            assert_eq!(page["next"], next, "nothing new: ask after the same again");
            break;
        }
        next = page["next"].as_u64().unwrap();
        all.extend(sequences(&page));
    }
    assert_eq!(all, (1..=next).collect::<Vec<_>>());
    let page = site.get(&site.a, "/api/v1/events?types=tenant.renamed").await.json();
    assert_eq!(page["events"].as_array().unwrap().len(), 4);
    assert_eq!(page["next"], next, "what was passed over is not asked for again");
    assert_eq!(page["events"][3]["data"]["name"], "four", "{page}");
    let many = format!("types={}", vec!["tenant"; 101].join(","));
    let long = format!("types={}", "t".repeat(129));
    for wrong in ["limit=0", "limit=1001", "wait=31", "after=x", "colour=red", &many, &long] {
        let reply = site.get(&site.a, &format!("/api/v1/events?{wrong}")).await;
        assert_eq!(reply.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn an_event_names_its_command_as_the_outcome_did() {
    let site = Site::start().await;
    for options in [json!({}), json!({"idempotencyKey": "once"})] {
        let rename = "mutation($options: CommandOptions) { renameTenant(name: \"Named\",
            options: $options) { userErrors { code } outcome { commandId sequence } } }";
        let renamed = site.mutate(&site.a, rename, json!({ "options": options })).await;
        let last = renamed["outcome"]["sequence"].as_u64().unwrap();
        let page = site.get(&site.a, &format!("/api/v1/events?after={}", last - 1)).await.json();
        assert_eq!(page["events"][0]["commandId"], renamed["outcome"]["commandId"], "{options}");
    }
}

#[tokio::test]
async fn after_every_sequence_there_is_nothing() {
    let site = Site::start().await;
    let last = i64::MAX.unsigned_abs();
    for (after, status) in [(last - 1, 200), (last, 200), (last + 1, 400), (u64::MAX, 400)] {
        let page = site.get(&site.a, &format!("/api/v1/events?after={after}")).await;
        assert_eq!(page.status, status, "{after}: {}", page.text());
        let request = Request::get(site.url("/api/v1/events"))
            .with_header("last-event-id", &after.to_string());
        let seen = site.send(&site.a, request).await;
        assert_eq!((seen.status, seen.text()), (status, page.text()), "{after}");
        if status == 200 {
            assert_eq!(page.json(), json!({ "events": [], "next": after }));
        }
    }
    let subscribe =
        format!("subscription {{ events(afterSequence: {}) {{ sequence }} }}", last + 1);
    let body = json!({ "query": subscribe }).to_string();
    let request = Request::post(site.url("/graphql"), "application/json", body);
    let mut answer = site.stream(&site.a, request).await;
    let refused = answer.next().await.expect("it says why");
    assert_eq!(refused.data["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{refused:?}");
}

#[tokio::test]
async fn who_waits_is_answered_when_something_happens() {
    let site = Site::start().await;
    let after = rename(&site, &site.a, "before").await;
    let path = format!("/api/v1/events?after={after}&wait=30");
    let waiting = site.get(&site.a, &path);
    let acting = async {
        // Of another tenant: not what is waited for.
        rename(&site, &site.b, "elsewhere").await;
        rename(&site, &site.a, "after").await
    };
    let (page, sequence) = soon(futures::future::join(waiting, acting)).await;
    assert_eq!(sequences(&page.json()), [sequence]);
    let nothing = site.get(&site.a, &format!("/api/v1/events?after={sequence}&wait=1")).await;
    assert_eq!(nothing.json(), json!({ "events": [], "next": sequence }));
}

#[tokio::test]
async fn a_stream_is_taken_up_again_where_it_was_left() {
    let site = Site::start().await;
    let request = |after: u64| Request::get(site.url(&format!("/api/v1/events?after={after}")));
    let mut stream = site.stream(&site.a, request(0)).await;
    assert_eq!(stream.status, 200);
    let first = stream.next().await.unwrap();
    assert_eq!((first.id, first.name.as_str()), (Some(1), "tenant.created.v1"));
    let seen = stream.next().await.unwrap().id.unwrap();
    drop(stream);
    for name in ["while", "nobody", "listens"] {
        rename(&site, &site.a, name).await;
    }
    // The address still says 0; what the browser has seen counts.
    let again = request(0).with_header("last-event-id", &seen.to_string());
    let mut stream = site.stream(&site.a, again).await;
    let last = rename(&site, &site.a, "live").await;
    for expected in seen + 1..=last {
        let event = stream.next().await.unwrap();
        assert_eq!((event.id, &event.data["sequence"]), (Some(expected), &json!(expected)));
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_server_and_with_its_credential() {
    let site = Site::start().await;
    let actor = domain::id::ActorId(uuid::Uuid::now_v7());
    site.make_owner(site.a.tenant, actor).await;
    let lifetime = Duration::from_secs(1);
    let token = crate::auth::mint(site.keyring.issuer(), site.a.tenant, actor, lifetime).unwrap();
    let short = Member { token, ..site.a.clone() };
    let request = || Request::get(site.url("/api/v1/events"));
    let mut ends = site.stream(&short, request()).await;
    assert_eq!(ends.next().await, None, "the credential has ended");
    let mut stream = site.stream(&site.a, request()).await;
    site.shutdown.cancel();
    assert_eq!(stream.next().await, None, "the server stops");
    assert_eq!(site.get(&site.a, "/readyz").await.status, 503);
}

/// The program in `docs/examples`, and a folder for its place; none where there is no Python.
struct Example(tempfile::TempDir);

impl Example {
    async fn new() -> Option<Self> {
        let version = tokio::process::Command::new("python3").arg("--version").output().await;
        version.is_ok_and(|it| it.status.success()).then(|| Self(tempfile::tempdir().unwrap()))
    }

    /// What it says of so many events at an address, or of what was wrong.
    async fn follow(&self, url: &str, token: &str, count: &str) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/follow_events.py");
        let mut command = tokio::process::Command::new("python3");
        command.args([script, url.trim_end_matches('/')]).arg(self.0.path().join("place.txt"));
        command.arg(count).env("CALLBOARD_TOKEN", token).kill_on_drop(true);
        let ran = soon(command.output()).await.unwrap();
        String::from_utf8(if ran.status.success() { ran.stdout } else { ran.stderr }).unwrap()
    }
}

#[tokio::test]
async fn the_example_goes_on_where_it_was() {
    let Some(example) = Example::new().await else { return };
    let site = Site::start().await;
    let url = site.url("");
    let follow =
        async |who: &Member, count: &str| example.follow(url.as_str(), &who.token, count).await;
    let page = site.get(&site.a, "/api/v1/events").await.json();
    let recorded = page["events"].as_array().unwrap().iter();
    let mut expected =
        recorded.map(|it| format!("{} {}", it["sequence"], it["type"].as_str().unwrap()));
    let first = follow(&site.a, "2").await;
    assert_eq!(first.lines().collect::<Vec<_>>(), expected.by_ref().take(2).collect::<Vec<_>>());
    // What was recorded meanwhile, and something that happens while it follows.
    let last = rename(&site, &site.a, "meanwhile").await;
    let rest = (last - 2 + 1).to_string();
    let (then, _) = tokio::join!(follow(&site.a, &rest), rename(&site, &site.a, "live"));
    let renamed = [last, last + 1].map(|it| format!("{it} callboard.tenant.renamed.v1"));
    assert_eq!(then.lines().collect::<Vec<_>>(), expected.chain(renamed).collect::<Vec<_>>());
    let nobody = Member { token: "x".to_owned(), ..site.a.clone() };
    let refused = follow(&nobody, "1").await;
    assert!(refused.contains("401") && !refused.contains("Traceback"), "{refused}");
}

/// Whatever becomes of the connection, no event is lost, and none is handled by half. What is wrong with the
/// program itself ends it.
#[tokio::test]
async fn the_example_takes_up_a_stream_that_was_cut_within_an_event() {
    let Some(example) = Example::new().await else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let event = |sequence| format!("data: {{\"sequence\": {sequence}, \"type\": \"t\"}}\n\n");
        let (one, two) = (event(1), event(2));
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        // Cut within a chunk, then between its text and its end, then not at all.
        let cut = format!("{head}{}{:x}\r\n{}", chunk(&one), two.len(), &two[..9]);
        let unended = format!("{head}{:x}\r\n{two}", two.len());
        let mut asked = Vec::new();
        for said in [cut, unended, format!("{head}{}", chunk(&event(3)))] {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4_096];
            let length = socket.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).to_lowercase();
            let place = request.lines().find_map(|it| it.strip_prefix("last-event-id: "));
            asked.push(place.unwrap().to_owned());
            socket.write_all(said.as_bytes()).await.unwrap();
        }
        asked
    });
    let told = example.follow(&url, "t", "3").await;
    assert_eq!(told, "1 t\n2 t\n3 t\n");
    assert_eq!(soon(serving).await.unwrap(), ["0", "1", "2"]);

    let missing = Example(tempfile::tempdir().unwrap());
    std::fs::remove_dir(missing.0.path()).unwrap();
    let site = Site::start().await;
    let said = missing.follow(site.url("").as_str(), &site.a.token, "1").await;
    assert!(said.contains("FileNotFoundError"), "it ends, and says why: {said}");
}
