use axum::Router;
use axum::body::Body;
use axum::http::header;
use axum::middleware;
use axum::routing::get;
use domain::id::{ActorId, TenantId};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tower::ServiceExt;
use uuid::Uuid;
use vault::{Keyring, MemoryVault, Root};

use super::*;

async fn keyring() -> Keyring {
    let root = Root::from_hex(&"07".repeat(32), "the test").unwrap();
    Keyring::open(Arc::new(MemoryVault::default()), root).await.unwrap()
}

/// Bounds of so many requests, and so many of each tenant.
fn bounds(keyring: Keyring, requests_max: usize, share: usize) -> Bounds {
    let room = Arc::new(Semaphore::new(requests_max));
    Bounds {
        room,
        shares: Streams::new(share),
        ..Bounds::new(Verifier::between_processes(keyring), Turns::new(1))
    }
}

/// Routes behind bounds: one answers when it is let go, one never.
fn doors(bounds: Bounds, go: Arc<Semaphore>) -> Router {
    let wait = move || async move {
        let _permit = go.acquire().await;
        "done"
    };
    Router::new()
        .route("/wait", get(wait))
        .route("/never", get(std::future::pending::<&'static str>))
        .layer(middleware::from_fn_with_state(bounds, bound))
}

fn request(path: &str) -> Request {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn who_finds_no_room_is_told_when_to_try_again() {
    let go = Arc::new(Semaphore::new(0));
    let bounds = bounds(keyring().await, 1, 1);
    let doors = doors(bounds.clone(), Arc::clone(&go));
    let first = tokio::spawn(doors.clone().oneshot(request("/wait")));
    while bounds.room.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let refused = doors.clone().oneshot(request("/wait")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "1");

    go.add_permits(8);
    assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::OK);
    let again = doors.oneshot(request("/wait")).await.unwrap();
    assert_eq!(again.status(), StatusCode::OK, "the first one left");
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_given_up() {
    let bounds = Bounds::new(Verifier::between_processes(keyring().await), Turns::new(1));
    let doors = doors(bounds, Arc::new(Semaphore::new(0)));
    let answer = doors.oneshot(request("/never")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
}

/// How a second request of tenant A and one of tenant B are answered while A has one in flight.
async fn beside_one_of_a(share: usize) -> [StatusCode; 2] {
    let keyring = keyring().await;
    let [a, b] = [1, 2].map(|it| {
        let (tenant, actor) = (TenantId(Uuid::from_u128(it)), ActorId(Uuid::from_u128(it)));
        crate::auth::mint(keyring.issuer(), tenant, actor, TIME_MAX).unwrap()
    });
    let of = |token: &str| {
        let request =
            Request::get("/wait").header(header::AUTHORIZATION, format!("Bearer {token}"));
        request.body(Body::empty()).unwrap()
    };
    let go = Arc::new(Semaphore::new(0));
    let bounds = bounds(keyring.clone(), 8, share);
    let doors = doors(bounds.clone(), Arc::clone(&go));
    let start = |token: &str| tokio::spawn(doors.clone().oneshot(of(token)));
    let first = start(&a);
    while bounds.room.available_permits() > 7 {
        tokio::task::yield_now().await;
    }
    let others = [start(&a), start(&b)];
    // Each of the two is either refused or waits.
    while bounds.room.available_permits() > 5 && !others.iter().any(JoinHandle::is_finished) {
        tokio::task::yield_now().await;
    }
    go.add_permits(8);
    let mut statuses = Vec::new();
    for answer in futures::future::join_all(others).await {
        let answer = answer.unwrap().unwrap();
        let busy = answer.status() == StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(busy, answer.headers().contains_key(header::RETRY_AFTER));
        statuses.push(answer.status());
    }
    assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::OK);
    let again = doors.oneshot(of(&a)).await.unwrap();
    assert_eq!(again.status(), StatusCode::OK, "its share is free again");
    statuses.try_into().unwrap()
}

#[tokio::test]
async fn a_tenant_at_its_share_keeps_nobody_else_out() {
    let (served, busy) = (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(beside_one_of_a(1).await, [busy, served]);
    assert_eq!(beside_one_of_a(2).await, [served, served], "it is the share that refuses");
}
