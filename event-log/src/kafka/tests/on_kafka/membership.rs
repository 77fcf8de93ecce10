//! Members of the group of owners share the partitions, hand them over, lose and regain them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::faults::{Behind, claimed};
use crate::kafka::logging::Logging;
use crate::kafka::tests::cluster;
use crate::kafka::tests::proxy::{JOIN_GROUP, Proxy};
use crate::kafka::{KafkaConfig, KafkaLog};
use crate::membership::{Handover, Turn};
use crate::port::{EventLog, LogError, Partition};

pub(super) const PARTITIONS: u32 = 4;

/// How long members may be silent in tests that make them so. In seconds: 3.
pub(super) const SESSION: Duration = Duration::from_secs(3);

/// What all members own, as they say themselves.
#[derive(Default)]
pub(super) struct Ledger {
    owned: BTreeMap<usize, BTreeSet<Partition>>,
    pub(super) lost: BTreeMap<usize, usize>,
    let_go: BTreeMap<Partition, Instant>,
    /// How long partitions were unserved between two owners.
    gaps: Vec<Duration>,
    /// The way to the brokers, where it is watched.
    way: Option<Proxy>,
    /// How many requests to join had come by whenever a partition was let go of.
    joined: Vec<usize>,
}

impl Ledger {
    fn take(&mut self, member: usize, partition: Partition) {
        self.gaps.extend(self.let_go.remove(&partition).map(|it| it.elapsed()));
        let is_new = self.owned.entry(member).or_default().insert(partition);
        assert!(is_new, "it is given or lost before it is taken again");
    }

    fn let_go(&mut self, member: usize, partition: Partition) {
        let owned = self.owned.entry(member).or_default();
        assert!(owned.remove(&partition), "only what was taken is given or lost");
        self.let_go.insert(partition, Instant::now());
        self.joined.extend(self.way.as_ref().map(|it| it.seen(JOIN_GROUP)));
    }

    /// How many partitions each member owns.
    pub(super) fn counts(&self) -> Vec<usize> {
        self.owned.values().map(BTreeSet::len).filter(|it| *it > 0).collect()
    }

    /// How many partitions are owned by more than one member.
    fn twice(&self) -> usize {
        let partitions: BTreeSet<_> = self.owned.values().flatten().collect();
        self.counts().iter().sum::<usize>() - partitions.len()
    }
}

/// What a member does when it is to give a partition away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Lets go of it.
    Polite,
    /// Never does.
    Stubborn,
}

/// The members of one group.
pub(super) struct Group {
    ledger: Arc<watch::Sender<Ledger>>,
}

