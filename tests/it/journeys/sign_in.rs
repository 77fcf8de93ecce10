//! From the console to a session: the first operator of an installation, as a browser does it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::harness::{Installation, PATIENCE};

const LOGIN: &str = "Grace.Hopper@example.org";
const PASSWORD: &str = "correct zebra window asterisk";

/// What must not be found where others can look.
const SECRETS: [&str; 4] = ["grace.hopper", "Grace.Hopper", "zebra window", "cbs_"];

/// What a page of this host is answered.
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// The cookie that is set, as it is sent back.
    fn cookie(&self) -> &str {
        let set = self.head.lines().find_map(|it| it.strip_prefix("set-cookie: "));
        let set = set.unwrap_or_else(|| panic!("no cookie: {} {}", self.head, self.body));
        for said in ["__Host-callboard=", "; Secure", "; HttpOnly", "; Path=/"] {
            assert!(set.contains(said), "{set}");
        }
        set.split(';').next().expect("a text has a beginning")
    }
}

/// Asks as a page of this host does, with these further lines in the head.
pub(super) fn ask(
    address: SocketAddr,
    begin: &str,
    host: &str,
    lines: &[String],
    body: &Value,
) -> Answer {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket can be bounded");
    let body = body.to_string();
    let lines: String = lines.iter().map(|it| format!("{it}\r\n")).collect();
    let length = body.len();
    let request = format!(
        "{begin} HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n{lines}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("the server listens");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("the server answers");
    let (head, body) = said.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
    Answer { status, head: head.replace('\r', ""), body: body.to_owned() }
}

/// What the server has printed on its console.
fn console(installation: &Installation) -> String {
    std::fs::read_to_string(installation.home().join("server.log")).expect("the server's log")
}

/// The setup token that was printed last.
fn token(said: &str) -> Option<&str> {
    said.lines().map(str::trim).rfind(|it| it.starts_with("cbs_"))
}

/// Every file below a folder that holds one of these texts.
fn found(folder: &std::path::Path, texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder can be listed") {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() {
            found.extend(self::found(&path, texts));
            continue;
        }
        let content = std::fs::read(&path).expect("a file can be read");
        let holds = |it: &&&str| content.windows(it.len()).any(|window| window == it.as_bytes());
        found.extend(texts.iter().filter(holds).map(|it| format!("{it} in {}", path.display())));
    }
    found
}

#[tokio::test]
async fn who_reads_the_console_makes_the_first_operator_who_signs_in_and_out() {
    let installation = Installation::new();
    let server = installation.up().await;
    let address = installation.address();
    let said = console(&installation);
    let first = token(&said).expect("a start prints a setup token").to_owned();
    let host = format!("localhost:{}", address.port());
    let ask = |begin: &str, lines: &[String], body: &Value| ask(address, begin, &host, lines, body);

    let body = json!({ "token": first, "login": LOGIN, "password": PASSWORD });
    let made = ask("POST /api/v1/setup", &[], &body);
    assert_eq!(made.status, 204, "{} {}", made.head, made.body);
    let replayed = ask("POST /api/v1/setup", &[], &body);
    assert_eq!(replayed.status, 403, "{}", replayed.body);
    assert!(replayed.body.contains("SETUP_REFUSED"), "{}", replayed.body);

    let body = json!({ "login": LOGIN.to_lowercase(), "password": PASSWORD });
    let entered = ask("POST /api/v1/sign-in", &[], &body);
    assert_eq!(entered.status, 204, "{} {}", entered.head, entered.body);
    assert_ne!(entered.cookie(), made.cookie());
    let cookie = format!("cookie: {}", entered.cookie());
    let with = [cookie.clone(), "callboard-request: 1".to_owned()];
    let query = json!({ "query": "{ viewer { actor } tenants(first: 1) { totalCount } }" });
    let read = ask("POST /graphql", &with, &query);
    assert!(read.status == 200 && read.body.contains("totalCount"), "{}", read.body);
    let forged = ask("POST /graphql", &[cookie], &query);
    assert_eq!(forged.status, 403, "a cookie alone proves nothing: {}", forged.body);

    let left = ask("DELETE /api/v1/session", &with, &Value::Null);
    assert_eq!(left.status, 204, "{}", left.body);
    assert_eq!(ask("POST /graphql", &with, &query).status, 401);
    let wrong = json!({ "login": LOGIN, "password": "another window asterisk" });
    assert_eq!(ask("POST /api/v1/sign-in", &[], &wrong).status, 403);

    // Nobody needs a setup token any more, and nobody finds who signs in with what.
    server.stop().await;
    let server = installation.up().await;
    assert_eq!(token(&console(&installation)).filter(|it| *it != first), None);
    server.stop().await;
    let log = installation.home().join("server.log");
    let kept = console(&installation)
        .lines()
        .filter(|it| it.trim() != first)
        .collect::<Vec<_>>()
        .join("\n");
    std::fs::write(&log, kept).expect("a file can be written");
    assert_eq!(found(installation.home(), &SECRETS), Vec::<String>::new());
    // The control: what is written in plain is found.
    assert!(!found(installation.home(), &["member.signed-in.v1"]).is_empty());
}

/// A backup has forgotten which sessions ended after it, so all have; passwords are good still.
#[tokio::test]
async fn what_was_restored_knows_no_session_of_before() {
    let (from, to) = (Installation::new(), Installation::new());
    let server = from.up().await;
    let first = token(&console(&from)).expect("a start prints a setup token").to_owned();
    let ask_at = |at: &Installation, begin: &str, lines: &[String], body: &Value| {
        let host = format!("localhost:{}", at.address().port());
        ask(at.address(), begin, &host, lines, body)
    };
    let body = json!({ "token": first, "login": LOGIN, "password": PASSWORD });
    let made = ask_at(&from, "POST /api/v1/setup", &[], &body);
    let with = [format!("cookie: {}", made.cookie()), "callboard-request: 1".to_owned()];
    let query = json!({ "query": "{ viewer { actor } }" });
    server.stop().await;

    let path = from.home().join("backup").display().to_string();
    from.run(&["backup", &path]).text();
    std::fs::create_dir_all(to.folder()).expect("a folder");
    let root_key = |it: &Installation| it.folder().join("root.key");
    std::fs::copy(root_key(&from), root_key(&to)).expect("a copy");
    to.run(&["restore", &path]).text();
    for (installation, expected) in [(&from, 200), (&to, 401)] {
        let server = installation.up().await;
        assert_eq!(ask_at(installation, "POST /graphql", &with, &query).status, expected);
        let body = json!({ "login": LOGIN, "password": PASSWORD });
        assert_eq!(ask_at(installation, "POST /api/v1/sign-in", &[], &body).status, 204);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_setup_token_is_good_until_the_next_start_prints_another() {
    let installation = Installation::new();
    let server = installation.up().await;
    let first = token(&console(&installation)).expect("it is printed").to_owned();
    server.stop().await;
    let server = installation.up().await;
    let address = installation.address();
    let host = format!("localhost:{}", address.port());
    let said = console(&installation);
    let second = token(&said).expect("it is printed");
    assert_ne!(first, second);
    for (token, expected) in [(first.as_str(), 403), (second, 204)] {
        let body = json!({ "token": token, "login": LOGIN, "password": PASSWORD });
        let answer = ask(address, "POST /api/v1/setup", &host, &[], &body);
        assert_eq!(answer.status, expected, "{}", answer.body);
    }
    server.stop().await;
}
