//! How an owner lets go of a partition, and one that is not told that there are others.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use event_log::memory::Fault;
use event_log::{
    AppendError, Batch, EventLog, LogError, Membership, MemoryLog, Partition, Position, Reader,
    Recorded, SnapshotWriter, Turn, Writer,
};

use super::cluster::Cluster;
use super::installation::{SOON, put};
use super::wrapped::WrappedLog;
use crate::request::{CommandError, Request};

/// How long an append takes here. In milliseconds: 300, longer than who does not wait leaves to it.
const SLOW: Duration = Duration::from_millis(300);

/// What writers did, in order.
type Steps = Arc<Mutex<Vec<&'static str>>>;

/// A writer that takes its time and says what it does.
#[derive(Debug)]
struct Slow {
    writer: Box<dyn Writer>,
    steps: Steps,
}

impl Slow {
    fn note(&self, step: &'static str) {
        self.steps.lock().unwrap().push(step);
    }
}

#[async_trait]
impl Writer for Slow {
    async fn append(&mut self, batch: Batch) -> Result<Vec<Position>, AppendError> {
        self.note("begun");
        tokio::time::sleep(SLOW).await;
        let written = self.writer.append(batch).await;
        self.note(if written.is_ok() { "appended" } else { "not appended" });
        written
    }

    async fn barrier(&mut self) -> Result<(), AppendError> {
        self.writer.barrier().await
    }

    async fn announce(&mut self, address: &str) -> Result<(), AppendError> {
        self.writer.announce(address).await
    }

    async fn let_go(self: Box<Self>) {
        self.note("let go");
    }

