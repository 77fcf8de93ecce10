//! The GraphiQL page and its assets.

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
