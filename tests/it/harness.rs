//! What tests of the whole program share: the real binary, a folder of its own, a running server
//! and a client of its doors.
//!
//! Start at [`Installation`]: one data folder and one address; [`Installation::up`] starts a
//! server on them. Nothing here knows what a test is about.

mod api;
mod binary;
mod browser;
mod cluster;
mod installation;
mod profile;
mod random;
mod server;
mod services;

pub(crate) use api::Api;
pub(crate) use binary::{callboard, callboard_next};
pub(crate) use browser::{Answer, Asked, Browser, Page, exchange};
pub(crate) use cluster::{Cluster, Ground, database};
pub(crate) use installation::{Installation, Ran, free_address};
pub(crate) use profile::Profile;
pub(crate) use random::Random;
pub(crate) use server::Server;
pub(crate) use services::{
    given_kafka, given_keycloak, given_postgres, kafka_distribution, keycloak_distribution,
    oidc_provider, postgres_binaries,
};

use std::time::Duration;

/// How long anything awaited may take before a test gives up. In seconds: 60, generous, for it
/// is a bound and not a target.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `question` again and again until it has an answer.
///
/// # Panics
///
/// Without an answer within [`PATIENCE`].
pub(crate) async fn eventually<T>(what: &str, mut question: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = question().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    answer.unwrap_or_else(|_| panic!("gave up waiting: {what}"))
}