    fn begin_snapshot(&mut self, upto: Position, fold: u32) -> Box<dyn SnapshotWriter> {
        self.writer.begin_snapshot(upto, fold)
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_owner_is_told_once_the_last_batch_is_answered_and_not_of_what_was_lost() {
    let mut cluster = Cluster::new(1, 1, None).await;
    let steps = Steps::default();
    let noted = steps.clone();
    let log = WrappedLog::new(cluster.log.clone(), |it| it)
        .with_writers(move |writer| Box::new(Slow { writer, steps: noted.clone() }));
    cluster.join_on(Arc::new(log)).await;
    cluster.hand_over(0, 1).await;
    let acme = cluster.tenant("acme").await;
    for is_given in [true, false] {
        steps.lock().unwrap().clear();
        let asked = tokio::spawn({
            let (node, acme) = (cluster.nodes[1].clone(), acme.clone());
            let name = if is_given { "given" } else { "lost" };
            async move { node.submit(&acme, Request::new(put(name))).await }
        });
        while steps.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if is_given {
            cluster.hand_over(0, 0).await;
            asked.await.unwrap().expect("what was begun is finished first");
            assert_eq!(*steps.lock().unwrap(), ["begun", "appended", "let go"]);
            cluster.hand_over(0, 1).await;
        } else {
            cluster.group.tell_lost(Partition(0), 1);
            asked.await.unwrap().expect("nobody else has come");
            let mut owned = cluster.nodes[1].owned();
            owned.wait_for(std::collections::BTreeSet::is_empty).await.unwrap();
            tokio::time::sleep(SOON).await;
            assert_eq!(*steps.lock().unwrap(), ["begun", "appended"]);
        }
    }
}

/// A member that goes on with what it has when it is to leave.
#[derive(Debug)]
pub(super) struct Endless(pub(super) Box<dyn Membership>);

#[async_trait]
impl Membership for Endless {
    async fn next(&mut self) -> Result<Turn, LogError> {
        self.0.next().await
    }

    fn silence_max(&self) -> Duration {
        self.0.silence_max()
    }

    fn resign(&mut self) {}

    async fn leave(self: Box<Self>) {
        self.0.leave().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_stops_does_not_wait_for_ever_until_others_have_what_it_had() {
    let mut cluster = Cluster::new(1, 1, None).await;
    let log = WrappedLog::new(cluster.log.clone(), |it| it)
        .with_members(|member| Box::new(Endless(member)));
    cluster.join_on(Arc::new(log)).await;
    cluster.hand_over(0, 1).await;
    let acme = cluster.tenant("acme").await;
    tokio::time::timeout(SOON, cluster.nodes[1].leave()).await.expect("it leaves in the end");
    let refused = cluster.nodes[1].submit(&acme, Request::new(put("web"))).await;
    assert!(matches!(refused, Err(CommandError::NotOwner(_))), "{refused:?}");
    // What it had goes to the one that is left.
    cluster.submit(&acme, put("web")).await.unwrap();
}

/// A reader that says nothing once it is told to.
#[derive(Debug)]
struct Silent {
    reader: Box<dyn Reader>,
    is_silent: Arc<AtomicBool>,
}

#[async_trait]
impl Reader for Silent {
    async fn next(&mut self, records_max: usize) -> Result<Vec<Recorded>, LogError> {
        if self.is_silent.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        self.reader.next(records_max).await
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_told_to_let_go_while_it_claims_sends_callers_to_the_owner() {
    for is_told in [true, false] {
        let mut cluster = Cluster::new(1, 1, None).await;
        cluster.hand_over(0, 0).await;
        let acme = cluster.tenant("acme").await;
        let is_silent = Arc::new(AtomicBool::new(false));
        let told = is_silent.clone();
        let log = WrappedLog::new(cluster.log.clone(), move |reader| {
            Box::new(Silent { reader, is_silent: told.clone() })
        });
        cluster.join_on(Arc::new(log)).await;
        is_silent.store(true, SeqCst);
        cluster.submit(&acme, put("web")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        // What it has to read to claim it does not come.
        cluster.submit(&acme, put("other")).await.unwrap();
        cluster.group.seize(Partition(0), 1);
        tokio::time::sleep(Duration::from_secs(5)).await;
        if is_told {
            cluster.group.tell_lost(Partition(0), 1);
        }
        tokio::time::sleep(Duration::from_secs(8)).await;
        let refused = cluster.nodes[1].submit(&acme, Request::new(put("web"))).await;
        let is_sent_on = matches!(&refused, Err(CommandError::NotOwner(_)));
        let is_away = matches!(&refused, Err(CommandError::Unavailable(_)));
        assert!(if is_told { is_sent_on } else { is_away }, "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_ends_although_an_owner_waits_for_a_log_that_says_nothing() {
    let mut cluster = Cluster::new(1, 1, None).await;
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    let is_silent = Arc::new(AtomicBool::new(false));
    let told = is_silent.clone();
    let log = WrappedLog::new(cluster.log.clone(), move |reader| {
        Box::new(Silent { reader, is_silent: told.clone() })
    });
    cluster.join_on(Arc::new(log)).await;
    is_silent.store(true, SeqCst);
    cluster.submit(&acme, put("web")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.submit(&acme, put("other")).await.unwrap();
    cluster.group.seize(Partition(0), 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stopped = tokio::time::timeout(Duration::from_secs(60), cluster.nodes[1].stop()).await;
    stopped.expect("it does not wait for ever");
}

/// For how long two owners are watched that are not told of each other. In seconds: 60.
const WATCHED: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn two_owners_that_are_not_told_of_each_other_do_not_fence_each_other_all_the_time() {
    let cluster = Cluster::new(2, 1, None).await;
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    cluster.seize(0, 1).await;
    let until = tokio::time::Instant::now() + WATCHED;
    let clients: Vec<_> = (0..2)
        .map(|number| {
            let (node, acme) = (cluster.nodes[number].clone(), acme.clone());
            tokio::spawn(async move {
                let mut served = 0_u32;
                for round in 0.. {
                    let name = format!("web-{number}-{round}");
                    let answer = node.submit(&acme, Request::new(put(&name))).await;
                    served += u32::from(answer.is_ok());
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    if tokio::time::Instant::now() >= until {
                        break;
                    }
                }
                served
            })
        })
        .collect();
    let (mut owners, mut claims) = (cluster.log.owners(), 0_u32);
    owners.mark_unchanged();
    while tokio::time::timeout_at(until, owners.changed()).await.is_ok() {
        claims += 1;
    }
    let mut served = 0;
    for client in clients {
        served += client.await.unwrap();
    }
    // Two at first, and then one in as long as a silence may last.
    assert!(claims <= 8, "{claims} claims");
    assert!(served > 500, "{served} were served, by one or the other");
    // Whoever is told does not come back for it.
    cluster.group.tell_lost(Partition(0), 0);
    cluster.serves_alone(0, 1).await;
}

/// How long an owner may be away that only has to claim again, twice. In seconds: 5, half a session.
const CLAIMED_AGAIN: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn an_owner_whose_writers_give_up_again_and_again_goes_on_where_nobody_else_came() {
    let cluster = Cluster::new(1, 1, None).await;
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    for _ in 0..2 {
        // Nobody has claimed the partition: so does a writer end that lost its connection.
        cluster.log.faults().fail_next(Fault::Fenced);
    }
    let asked = cluster.nodes[0].submit(&acme, Request::new(put("web")));
    let answered = tokio::time::timeout(CLAIMED_AGAIN, asked).await.expect("it is served soon");
    assert_eq!(answered.expect("nobody else is there").events.len(), 1);
}

/// A writer whose partition another one claims, and says that it serves, whenever this one is about to
/// say so.
#[derive(Debug)]
struct Overtaken {
    writer: Box<dyn Writer>,
    log: MemoryLog,
    times: Arc<AtomicU32>,
}

#[async_trait]
impl Writer for Overtaken {
    async fn append(&mut self, batch: Batch) -> Result<Vec<Position>, AppendError> {
        self.writer.append(batch).await
    }

    async fn barrier(&mut self) -> Result<(), AppendError> {
        self.writer.barrier().await
    }

    async fn announce(&mut self, address: &str) -> Result<(), AppendError> {
        let mut other = self.log.claim(Partition(0)).await.expect("it can be claimed");
        other.announce("another one").await?;
        self.times.fetch_add(1, SeqCst);
        self.writer.announce(address).await
    }

    fn begin_snapshot(&mut self, upto: Position, fold: u32) -> Box<dyn SnapshotWriter> {
        self.writer.begin_snapshot(upto, fold)
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_is_fenced_before_it_has_said_that_it_serves_steps_back_too() {
    let mut cluster = Cluster::new(0, 1, None).await;
    let (inner, times) = (cluster.log.clone(), Arc::<AtomicU32>::default());
    let (shared, counted) = (inner.clone(), times.clone());
    let log = WrappedLog::new(inner, |it| it).with_writers(move |writer| {
        Box::new(Overtaken { writer, log: shared.clone(), times: counted.clone() })
    });
    cluster.join_on(Arc::new(log)).await;
    cluster.group.seize(Partition(0), 0);
    tokio::time::sleep(WATCHED).await;
    let claims = times.load(SeqCst);
    // As where both have said so: two at first, and then one in as long as a silence may last.
    assert!((3..=8).contains(&claims), "{claims} claims");
}

#[tokio::test(start_paused = true)]
async fn who_was_told_of_the_owner_that_fenced_it_starts_anew() {
    let cluster = Cluster::new(2, 1, None).await;
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    for name in ["first", "second"] {
        cluster.seize(0, 1).await;
        let asked = tokio::spawn({
            let (node, acme) = (cluster.nodes[0].clone(), acme.clone());
            async move { node.submit(&acme, Request::new(put(name))).await }
        });
        tokio::time::sleep(SLOW).await;
        assert!(!asked.is_finished(), "it waits to be told of the {name}");
        cluster.group.tell_lost(Partition(0), 0);
        let refused = asked.await.unwrap();
        assert!(matches!(refused, Err(CommandError::NotOwner(_))), "{refused:?}");
        cluster.hand_over(0, 0).await;
    }
}
