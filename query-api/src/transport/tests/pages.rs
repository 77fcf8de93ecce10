//! The GraphiQL page and its assets.

use std::fs;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};

use super::client::Call;
use super::fixture::{open_server, settings};
use crate::transport::Settings;

#[tokio::test]
async fn the_page_and_all_it_names_are_served_by_us() {
    let server =
        open_server(Settings { graphiql: true, path: "/a\"b".to_owned(), ..settings() }).await;
    let page = Call::new("GET", "/graphiql").send(&server).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let html = String::from_utf8(page.body.clone()).unwrap();
    assert!(html.contains("data-endpoint=\"/a&quot;b\""), "{html}");
    let names: Vec<&str> = html.split('"').filter(|it| it.starts_with("/graphiql/")).collect();
    assert_eq!(names.len(), 6);
    for name in names {
        let asset = Call::new("GET", name).send(&server).await;
        assert_eq!(asset.status, 200, "{name}");
        assert!(!asset.body.is_empty());
        let policy = asset.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert_eq!(asset.header("x-content-type-options"), Some("nosniff"));
    }
    assert!(!html.contains("//"), "nothing comes from another host");
}

#[tokio::test]
async fn it_is_not_there_unless_it_is_switched_on() {
    let server = open_server(settings()).await;
    for path in ["/graphiql", "/graphiql/page.js"] {
        assert_eq!(Call::new("GET", path).send(&server).await.status, 404);
    }
}

/// What is vendored is what `VENDORED.md` says, byte by byte.
#[test]
fn vendored_files_are_what_they_were() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/graphiql");
    let list = fs::read_to_string(folder.join("VENDORED.md")).unwrap();
    let mut checked = 0;
    for row in list.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('`').collect();
        let (name, sum) = (cells[1], cells[cells.len() - 2]);
        let bytes = fs::read(folder.join(name)).unwrap();
        let found = digest(&SHA256, &bytes);
        let found: String = found.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, sum, "{name}");
        checked += 1;
    }
    assert_eq!(checked, 4);
}