/// One member on a task of its own.
pub(super) struct Owner {
    leave: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Group {
    pub(super) fn new() -> Self {
        Self { ledger: Arc::new(watch::Sender::default()) }
    }

    pub(super) async fn join(&self, log: &KafkaLog, member: usize, manner: Manner) -> Owner {
        let mut membership = log.join("a test").await.unwrap();
        let (leave, mut asked_to) = oneshot::channel();
        let ledger = self.ledger.clone();
        let task = tokio::spawn(async move {
            let mut kept: Vec<Handover> = Vec::new();
            let mut resigned = false;
            loop {
                let turn = tokio::select! {
                    turn = membership.next() => turn,
                    _ = &mut asked_to, if !resigned => {
                        membership.resign();
                        resigned = true;
                        continue;
                    }
                };
                let turn = match turn {
                    Err(LogError::Closed) if resigned => break,
                    turn => turn.unwrap(),
                };
                match turn {
                    Turn::Take(it) => ledger.send_modify(|ledger| ledger.take(member, it)),
                    Turn::Give(_, handover) if manner == Manner::Stubborn => kept.push(handover),
                    Turn::Give(it, handover) => {
                        ledger.send_modify(|ledger| ledger.let_go(member, it));
                        drop(handover);
                    }
                    Turn::Lost(it) => ledger.send_modify(|ledger| {
                        *ledger.lost.entry(member).or_default() += 1;
                        ledger.let_go(member, it);
                    }),
                }
            }
            membership.leave().await;
        });
        Owner { leave: Some(leave), task }
    }

    /// Waits until the members own what is `wanted`.
    pub(super) async fn until(&self, wanted: impl Fn(&Ledger) -> bool) {
        let mut ledger = self.ledger.subscribe();
        let reached = tokio::time::timeout(cluster::PATIENCE_MAX, ledger.wait_for(|it| wanted(it)));
        let told = reached.await.map(drop);
        assert!(told.is_ok(), "{:?}", self.ledger.borrow().owned);
    }

    /// How many requests to join had come by whenever a partition was let go of since the last look.
    fn joined(&self) -> Vec<usize> {
        let mut joined = Vec::new();
        self.ledger.send_modify(|it| std::mem::swap(&mut joined, &mut it.joined));
        joined
    }

    fn print(&self, what: &str) {
        let mut gaps = Vec::new();
        self.ledger.send_modify(|it| std::mem::swap(&mut gaps, &mut it.gaps));
        drop(writeln!(std::io::stderr(), "unserved, {what}: {gaps:?}"));
    }
}

impl Owner {
    async fn leave(mut self) {
        self.leave.take().expect("it leaves once").send(()).unwrap();
        self.task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_the_partitions_and_hand_them_over() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(PARTITIONS).await;
    let logs = [topics.open().await, topics.open().await, topics.open().await];
    let group = Group::new();
    let one = group.join(&logs[0], 1, Manner::Polite).await;
    group.until(|it| it.counts() == [4]).await;
    let two = group.join(&logs[1], 2, Manner::Polite).await;
    group.until(|it| it.counts() == [2, 2]).await;
    group.print("with a second member");
    let three = group.join(&logs[2], 3, Manner::Polite).await;
    group.until(|it| it.owned.len() == 3 && it.counts().iter().sum::<usize>() == 4).await;
    group.print("with a third member");
    two.leave().await;
    group.until(|it| it.counts() == [2, 2]).await;
    group.print("after one has left");
    one.leave().await;
    group.until(|it| it.counts() == [4]).await;
    group.print("after the next has left");
    // Where there is nobody who could take over, it is let go of too.
    three.leave().await;
    let ledger = group.ledger.borrow();
    assert_eq!((ledger.counts(), &ledger.lost), (Vec::new(), &BTreeMap::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_let_go_holds_up_nobody() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(PARTITIONS).await;
    let logs = [topics.open().await, topics.open().await];
    let group = Group::new();
    let stubborn = group.join(&logs[0], 1, Manner::Stubborn).await;
    group.until(|it| it.counts() == [4]).await;
    let _other = group.join(&logs[1], 2, Manner::Polite).await;
    group.until(|it| it.counts() == [4, 2] && it.twice() == 2).await;
    drop(stubborn);
}

/// Whoever lets go sooner leaves the partition to nobody until all have joined.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_away_is_served_until_all_have_joined() {
    let Some(behind) = Behind::start(PARTITIONS).await else { return };
    let group = Group::new();
    group.ledger.send_modify(|it| it.way = Some(behind.proxy.clone()));
    let (first, second) = (behind.open().await, behind.open().await);
    let one = group.join(&first, 1, Manner::Polite).await;
    group.until(|it| it.counts() == [4]).await;
    let before = behind.proxy.seen(JOIN_GROUP);
    let two = group.join(&second, 2, Manner::Polite).await;
    group.until(|it| it.counts() == [2, 2]).await;
    // The second asks for a name and joins, the first joins with what it has, and both once more.
    assert_eq!(group.joined(), [before + 5; 2]);

    let before = behind.proxy.seen(JOIN_GROUP);
    one.leave().await;
    group.until(|it| it.counts() == [4]).await;
    assert_eq!(group.joined(), [before + 2; 2]);
    two.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_cut_off_loses_everything_and_comes_back() {
    let Some(behind) = Behind::start(PARTITIONS).await else { return };
    let config = KafkaConfig { session_timeout: SESSION, ..behind.config.clone() };
    let group = Group::new();
    let first = KafkaLog::open(config.clone()).await.unwrap();
    let _one = group.join(&first, 1, Manner::Polite).await;
    group.until(|it| it.counts() == [4]).await;
    let before = behind.proxy.connections();
    let second = KafkaLog::open(config).await.unwrap();
    let _two = group.join(&second, 2, Manner::Polite).await;
    group.until(|it| it.counts() == [2, 2]).await;
    behind.proxy.cut_first(before);
    group.until(|it| it.owned[&1].is_empty() && it.owned[&2].len() == 4).await;
    behind.proxy.mend();
    group.until(|it| it.counts() == [2, 2]).await;
    // The control is the member that was not cut off.
    assert_eq!(group.ledger.borrow().lost, BTreeMap::from([(1, 2)]));
}

/// A member that takes part in nothing it is asked for, and says all the time that it is there: the
/// others wait for it for as long as the group lets them, 23 s.
pub(super) fn absent_minded(config: &KafkaConfig) -> BaseConsumer<Logging> {
    let consumer: BaseConsumer<Logging> =
        config.member("a test").create_with_context(Logging).unwrap();
    consumer.subscribe(&[&config.events()]).unwrap();
    consumer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_cut_off_while_all_join_anew_loses_everything() {
    let Some(behind) = Behind::start(PARTITIONS).await else { return };
    let config = KafkaConfig { session_timeout: SESSION, ..behind.config.clone() };
    let group = Group::new();
    let log = KafkaLog::open(config.clone()).await.unwrap();
    let _one = group.join(&log, 1, Manner::Polite).await;
    group.until(|it| it.counts() == [4]).await;
    let (connections, before) = (behind.proxy.connections(), behind.proxy.seen(JOIN_GROUP));
    let absent = absent_minded(&config);
    // The other asks for a name and joins; the first joins with what it has, and once more.
    let joined = async {
        while behind.proxy.seen(JOIN_GROUP) < before + 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(cluster::PATIENCE_MAX, joined).await.unwrap();
    behind.proxy.cut_first(connections);
    // It is told so while it reaches nobody.
    group.until(|it| it.owned[&1].is_empty() && it.lost.contains_key(&1)).await;
    behind.proxy.mend();
    tokio::task::block_in_place(|| drop(absent));
    group.until(|it| it.counts() == [4]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_waits_for_another_loses_nothing() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(PARTITIONS).await;
    let config = KafkaConfig { session_timeout: SESSION, ..topics.config.clone() };
    let group = Group::new();
    let log = KafkaLog::open(config.clone()).await.unwrap();
    let _one = group.join(&log, 1, Manner::Polite).await;
    group.until(|it| it.counts() == [4]).await;
    let absent = absent_minded(&config);
    // Two were to be given, and are served for no longer than a bound.
    group.until(|it| it.counts() == [2]).await;
    // The group does without the other one in the end, several sessions later.
    group.until(|it| it.counts() == [4]).await;
    assert_eq!(group.ledger.borrow().lost, BTreeMap::new());
    tokio::task::block_in_place(|| drop(absent));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_and_announcements_go_on_when_the_brokers_come_back() {
    let Some(behind) = Behind::start(PARTITIONS).await else { return };
    let group = Group::new();
    let (first, second) = (behind.open().await, behind.open().await);
    let one = group.join(&first, 1, Manner::Polite).await;
    group.until(|it| it.counts() == [4]).await;
    let mut writer = first.claim(Partition(0)).await.unwrap();
    writer.announce("before:1").await.unwrap();
    drop(writer);

    tokio::task::block_in_place(|| behind.cluster.broker(0).kill().unwrap());
    // Joining waits for nobody.
    let two = group.join(&second, 2, Manner::Polite).await;
    tokio::task::block_in_place(|| behind.cluster.broker(0).restart().unwrap());
    group.until(|it| it.counts() == [2, 2]).await;
    let mut writer = claimed(&first, Partition(0)).await;
    writer.announce("after:1").await.unwrap();
    let mut owners = second.owners();
    let told = owners.wait_for(|it| it[0].as_deref() == Some("after:1"));
    let told = tokio::time::timeout(cluster::PATIENCE_MAX, told).await;
    assert!(told.is_ok(), "the announcement is heard of");
    two.leave().await;
    group.until(|it| it.counts() == [4]).await;
    one.leave().await;
}

#[tokio::test]
async fn a_membership_ends_with_its_log() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(1).await;
    let log = topics.open().await;
    let mut membership = log.join("a test").await.unwrap();
    assert!(matches!(membership.next().await, Ok(Turn::Take(Partition(0)))));
    drop(log);
    assert!(matches!(membership.next().await, Ok(Turn::Lost(Partition(0)))));
    assert!(matches!(membership.next().await, Err(crate::port::LogError::Closed)));
}

#[tokio::test]
async fn members_say_of_themselves_what_they_are() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(1).await;
    let (log, other) = (topics.open().await, topics.open().await);
    assert!(log.members().await.unwrap().is_empty(), "nobody has joined");
    let one = log.join("level 1 at one:1").await.unwrap();
    let two = other.join("level 2").await.unwrap();
    says(&log, &["level 1 at one:1", "level 2"]).await;
    one.leave().await;
    says(&log, &["level 2"]).await;
    says(&other, &["level 2"]).await;
    two.leave().await;
}

/// Waits until the members say so.
async fn says(log: &KafkaLog, wanted: &[&str]) {
    let hearing = async {
        loop {
            let mut said = log.members().await.unwrap();
            said.sort();
            if said == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let heard = tokio::time::timeout(cluster::PATIENCE_MAX, hearing).await;
    assert!(heard.is_ok(), "expected {wanted:?}, got {:?}", log.members().await);
}
