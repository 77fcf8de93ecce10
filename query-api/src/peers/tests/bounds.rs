//! What the door between processes takes at a time, and for how long.

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use futures::{StreamExt, future};
use tower::ServiceExt;

use super::{Door, rename};
use crate::peers::COMMANDS;
use crate::testing::Member;

/// Requests of one tenant that are served at a time.
const TENANT_REQUESTS_MAX: usize = 256;

impl Door {
    /// A request of which everything is there but the end of its body.
    async fn unfinished(&self, who: &Member) -> Response<Body> {
        let begun = futures::stream::iter([Ok::<_, std::io::Error>("{\"operation\":")]);
        let body = Body::from_stream(begun.chain(futures::stream::pending()));
        self.oneshot(who, body).await
    }

    async fn whole(&self, who: &Member) -> StatusCode {
        let body = serde_json::to_vec(&rename("Whole")).unwrap();
        self.oneshot(who, body.into()).await.status()
    }

    async fn oneshot(&self, who: &Member, body: Body) -> Response<Body> {
        let request = Request::post(COMMANDS)
            .header(header::AUTHORIZATION, format!("Bearer {}", who.token))
            .header(header::CONTENT_TYPE, "application/json");
        self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap()
    }
}

#[tokio::test]
async fn a_tenant_with_too_many_requests_is_told_to_come_back_and_keeps_nobody_else_out() {
    let door = Door::open().await;
    let (a, b) = (&door.site.a, &door.site.b);
    let many = future::join_all((0..TENANT_REQUESTS_MAX).map(|_| Box::pin(door.unfinished(a))));
    let mut many = Box::pin(many);
    // Each is let in when it is first looked at.
    assert!(future::poll_immediate(&mut many).await.is_none(), "they wait for their bodies");
    let refused = door.unfinished(a).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
    assert_eq!(door.whole(b).await, StatusCode::OK);
    drop(many);
    assert_eq!(door.whole(a).await, StatusCode::OK, "those who left have left their room");
}

#[tokio::test]
async fn a_body_that_does_not_come_to_its_end_is_given_up() {
    let door = Door::open().await;
    tokio::time::pause();
    let answer = door.unfinished(&door.site.a).await;
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
}
