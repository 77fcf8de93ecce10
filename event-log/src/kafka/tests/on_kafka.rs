//! Tests on a broker.

use std::sync::Arc;

use super::cluster;

mod faults;
mod promises;
mod reading;
mod transactions;

crate::conformance_tests!({
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(2).await;
    (Arc::new(topics.open().await), topics)
});
