use axum::Router;
use axum::body::Body;
use axum::http::header;
use axum::middleware;
use axum::routing::get;
use tokio::sync::Semaphore;
use tower::ServiceExt;

use super::*;

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
    let bounds = Bounds::new(1, TIME_MAX);
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
    let doors = doors(Bounds::default(), Arc::new(Semaphore::new(0)));
    let answer = doors.oneshot(request("/never")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
}
