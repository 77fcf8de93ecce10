//! Tests on a broker.

use std::sync::Arc;

use super::cluster;

mod announcing;
mod clock;
mod ends;
mod faults;
mod letting_go;
mod membership;
mod permitted;
mod promises;
mod reading;
mod removed;
mod replicas;
mod secured;
mod transactions;

crate::conformance_tests!({
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(2).await;
    (Arc::new(topics.open().await), topics)
});
