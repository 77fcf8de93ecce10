//! Two processes that say the same address.

use std::sync::Arc;
use std::time::Duration;

use super::cluster::Cluster;
use crate::Excluded;

/// How long processes are watched that may go on. In seconds: 120.
const WATCHED: Duration = Duration::from_secs(120);

#[tokio::test(start_paused = true)]
async fn who_says_the_address_of_another_process_is_told_which_setting_is_wrong() {
    let mut cluster = Cluster::new(2, 1, None).await;
    tokio::time::sleep(WATCHED).await;
    cluster.join_at(Arc::new(cluster.log.clone()), "node-1".to_owned()).await;
    let told = tokio::time::timeout(WATCHED, cluster.nodes[2].excluded()).await;
    let told = told.expect("it is told");
    assert_eq!(told, Excluded::SameAddress("node-1".to_owned()));
    assert!(told.to_string().contains("`cluster.address`"), "{told}");
    // Those that were there before go on.
    for node in &cluster.nodes[..2] {
        assert!(tokio::time::timeout(WATCHED, node.excluded()).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_that_start_at_the_same_moment_with_one_address_the_first_goes_on() {
    let mut cluster = Cluster::new(1, 1, None).await;
    for _ in 0..2 {
        cluster.join_at(Arc::new(cluster.log.clone()), "node-9".to_owned()).await;
    }
    let told = tokio::time::timeout(WATCHED, cluster.nodes[2].excluded()).await;
    assert_eq!(told, Ok(Excluded::SameAddress("node-9".to_owned())));
    for node in &cluster.nodes[..2] {
        assert!(tokio::time::timeout(WATCHED, node.excluded()).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn who_takes_the_place_of_a_process_that_died_has_its_address() {
    let mut cluster = Cluster::new(2, 1, None).await;
    cluster.join_at(Arc::new(cluster.log.clone()), "node-1".to_owned()).await;
    // The one before counts as a member for a while, and for longer where brokers fail too.
    tokio::time::sleep(Duration::from_secs(35)).await;
    cluster.group.hide(1);
    assert!(tokio::time::timeout(WATCHED, cluster.nodes[2].excluded()).await.is_err());
}
