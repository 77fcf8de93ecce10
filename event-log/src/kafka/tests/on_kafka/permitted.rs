//! Brokers that ask who may do what: what the guide for operators lists is enough, and where one of it
//! is missing, the error says of what.

use std::error::Error;

use xtask::services::kafka::Operation::{Describe, DescribeConfigs, Read, Write};
use xtask::services::kafka::Resource::{Groups, OneTopic, Topics, TransactionalIds};
use xtask::services::kafka::{Grant, Plan};

use super::secured::{Place, USER};
use crate::conformance::command;
use crate::kafka::replicas::TRANSACTIONS;
use crate::kafka::tests::cluster;
use crate::kafka::{KafkaConfig, KafkaLog, Security, init};
use crate::port::{EventLog, Partition, Position, SnapshotChunk};

const PARTITION: Partition = Partition(0);

/// What a log on topics that begin with `prefix` needs, and what is said where it is missing. Nothing
/// is said of what is here without a text: who may read or write may look anyway.
fn needed(prefix: &str) -> Vec<(Grant<'_>, &'static str)> {
    let all = [
        (Topics, prefix, Read, "TopicAuthorizationFailed"),
        (Topics, prefix, Write, "TopicAuthorizationFailed"),
        (Topics, prefix, Describe, ""),
        (Topics, prefix, DescribeConfigs, "describe-configs"),
        (TransactionalIds, prefix, Write, "Transactional Id authorization failed"),
        (TransactionalIds, prefix, Describe, ""),
        (Groups, prefix, Read, "GroupAuthorizationFailed"),
        (Groups, prefix, Describe, ""),
        (OneTopic, TRANSACTIONS, Describe, ""),
        (OneTopic, TRANSACTIONS, DescribeConfigs, "describe-configs"),
    ];
    let grant = |(with, name, operation, said)| (Grant { with, name, operation }, said);
    all.map(grant).to_vec()
}

/// An error with everything that is behind it, and in what.
fn told(doing: &str, error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |it| Error::source(*it));
    let causes: Vec<_> = causes.map(|it| format!("{it}; {it:?}")).collect();
    format!("{doing}: {}", causes.join(": "))
}

/// Does what a process does: starts, joins the owners, takes a partition from whoever has it, writes,
/// says where it is served, and reads.
async fn works(config: &KafkaConfig, number: u64) -> Result<(), String> {
    let log = KafkaLog::open(config.clone()).await.map_err(|it| told("starting", &it))?;
    let mut membership = log.join("a test").await.map_err(|it| told("joining", &it))?;
    membership.next().await.map_err(|it| told("being told", &it))?;
    log.members().await.map_err(|it| told("listing", &it))?;
    let mut writer = log.claim(PARTITION).await.map_err(|it| told("claiming", &it))?;
    let appended = writer.append(command(number, 2)).await.map_err(|it| told("writing", &it))?;
    writer.barrier().await.map_err(|it| told("proving", &it))?;
    writer.announce("here").await.map_err(|it| told("announcing", &it))?;
    let mut snapshot = writer.begin_snapshot(appended[1], 1);
    let chunk = SnapshotChunk { key: "state".to_owned(), bytes: Some(number.to_string().into()) };
    snapshot.stage(vec![chunk]).await.map_err(|it| told("keeping a snapshot", &it))?;
    snapshot.finish().await.map_err(|it| told("ending a snapshot", &it))?;
    log.snapshot(PARTITION, 1).await.map_err(|it| told("looking for a snapshot", &it))?;
    let end = log.end(PARTITION).await.map_err(|it| told("looking for the end", &it))?;
    let mut reader =
        log.read(PARTITION, Position::START).await.map_err(|it| told("opening", &it))?;
    let mut reached = Position::START;
    while reached < end {
        let read = reader.next(100).await.map_err(|it| told("reading", &it))?;
        reached = read.last().expect("it waits for one").position.next();
    }
    Ok(())
}

/// The same, until `is_so`: brokers hear of a change a moment later.
async fn until(
    what: &str,
    config: &KafkaConfig,
    number: &mut u64,
    is_so: impl Fn(&Result<(), String>) -> bool,
) {
    let mut last = Ok(());
    let trying = async {
        loop {
            *number += 2;
            last = works(config, *number).await;
            if is_so(&last) {
                return;
            }
        }
    };
    let so = tokio::time::timeout(cluster::PATIENCE_MAX, trying).await;
    assert!(so.is_ok(), "{what}: at last {last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_guide_lists_is_enough_and_each_of_it_is_named_where_it_is_missing() {
    let Some(place) = Place::start(Plan::new(1).with_grants()) else { return };
    let config = place.fitting();
    let anybody = KafkaConfig {
        bootstrap: place.cluster.bootstrap(),
        security: Security::Plaintext,
        ..config.clone()
    };
    init(&anybody, 1).await.unwrap();
    let needed = needed(&config.prefix);
    let refused = works(&config, 1).await.unwrap_err();
    assert!(refused.contains("Missing"), "nobody sees anything without a right: {refused}");
    for (grant, _) in &needed {
        place.cluster.grant(USER, *grant).unwrap();
    }
    let mut number = 1;
    until("everything is allowed", &config, &mut number, Result::is_ok).await;
    for (grant, said) in needed.iter().filter(|it| !it.1.is_empty()) {
        let (without, with) = (format!("without {grant:?}"), format!("again with {grant:?}"));
        place.cluster.withdraw(USER, *grant).unwrap();
        let is_named = |it: &Result<(), String>| it.as_ref().is_err_and(|it| it.contains(said));
        until(&without, &config, &mut number, is_named).await;
        place.cluster.grant(USER, *grant).unwrap();
        until(&with, &config, &mut number, Result::is_ok).await;
    }
}
