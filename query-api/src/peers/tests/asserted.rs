//! Headers by which proxies and careless services say who somebody is: none of them does.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use domain::id::TenantId;
use event_log::{Partition, Position};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{Door, rename};
use crate::peers::COMMANDS;
use crate::testing::{Member, doors};

const ASSERTING: [&str; 14] = [
    "x-callboard-tenant",
    "callboard-tenant",
    "callboard-actor",
    "callboard-principal",
    "x-tenant",
    "x-tenant-id",
    "x-forwarded-user",
    "x-forwarded-host",
    "x-forwarded-tenant",
    "x-remote-user",
    "remote-user",
    "x-user",
    "x-original-authorization",
    "forwarded",
];

/// A request that says with every one of them that it is of `said`.
fn asserting(path: &str, token: Option<&str>, said: &Member, body: &Value) -> Request<Body> {
    let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    for name in ASSERTING {
        let value = match name {
            "x-forwarded-host" => "bravo.localhost".to_owned(),
            "x-original-authorization" => format!("Bearer {}", said.token),
            "forwarded" => "for=127.0.0.1;host=bravo.localhost".to_owned(),
            _ => said.tenant.to_string(),
        };
        request = request.header(name, value);
    }
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(body.to_string().into()).unwrap()
}

/// A door, and the request to rename a tenant there.
fn each_door(door: &Door, name: &str) -> [(Router, &'static str, Value); 2] {
    let public = doors(door.site.context.clone(), &CancellationToken::new());
    let mutation =
        format!("mutation {{ renameTenant(name: \"{name}\") {{ userErrors {{ message }} }} }}");
    let between = serde_json::to_value(rename(name)).unwrap();
    [(door.router.clone(), COMMANDS, between), (public, "/graphql", json!({"query": mutation}))]
}

/// How the two tenants are called at last.
async fn names(door: &Door) -> [Value; 2] {
    let end = door.site.log.end(Partition(0)).await.unwrap();
    let last = Position(end.0 - 1);
    [door.name_of(&door.site.a, last).await, door.name_of(&door.site.b, last).await]
}

#[tokio::test]
async fn no_header_but_the_credential_says_who_somebody_is_at_either_door() {
    let door = Door::open().await;
    let (a, b) = (&door.site.a, &door.site.b);
    let before = names(&door).await;
    for (router, path, body) in each_door(&door, "Nobody's") {
        let answer = router.oneshot(asserting(path, None, b, &body)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(names(&door).await, before);
    for number in 0..2 {
        let name = format!("Ours {number}");
        let (router, path, body) = each_door(&door, &name)[number].clone();
        let answer = router.oneshot(asserting(path, Some(&a.token), b, &body)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(names(&door).await, [json!(name), before[1].clone()], "{path}");
    }
}

#[tokio::test]
async fn a_host_makes_nobody_somebody_else() {
    let door = Door::open().await;
    let (a, b) = (&door.site.a, &door.site.b);
    assert_ne!(b.tenant, TenantId::SYSTEM);
    for (router, path, body) in each_door(&door, "By host") {
        for token in [None, Some(&*a.token)] {
            let mut request = asserting(path, token, b, &body);
            request.headers_mut().insert(header::HOST, "bravo.localhost".parse().unwrap());
            let answer = router.clone().oneshot(request).await.unwrap();
            let is_heard = token.is_some() && path == COMMANDS;
            assert_eq!(answer.status() == StatusCode::OK, is_heard, "{path}: {}", answer.status());
        }
        // Between processes nobody is asked at a host of a tenant's, so there it says nothing.
        assert_eq!(names(&door).await, [json!("By host"), json!("bravo")], "{path}");
    }
}
