use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test]
async fn siblings_are_fetched_together_and_each_gets_its_own() {
    let (batch, calls) = (Batch::<u32, u32>::default(), AtomicUsize::new(0));
    let fetch = async |keys: Vec<u32>| {
        calls.fetch_add(1, Ordering::Relaxed);
        Ok(keys.into_iter().map(|it| it * 2).collect())
    };
    let all = futures::future::join_all((0..700).map(|it| batch.load(it, fetch))).await;
    let values: Vec<u32> = all.into_iter().map(Result::unwrap).collect();
    assert_eq!(values, (0..700).map(|it| it * 2).collect::<Vec<_>>());
    assert_eq!(calls.load(Ordering::Relaxed), 2, "500 keys and 200 keys");
}

#[tokio::test]
async fn a_failure_reaches_every_sibling() {
    let batch = Batch::<u32, u32>::default();
    let fetch = async |_| Err(ApiError::argument("no"));
    let all = futures::future::join_all((0..3).map(|it| batch.load(it, fetch))).await;
    assert!(all.into_iter().all(|it| it.unwrap_err().message == "no"));
}

#[tokio::test]
async fn a_leader_that_is_given_up_strands_nobody() {
    let batch = Batch::<u32, u32>::default();
    let fetch = async |keys: Vec<u32>| Ok(keys);
    let mut leader = Box::pin(batch.load(1, fetch));
    let mut follower = Box::pin(batch.load(2, fetch));
    assert!(futures::poll!(&mut leader).is_pending());
    assert!(futures::poll!(&mut follower).is_pending());
    drop(leader);
    let given_up = crate::testing::soon(follower).await;
    assert_eq!(given_up.unwrap_err().message, "the operation was given up");
    let next = crate::testing::soon(batch.load(3, fetch)).await;
    assert_eq!(next.unwrap(), 3, "the next to ask leads");
}
