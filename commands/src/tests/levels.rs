//! Processes that speak different levels: when it is raised, and what becomes of who does not speak
//! it. And a process that starts owns nothing before it knows what is recorded.

use std::num::NonZeroU64;
use std::sync::Arc;

use async_trait::async_trait;
use domain::Level;
use domain::operation::Operation;
use event_log::{EventLog, LogError, Partition, Reader, Recorded};
use tokio::sync::watch;

use super::cluster::Cluster;
use super::installation::{SOON, operator, put};
use super::wrapped::WrappedLog;
use crate::request::{CommandError, Outcome, Request};
use crate::settings::Settings;
use crate::snapshot::FOLD_VERSION;
use crate::{Commands, NotSpoken, StartError};

/// A process that speaks levels up to one, and another up to two; the second one owns everything.
async fn old_and_new(change: impl FnOnce(&mut Settings)) -> Cluster {
    let mut cluster = Cluster::with(1, 1, |it| {
        it.speaks = Level(1)..=Level(1);
        change(it);
    })
    .await;
    cluster.settings.speaks = Level(1)..=Level(2);
    cluster.join().await;
    cluster.hand_over(0, 1).await;
    cluster.tenant("acme").await;
    cluster
}

async fn raise(cluster: &Cluster, to: u32) -> Result<Outcome, CommandError> {
    let raise = Request::new(Operation::RaiseClusterLevel { to: Level(to) });
    cluster.nodes[1].submit(&operator(), raise).await
}

/// Why a process that speaks `speaks` does not start on what the cluster has recorded.
async fn refused(cluster: &Cluster, speaks: std::ops::RangeInclusive<Level>) -> Option<NotSpoken> {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { speaks, ..Settings::new(folder.path().to_owned()) };
    let (log, clock) = (Arc::new(cluster.log.clone()), Arc::new(cluster.clock.clone()));
    match Commands::start(log, cluster.keyring.clone(), clock, settings).await {
        Ok(started) => {
            started.stop().await;
            None
        }
        Err(StartError::Level(reason)) => Some(reason),
        Err(error) => panic!("{error}"),
    }
}

/// Waits until there is a snapshot of everything.
async fn saved(cluster: &Cluster) {
    let end = cluster.log.end(Partition(0)).await.unwrap();
    let saving = async {
        while cluster.log.snapshot(Partition(0), FOLD_VERSION).await.unwrap().map(|it| it.upto)
            != Some(end)
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, saving).await.expect("it is saved soon");
}

#[tokio::test(start_paused = true)]
async fn the_level_is_raised_once_every_process_speaks_it() {
    let cluster = old_and_new(|_| ()).await;
    let spoken: Vec<_> = cluster.nodes[1].processes().await.unwrap();
    assert_eq!(spoken.iter().map(|it| it.speaks.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(spoken[1].address.as_deref(), Some("node-1"));
    let early = raise(&cluster, 2).await.unwrap_err();
    assert!(matches!(&early, CommandError::Rejected { code, .. } if code == "LEVEL_NOT_SPOKEN"));
    assert_eq!(cluster.nodes[1].directory().level(), Level(1));

    cluster.nodes[0].stop().await;
    assert_eq!(raise(&cluster, 2).await.unwrap().events.len(), 1);
    assert_eq!(raise(&cluster, 2).await.unwrap().events.len(), 0);
    assert_eq!(cluster.nodes[1].directory().level(), Level(2));
    let beyond = raise(&cluster, 3).await.unwrap_err();
    assert!(matches!(&beyond, CommandError::Rejected { code, .. } if code == "LEVEL_NOT_SPOKEN"));
}

/// With snapshots that hold the level, and without, where it is in the records.
#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_speak_the_level_does_not_start() {
    for every in [NonZeroU64::MIN, NonZeroU64::MAX] {
        let cluster = old_and_new(|it| it.snapshot_every = every).await;
        assert_eq!(refused(&cluster, Level(1)..=Level(1)).await, None, "it does not need to");
        let lowest = Level(2);
        let too_new = NotSpoken::TooNew { recorded: Level(1), lowest };
        assert_eq!(refused(&cluster, lowest..=Level(3)).await, Some(too_new));

        cluster.nodes[0].stop().await;
        raise(&cluster, 2).await.unwrap();
        if every == NonZeroU64::MIN {
            saved(&cluster).await;
        }
        cluster.nodes[1].stop().await;
        let too_old = NotSpoken::TooOld { recorded: Level(2), spoken: Level(1) };
        assert_eq!(refused(&cluster, Level(1)..=Level(1)).await, Some(too_old));
        assert_eq!(refused(&cluster, lowest..=Level(3)).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_left_behind_says_so_and_reads_no_further() {
    let cluster = old_and_new(|_| ()).await;
    let old = &cluster.nodes[0];
    cluster.group.hide(0);
    raise(&cluster, 2).await.unwrap();
    let outgrown = tokio::time::timeout(SOON, old.excluded()).await.expect("it hears of it soon");
    assert_eq!(outgrown, NotSpoken::TooOld { recorded: Level(2), spoken: Level(1) }.into());
    assert_eq!(old.directory().level(), Level(1), "it has not taken it in");
    let new = tokio::time::timeout(SOON, cluster.nodes[1].excluded()).await;
    assert!(new.is_err(), "who speaks it goes on");
}

/// A reader that reads nothing before it is told to.
#[derive(Debug)]
struct GatedReader {
    reader: Box<dyn Reader>,
    open: watch::Receiver<bool>,
}

#[async_trait]
impl Reader for GatedReader {
    async fn next(&mut self, records_max: usize) -> Result<Vec<Recorded>, LogError> {
        let open = self.open.wait_for(|it| *it).await.map(drop);
        open.map_err(|_| LogError::Closed)?;
        self.reader.next(records_max).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_starts_owns_nothing_before_it_knows_what_is_recorded() {
    let cluster = Cluster::new(1, 2, None).await;
    cluster.hand_over(0, 0).await;
    cluster.hand_over(1, 0).await;
    let acme = cluster.tenant("acme").await;
    for name in ["web", "shop", "desk"] {
        cluster.submit(&acme, put(name)).await.unwrap();
    }
    let open = watch::Sender::new(false);
    let gate = open.clone();
    let log = WrappedLog::new(cluster.log.clone(), move |reader| {
        Box::new(GatedReader { reader, open: gate.subscribe() })
    });
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(folder.path().to_owned());
    let starting = tokio::spawn(Commands::start(
        Arc::new(log),
        cluster.keyring.clone(),
        Arc::new(cluster.clock.clone()),
        settings,
    ));
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert!(!starting.is_finished(), "it cannot read yet");
    assert_eq!(cluster.log.members().await.unwrap().len(), 1, "so it can be given nothing");

    open.send_replace(true);
    let started = tokio::time::timeout(SOON, starting).await.expect("soon").unwrap().unwrap();
    assert_eq!(cluster.log.members().await.unwrap().len(), 2);
    for partition in [0, 1].map(Partition) {
        let end = cluster.log.end(partition).await.unwrap();
        assert!(*started.owner(partition).applied().borrow() >= end, "{partition}");
    }
    started.stop().await;
}
