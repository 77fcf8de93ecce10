//! A process whose clock is not that of the log decides nothing and owns nothing until it is right again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog as _, LogError, Partition};

use super::cluster::Cluster;
use super::installation::{SOON, operator, put};
use super::leaving::Endless;
use super::wrapped::WrappedLog;
use crate::away::Away;
use crate::clock::{Clock, SystemClock};
use crate::request::{CommandError, Request};

/// How far the clock is off. In seconds: 1200.
const OFF: i64 = 1_200;

/// How long a process whose clock is wrong is watched. In seconds: 60.
const WATCHED: Duration = Duration::from_secs(60);

/// A node to which the log says that its clock is ahead by as many seconds as the number says.
async fn join_ahead(cluster: &mut Cluster, ahead: i64) -> Arc<AtomicI64> {
    let (shown, clock) = (Arc::new(AtomicI64::new(ahead)), cluster.clock.clone());
    let asked = shown.clone();
    let log = WrappedLog::new(cluster.log.clone(), |it| it)
        .with_time(move || SystemTime::from(clock.now() - TimeDelta::seconds(asked.load(SeqCst))));
    cluster.join_on(Arc::new(log)).await;
    shown
}

/// Waits until that node owns nothing.
async fn owns_nothing(cluster: &Cluster, node: usize) {
    let mut owned = cluster.nodes[node].owned();
    let waiting = owned.wait_for(BTreeSet::is_empty);
    drop(tokio::time::timeout(WATCHED, waiting).await.expect("it lets go").unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_clock_is_wrong_leaves_its_partitions_to_others_until_it_is_right() {
    for off in [OFF, -OFF, 6] {
        let mut cluster = Cluster::new(1, 1, None).await;
        let ahead = join_ahead(&mut cluster, 0).await;
        cluster.hand_over(0, 1).await;
        let acme = cluster.tenant("acme").await;
        assert!(!cluster.nodes[1].has_wrong_clock());
        ahead.store(off, SeqCst);
        owns_nothing(&cluster, 1).await;
        assert!(cluster.nodes[1].has_wrong_clock() && !cluster.nodes[0].has_wrong_clock());
        cluster.submit(&acme, put("web")).await.expect("another one has taken over");
        assert_eq!(cluster.log_members().await, 1, "it can be given nothing");
        // It comes back by itself.
        ahead.store(0, SeqCst);
        let back = async {
            while cluster.log_members().await < 2 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(WATCHED, back).await.expect("it joins again");
        // It is the third that joined.
        cluster.group.hand_over(Partition(0), 2).await;
        let mut owned = cluster.nodes[1].owned();
        let waiting = owned.wait_for(|it| !it.is_empty());
        drop(tokio::time::timeout(SOON, waiting).await.expect("it owns again").unwrap());
        let decided = cluster.nodes[1].submit(&acme, Request::new(put("other"))).await;
        assert_eq!(decided.unwrap().events.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_owned_by_a_clock_that_was_never_compared_until_it_is() {
    let mut cluster = Cluster::new(1, 1, None).await;
    let (tells, clock) = (Arc::new(AtomicBool::new(false)), cluster.clock.clone());
    let told = tells.clone();
    let log = WrappedLog::new(cluster.log.clone(), |it| it).with_time_if(move || {
        if told.load(SeqCst) { Ok(SystemTime::from(clock.now())) } else { Err(LogError::Closed) }
    });
    cluster.join_on(Arc::new(log)).await;
    tokio::time::sleep(WATCHED).await;
    assert!(cluster.nodes[1].has_wrong_clock());
    assert_eq!(cluster.log_members().await, 1, "it can be given nothing");
    tells.store(true, SeqCst);
    let joined = async {
        while cluster.log_members().await < 2 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(SOON, joined).await.expect("it joins soon");
    assert!(!cluster.nodes[1].has_wrong_clock());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_off_by_less_is_good_enough() {
    for off in [-5, 0, 5] {
        let mut cluster = Cluster::new(1, 1, None).await;
        join_ahead(&mut cluster, off).await;
        cluster.hand_over(0, 1).await;
        tokio::time::sleep(WATCHED).await;
        assert_eq!(cluster.nodes[1].owned().borrow().len(), 1);
        cluster.tenant("acme").await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_by_a_clock_that_is_known_to_be_wrong() {
    let mut cluster = Cluster::new(1, 1, None).await;
    let (ahead, clock) = (Arc::new(AtomicI64::new(0)), cluster.clock.clone());
    let asked = ahead.clone();
    // It goes on with what it has for a while, since nobody takes it over.
    let log = WrappedLog::new(cluster.log.clone(), |it| it)
        .with_members(|member| Box::new(Endless(member)))
        .with_time(move || SystemTime::from(clock.now() - TimeDelta::seconds(asked.load(SeqCst))));
    cluster.join_on(Arc::new(log)).await;
    cluster.hand_over(0, 1).await;
    let acme = cluster.tenant("acme").await;
    ahead.store(OFF, SeqCst);
    let refused = async {
        loop {
            let name = format!("web-{}", uuid::Uuid::now_v7());
            match cluster.nodes[1].submit(&acme, Request::new(put(&name))).await {
                Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(error) => return error,
            }
        }
    };
    let refused = tokio::time::timeout(WATCHED, refused).await.expect("it looks at the clock");
    assert!(matches!(refused, CommandError::Unavailable(Away::Clock)), "{refused:?}");
    owns_nothing(&cluster, 1).await;
    cluster.submit(&acme, put("web")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_by_a_clock_that_has_just_been_set_and_the_log_is_asked_at_once() {
    for off in [OFF, -OFF, 6] {
        let mut cluster = Cluster::new(1, 1, None).await;
        let (there, asked) = (cluster.clock.now(), Arc::new(AtomicUsize::new(0)));
        let counted = asked.clone();
        let log = WrappedLog::new(cluster.log.clone(), |it| it).with_time(move || {
            counted.fetch_add(1, SeqCst);
            SystemTime::from(there)
        });
        cluster.join_on(Arc::new(log)).await;
        cluster.hand_over(0, 1).await;
        let acme = cluster.tenant("acme").await;
        // It has just been asked, and would not be for some time.
        let before = asked.load(SeqCst);
        while asked.load(SeqCst) == before {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (asked_before, end) =
            (asked.load(SeqCst), cluster.log.end(Partition(0)).await.unwrap());
        cluster.clock.set_by(TimeDelta::seconds(off));
        let refused = cluster.nodes[1].submit(&acme, Request::new(put("web"))).await;
        assert!(matches!(refused, Err(CommandError::Unavailable(Away::Clock))), "{refused:?}");
        assert_eq!(cluster.log.end(Partition(0)).await.unwrap(), end);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(asked.load(SeqCst), asked_before + 1);
        owns_nothing(&cluster, 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_right_serves_a_partition_whose_owner_was_ahead() {
    let mut cluster = Cluster::new(1, 1, None).await;
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    let ahead = cluster.submit(&acme, put("web")).await.unwrap();
    cluster.clock.set_by(TimeDelta::seconds(-OFF));
    // With nothing to compare with, any clock may be the wrong one.
    let refused = cluster.nodes[0].submit(&acme, Request::new(put("mobile"))).await;
    assert!(matches!(refused, Err(CommandError::Unavailable(Away::Clock))), "{refused:?}");
    join_ahead(&mut cluster, 0).await;
    cluster.hand_over(0, 1).await;
    let decided = cluster.nodes[1].submit(&acme, Request::new(put("mobile"))).await.unwrap();
    assert_eq!(decided.at, ahead.at, "recorded time never decreases");
    // It goes on as soon as its clock has come so far.
    cluster.clock.advance(TimeDelta::seconds(OFF + 60));
    let decided = cluster.nodes[1].submit(&acme, Request::new(put("desktop"))).await.unwrap();
    assert_eq!(decided.at, ahead.at + TimeDelta::seconds(60));
}

/// How long anything may take on brokers. In seconds: 60.
const PATIENCE_MAX: Duration = Duration::from_secs(60);

/// The clock of this machine, set forward by as many seconds as the number says.
#[derive(Clone, Debug, Default)]
struct Ahead(Arc<AtomicI64>);

#[async_trait]
impl Clock for Ahead {
    fn now(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::seconds(self.0.load(SeqCst))
    }

    async fn wait_until(&self, at: DateTime<Utc>) {
        SystemClock.wait_until(at - TimeDelta::seconds(self.0.load(SeqCst))).await;
    }
}

mod on_kafka {
    use std::io::Write as _;

    use event_log::kafka::{KafkaConfig, KafkaLog, SESSION_TIMEOUT, Security, init};
    use tempfile::TempDir;
    use uuid::Uuid;
    use vault::{Keyring, MemoryVault, Root};

    use super::super::installation::register;
    use super::*;
    use crate::Commands;
    use crate::settings::Settings;

    const PARTITIONS: usize = 2;

    /// One process on a log that others share.
    async fn start(config: &KafkaConfig, keyring: &Keyring, clock: &Ahead) -> (Commands, TempDir) {
        let folder = TempDir::new().unwrap();
        let mut settings = Settings::new(folder.path().to_owned());
        settings.address = Some(Uuid::now_v7().to_string());
        let log = Arc::new(KafkaLog::open(config.clone()).await.unwrap());
        let clock = Arc::new(clock.clone());
        (Commands::start(log, keyring.clone(), clock, settings).await.unwrap(), folder)
    }

    /// Waits until it owns so many partitions.
    async fn owns(commands: &Commands, count: usize) {
        let mut owned = commands.owned();
        let waiting = owned.wait_for(|it| it.len() == count);
        let found = tokio::time::timeout(PATIENCE_MAX, waiting).await;
        drop(found.unwrap_or_else(|_| panic!("not {count}: {:?}", commands.owned())).unwrap());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_process_whose_clock_is_ahead_owns_nothing_until_it_is_right() {
        let Ok(bootstrap) = std::env::var("CALLBOARD_TEST_KAFKA") else {
            // Nobody may be reading.
            drop(writeln!(std::io::stderr(), "skipped: `CALLBOARD_TEST_KAFKA` is not set"));
            return;
        };
        let config = KafkaConfig {
            bootstrap,
            prefix: format!("test-{}.", Uuid::now_v7().simple()),
            replication: 1,
            session_timeout: SESSION_TIMEOUT,
            security: Security::Plaintext,
        };
        init(&config, u32::try_from(PARTITIONS).unwrap()).await.unwrap();
        let root = Root::from_hex(&"07".repeat(32), "the test").unwrap();
        let keyring = Keyring::open(Arc::new(MemoryVault::default()), root).await.unwrap();
        let (right, wrong) = (Ahead::default(), Ahead::default());
        wrong.0.store(OFF, SeqCst);
        // Alone, so that it would own everything.
        let (second, _kept) = start(&config, &keyring, &wrong).await;
        let (first, _kept_too) = start(&config, &keyring, &right).await;
        owns(&first, PARTITIONS).await;
        assert!(second.owned().borrow().is_empty());
        // It is set right, and takes its share.
        wrong.0.store(0, SeqCst);
        owns(&second, PARTITIONS / 2).await;
        // The clock of the other one is set wrong.
        right.0.store(OFF, SeqCst);
        owns(&first, 0).await;
        owns(&second, PARTITIONS).await;
        let register = register("acme");
        let decided = second.submit(&operator(), Request::new(register)).await.unwrap();
        assert!(decided.at <= Utc::now(), "nothing is recorded ahead of time");
        first.stop().await;
        second.stop().await;
    }
}
