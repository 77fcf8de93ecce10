//! When a node calls itself ready.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use projections::Projections;
use projections::temporary::{Kind, Temporary};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::testing::held::{HeldLog, Hold};
use crate::testing::{SOON, Site, doors, on_each_kind, soon};
use crate::{Context, Doors};

on_each_kind! {
    a_node_whose_read_models_are_not_complete_is_not_ready
}

async fn a_node_whose_read_models_are_not_complete_is_not_ready(on: Kind) {
    let site = Site::start_on(on).await;
    // Another node on the same log, whose tables are new.
    let (hold, place) = (Hold::new(true), Temporary::new(on).await);
    let held = Arc::new(HeldLog { log: site.log.clone(), hold: hold.clone() });
    let projections = Projections::start(place.settings(), held, site.keyring.clone()).await;
    let projections = Arc::new(projections.unwrap());
    let (commands, keyring) = (site.commands.clone(), site.keyring.clone());
    let context = Context::new(commands, projections, site.log.clone(), keyring, SOON);
    let doors = doors(context, &CancellationToken::new());
    let ready = async || {
        let request = Request::get("/readyz").body(Body::empty()).unwrap();
        let answer = doors.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice::<Value>(&body).unwrap())
    };

    let (status, said) = ready().await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{said}");
    let models = said["models"].as_array().unwrap();
    assert!(!models.is_empty());
    for it in models {
        assert!(it["complete"] == false && it["stopped"] == false, "{said}");
    }

    hold.release();
    let becomes_ready = async {
        while ready().await.0 != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    soon(becomes_ready).await;
}

#[tokio::test]
async fn a_node_that_cannot_record_says_no_more_to_strangers_than_that() {
    let site = Site::start().await;
    let hold = Hold::new(false);
    let held = Arc::new(HeldLog { log: site.log.clone(), hold: hold.clone() });
    let (commands, projections) = (site.commands.clone(), site.projections.clone());
    let context = Context::new(commands, projections, held, site.keyring.clone(), SOON);
    let doors = doors(context, &CancellationToken::new());
    let trouble = async || {
        let request = Request::get("/readyz").body(Body::empty()).unwrap();
        let answer = doors.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice::<Value>(&body).unwrap()["trouble"].clone())
    };
    soon(async { while trouble().await != (StatusCode::OK, Value::Null) {} }).await;
    hold.lose_replicas();
    assert_eq!(trouble().await, (StatusCode::OK, "replicas".into()), "it can be read");
    hold.remove();
    assert_eq!(trouble().await, (StatusCode::SERVICE_UNAVAILABLE, "gone".into()));
    let rename = "mutation { renameTenant(name: \"Elsewhere\") { userErrors { message } } }";
    let request = Request::post("/graphql")
        .header("authorization", format!("Bearer {}", site.a.token))
        .header("content-type", "application/json")
        .body(Body::from(json!({"query": rename}).to_string()));
    let answer = doors.clone().oneshot(request.unwrap()).await.unwrap();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let error = &serde_json::from_slice::<Value>(&body).unwrap()["errors"][0];
    assert_eq!(error["extensions"]["code"], "UNAVAILABLE", "{error}");
    assert!(error["message"].as_str().unwrap().contains("was removed"), "{error}");
}

#[tokio::test]
async fn a_node_that_has_not_started_lives_and_says_what_it_waits_for() {
    let (waiting, waits_for) = tokio::sync::watch::channel(None);
    let doors = Doors::while_starting(waits_for);
    let asked = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = doors.clone().oneshot(request).await.unwrap();
        let (status, may_retry) = (answer.status(), answer.headers().contains_key("retry-after"));
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, may_retry, serde_json::from_slice::<Value>(&body).unwrap_or_default())
    };
    assert_eq!(asked("/healthz").await.0, StatusCode::OK);
    let (status, _, said) = asked("/readyz").await;
    assert_eq!((status, &said["waitsFor"]), (StatusCode::SERVICE_UNAVAILABLE, &Value::Null));
    waiting.send_replace(Some("the log"));
    assert_eq!(asked("/readyz").await.2["waitsFor"], "the log");
    for path in ["/graphql", "/api/v1/events", "/metrics", "/nowhere"] {
        let (status, may_retry, said) = asked(path).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(may_retry && said["code"] == "UNAVAILABLE", "{said}");
    }
}
