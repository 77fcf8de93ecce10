//! An import against a server of the test's own, which shows late what was written.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::id::TenantId;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use super::*;
use crate::cli::ForTenant;
use crate::folder::{Folder, Purpose};
use crate::stores::OpenVault;

/// How often the catalog is asked before it shows what was written.
const ASKED: usize = 3;

/// The whole of one request, its head in lower case.
async fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split_once("content-length: ").and_then(|it| it.1.lines().next());
            if body.len() >= length.and_then(|it| it.parse().ok()).unwrap_or(0) {
                return format!("{head}\r\n\r\n{body}");
            }
        }
        assert!(stream.read_buf(&mut bytes).await.expect("it can be read") > 0, "cut: {text}");
    }
}

/// Answers imports, and shows them when it is asked for the last time.
async fn serve(listener: TcpListener, asked: Arc<AtomicUsize>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let request = request(&mut stream).await;
        let answer = if request.contains("registerLocation") {
            json!({"data": {"registerLocation": {"location": "somewhere", "userErrors": []}}})
        } else if request.contains("applyEntities") {
            json!({"data": {"applyEntities": {
                "changes": [{"effect": "CREATED"}], "outcome": {"position": "here"},
                "userErrors": []}}})
        } else {
            assert!(request.contains("callboard-position: here"), "{request}");
            match asked.fetch_add(1, Ordering::SeqCst) + 1 {
                ASKED.. => json!({"data": {"entities": {"pageInfo": {"hasNextPage": false}}}}),
                _ => json!({"errors": [
                    {"message": "later", "extensions": {"code": "NOT_YET_VISIBLE"}}]}),
            }
        };
        let body = answer.to_string();
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json";
        let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.expect("it can be answered");
    }
}

#[tokio::test]
async fn an_import_ends_when_the_catalog_shows_it() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let mut config = Config::defaults();
    config.http.listen = listener.local_addr().expect("it has an address");
    config.storage.folder = home.path().join("data");
    let folder = Folder::open(&config.storage.folder, Purpose::Serve).expect("it is made");
    let vault = OpenVault::of(&config, &folder).await.expect("the vault is made");
    let keyring = vault.keyring(&folder).await.expect("keys are made");
    // The server whose part the test plays has started before.
    keyring.tenant(TenantId::SYSTEM).await.expect("the key is made");
    let asked = Arc::new(AtomicUsize::new(0));
    let server = tokio::spawn(serve(listener, asked.clone()));

    let file = home.path().join("catalog-info.yaml");
    let entity = json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": {"name": "web"},
        "spec": {"type": "service", "lifecycle": "production", "owner": "team-a"},
    });
    std::fs::write(&file, entity.to_string()).expect("it can be written");
    let tenant = ForTenant { tenant: TenantId(Uuid::from_u128(7)).to_string() };
    let sources = vec![file.display().to_string()];
    let options = Import { sources, tenant, dry_run: false };
    run(&config, Format::Json, &options).await.expect("everything is accepted");
    assert_eq!(asked.load(Ordering::SeqCst), ASKED);
    server.abort();
}
