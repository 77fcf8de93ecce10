//! A log that cannot be read for a while, or no more: what can get better is waited for, and said.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use event_log::{
    ClaimError, LogError, Membership, Owners, Position, Reader, Recorded, Snapshot, Writer,
};
use tokio::sync::watch;

use super::*;
use crate::engine::fold::Trouble;
use crate::engine::table_set::{Halt, Progress};
use crate::store::StoreError;

/// What becomes of whoever reads a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Works,
    /// As where no broker answers.
    Fails,
    /// As where those do not answer that have the records.
    Hides,
    /// Whoever reads waits.
    Rests,
    /// Whoever asks where it ends waits, and is told then where it ended.
    HidesItsEnd,
    IsDamaged,
    Panics,
}

impl Mood {
    fn check(self) -> Result<(), LogError> {
        match self {
            Self::Works | Self::Rests | Self::HidesItsEnd => Ok(()),
            Self::Fails | Self::Hides => Err(LogError::Storage {
                doing: "reading, as a test wants it".to_owned(),
                source: std::io::Error::other("nobody answers"),
            }),
            Self::IsDamaged => Err(LogError::Damaged {
                place: "everywhere".to_owned(),
                reason: "a test wants it".to_owned(),
            }),
            Self::Panics => panic!("reading panics, as the test wants"),
        }
    }
}

/// A log of that mood.
#[derive(Debug)]
pub(super) struct Moody {
    log: MemoryLog,
    mood: watch::Sender<Mood>,
    /// How often somebody began to read, or asked where it ends.
    pub(super) asked: AtomicUsize,
    /// From where everybody began to read, in order.
    pub(super) opened: Mutex<Vec<Position>>,
    /// Whoever began after so many others, and before this position, waits whatever the mood.
    pub(super) hidden: watch::Sender<Option<(usize, Position)>>,
}

impl Moody {
    /// One of so many partitions.
    pub(super) fn new(partitions: u32, mood: Mood) -> Self {
        let (mood, hidden) = (watch::Sender::new(mood), watch::Sender::new(None));
        let (asked, opened) = Default::default();
        Self { log: MemoryLog::new(partitions), mood, asked, opened, hidden }
    }
}

#[async_trait]
impl EventLog for Moody {
    fn incarnation(&self) -> &str {
        self.log.incarnation()
    }
    fn partitions(&self) -> u32 {
        self.log.partitions()
    }
    async fn claim(&self, partition: Partition) -> Result<Box<dyn Writer>, ClaimError> {
        self.log.claim(partition).await
    }
    async fn read(&self, at: Partition, from: Position) -> Result<Box<dyn Reader>, LogError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (mood, hidden) = (self.mood.subscribe(), self.hidden.subscribe());
        mood.borrow().check()?;
        let reader = self.log.read(at, from).await?;
        let mut opened = self.opened.lock().unwrap();
        opened.push(from);
        let number = opened.len() - 1;
        Ok(Box::new(MoodyReader { reader, number, from, mood, hidden }))
    }
    async fn end(&self, partition: Partition) -> Result<Position, LogError> {
        let end = self.log.end(partition).await;
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut mood = self.mood.subscribe();
        let mood = *mood.wait_for(|it| *it != Mood::HidesItsEnd).await.unwrap();
        if mood == Mood::Fails { mood.check().and(end) } else { end }
    }
    async fn snapshot(
        &self,
        partition: Partition,
        version: u32,
    ) -> Result<Option<Snapshot>, LogError> {
        self.log.snapshot(partition, version).await
    }
    async fn join(&self, says: &str) -> Result<Box<dyn Membership>, LogError> {
        self.log.join(says).await
    }
    fn owners(&self) -> watch::Receiver<Owners> {
        self.log.owners()
    }
}

#[derive(Debug)]
struct MoodyReader {
    reader: Box<dyn Reader>,
    number: usize,
    from: Position,
    mood: watch::Receiver<Mood>,
    hidden: watch::Receiver<Option<(usize, Position)>>,
}

#[async_trait]
impl Reader for MoodyReader {
    async fn next(&mut self, records_max: usize) -> Result<Vec<Recorded>, LogError> {
        loop {
            let mood = *self.mood.borrow_and_update();
            let hidden = *self.hidden.borrow_and_update();
            let waits = hidden.is_some_and(|it| self.number >= it.0 && self.from < it.1);
            mood.check()?;
            tokio::select! {
                biased;
                _ = self.mood.changed() => (),
                _ = self.hidden.changed() => (),
                records = self.reader.next(records_max), if !waits && mood != Mood::Rests => {
                    return records;
                }
            }
        }
    }
}

pub(super) struct World {
    pub(super) place: Temporary,
    pub(super) moody: Arc<Moody>,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) keyring: Keyring,
    history: History,
}

impl World {
    pub(super) async fn new(on: Kind, mood: Mood) -> Self {
        let moody = Arc::new(Moody::new(1, mood));
        let log = moody.clone() as Arc<dyn EventLog>;
        let keyring = keyring().await;
        let history = History::new(log.clone(), &keyring).await;
        Self { place: Temporary::new(on).await, moody, log, keyring, history }
    }

    pub(super) async fn register(&mut self, names: &[&str]) -> Position {
        for it in names {
            self.history.register(tenant(1), &component(it), None).await;
        }
        self.history.append().await
    }

    pub(super) async fn start(&self) -> Projections {
        start(&self.place, &self.log, &self.keyring).await
    }

    pub(super) fn is_in(&self, mood: Mood) {
        self.moody.mood.send_replace(mood);
    }
}

/// Waits until every model has halted, and answers why.
async fn halted(projections: &Projections) -> Vec<Halt> {
    let mut halts = Vec::new();
    for model in Model::ALL {
        let mut progress = projections.models().set(model).progress();
        let halted = progress.wait_for(|it: &Vec<Progress>| it[0].stopped.is_some());
        let halted = tokio::time::timeout(PATIENCE, halted).await.unwrap().unwrap();
        halts.extend(halted[0].stopped.clone());
    }
    halts
}

on_each_kind! {
    a_worker_that_panics_says_so_and_goes_on_once_it_can
    a_log_that_does_not_answer_is_waited_for_and_said
    a_log_that_is_damaged_stops_whoever_follows_it_for_good
    a_rebuild_waits_for_what_can_get_better
    a_rebuild_waits_for_whoever_was_taken_out
    a_rebuild_that_waits_ends_with_the_engine
}

async fn a_worker_that_panics_says_so_and_goes_on_once_it_can(on: Kind) {
    let mut world = World::new(on, Mood::Panics).await;
    let position = world.register(&["web"]).await;
    let projections = world.start().await;
    let expected = Halt::Passing("following panicked".to_owned());
    assert_eq!(halted(&projections).await, vec![expected; Model::ALL.len()]);
    world.is_in(Mood::Works);
    let models = visible(&projections, position).await;
    assert_eq!(entities_of(&models, tenant(1)).await, 1);
    let status = projections.status().await.unwrap();
    assert!(status.iter().all(|it| it.partitions[0].stopped.is_none()));
    projections.stop().await;
}

async fn a_log_that_does_not_answer_is_waited_for_and_said(on: Kind) {
    let mut world = World::new(on, Mood::Works).await;
    let projections = world.start().await;
    let first = world.register(&["first"]).await;
    visible(&projections, first).await;
    for round in 0..3 {
        // Whoever waits for more hears of it, and so does who begins again.
        world.is_in(Mood::Fails);
        let halts = halted(&projections).await;
        assert!(halts.iter().all(|it| it.reason().contains("as a test wants it")), "{halts:?}");
        assert!(halts.iter().all(|it| matches!(it, Halt::Passing(_))), "{halts:?}");
        let asked = world.moody.asked.load(Ordering::SeqCst);
        let again = async {
            while world.moody.asked.load(Ordering::SeqCst) < asked + 2 * Model::ALL.len() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, again).await.unwrap();
        let position = world.register(&[&format!("r{round}")]).await;
        // It is said what does not show it, and why.
        assert_eq!(projections.models().behind(Partition(0), position), Model::ALL);
        for it in projections.status().await.unwrap() {
            let said = it.partitions[0].stopped.as_deref().unwrap();
            assert!(said.contains("as a test wants it"), "{said}");
        }
        world.is_in(Mood::Works);
        let models = visible(&projections, position).await;
        assert_eq!(entities_of(&models, tenant(1)).await, round + 2);
        assert_eq!(models.behind(Partition(0), position), []);
        let status = projections.status().await.unwrap();
        assert!(status.iter().all(|it| it.partitions[0].stopped.is_none()), "{status:#?}");
    }
    projections.stop().await;
}

async fn a_log_that_is_damaged_stops_whoever_follows_it_for_good(on: Kind) {
    let mut world = World::new(on, Mood::Works).await;
    let projections = world.start().await;
    let first = world.register(&["first"]).await;
    visible(&projections, first).await;
    world.is_in(Mood::IsDamaged);
    let halts = halted(&projections).await;
    assert!(halts.iter().all(|it| matches!(it, Halt::ForGood(_))), "{halts:?}");
    world.is_in(Mood::Works);
    let position = world.register(&["second"]).await;
    let asked = world.moody.asked.load(Ordering::SeqCst);
    let models = projections.models();
    let moment = Duration::from_millis(500);
    models.wait_for(&[Model::Audit], Partition(0), position, moment).await.unwrap_err();
    assert_eq!(world.moody.asked.load(Ordering::SeqCst), asked);
    assert_eq!(models.behind(Partition(0), position), Model::ALL);
    projections.stop().await;
}

async fn a_rebuild_waits_for_what_can_get_better(on: Kind) {
    let mut world = World::new(on, Mood::Works).await;
    let projections = world.start().await;
    let first = world.register(&["first", "second"]).await;
    visible(&projections, first).await;
    // Before it begins, and while it fills.
    for (mood, generation) in [(Mood::Fails, 2), (Mood::Hides, 3)] {
        world.is_in(mood);
        let rebuild = projections.rebuild(Model::Catalog);
        tokio::pin!(rebuild);
        let asked = world.moody.asked.load(Ordering::SeqCst);
        while world.moody.asked.load(Ordering::SeqCst) < asked + 3 * Model::ALL.len() {
            tokio::select! {
                biased;
                done = &mut rebuild => panic!("it did not wait: {done:?}"),
                () = tokio::time::sleep(Duration::from_millis(5)) => (),
            }
        }
        world.is_in(Mood::Works);
        tokio::time::timeout(PATIENCE, rebuild).await.unwrap().unwrap();
        let models = visible(&projections, first).await;
        assert_eq!(models.set(Model::Catalog).generation, generation);
        assert_eq!(entities_of(&models, tenant(1)).await, 2);
    }
    // What is lost ends one, and the old tables stay.
    world.is_in(Mood::IsDamaged);
    let ended = tokio::time::timeout(PATIENCE, projections.rebuild(Model::Catalog)).await.unwrap();
    assert!(matches!(ended, Err(EngineError::LogLost { .. })), "{ended:?}");
    assert_eq!(projections.models().set(Model::Catalog).generation, 3);
    assert_eq!(entities_of(&projections.models(), tenant(1)).await, 2);
    projections.stop().await;
}

async fn a_rebuild_waits_for_whoever_was_taken_out(on: Kind) {
    let mut world = World::new(on, Mood::Works).await;
    let projections = world.start().await;
    let first = world.register(&["first"]).await;
    visible(&projections, first).await;
    world.is_in(Mood::Hides);
    let mut rebuild = Box::pin(projections.rebuild(Model::Catalog));
    let next = loop {
        tokio::select! {
            biased;
            done = &mut rebuild => panic!("it did not wait: {done:?}"),
            () = tokio::time::sleep(Duration::from_millis(5)) => (),
        }
        if let Some(next) = projections.generations.sets().into_iter().find(|it| it.generation == 2)
        {
            break next;
        }
    };
    // As if it had been settled so. Nobody writes that partition.
    let mark = "INSERT INTO parked (tenant, partition, position, at, reason, taken_out)
        VALUES ($1, 9, 0, 0, '', 1)";
    let mut mark = crate::store::Sql::new(mark);
    mark.add(tenant(9).0.into());
    mark.execute(&mut *next.writer().await).await.unwrap();
    world.is_in(Mood::Works);
    let mut progress = next.progress();
    let filled = progress.wait_for(|it| {
        it[0].applied.is_some() && next.stage() == crate::engine::checkpoint::Stage::Filled
    });
    tokio::time::timeout(PATIENCE, filled).await.unwrap().unwrap();
    let moment = tokio::time::timeout(Duration::from_millis(500), &mut rebuild).await;
    assert!(moment.is_err(), "it did not wait: {moment:?}");
    let replayed = crate::store::Sql::new("DELETE FROM parked");
    replayed.execute(&mut *next.writer().await).await.unwrap();
    tokio::time::timeout(PATIENCE, rebuild).await.unwrap().unwrap();
    assert_eq!(projections.models().set(Model::Catalog).generation, 2);
    projections.stop().await;
}

async fn a_rebuild_that_waits_ends_with_the_engine(on: Kind) {
    let mut world = World::new(on, Mood::Works).await;
    let projections = Arc::new(world.start().await);
    let first = world.register(&["first"]).await;
    visible(&projections, first).await;
    world.is_in(Mood::Fails);
    let rebuilding = projections.clone();
    let rebuild = tokio::spawn(async move { rebuilding.rebuild(Model::Catalog).await });
    halted(&projections).await;
    projections.generations.stop().await;
    let ended = tokio::time::timeout(PATIENCE, rebuild).await.unwrap().unwrap();
    assert!(matches!(ended, Err(EngineError::Stopping { .. })), "{ended:?}");
}

#[test]
fn whoever_waits_for_tables_hears_why_nobody_fills_them_any_more() {
    let model = Model::Audit;
    let said = |trouble: Trouble| match trouble.halt() {
        Halt::ForGood(ended) => ended.into_error(model),
        Halt::Passing(reason) => panic!("it is final: {reason}"),
    };
    let foreign = said(EngineError::NotOurLog { model, reason: "why".to_owned() }.into());
    assert!(matches!(&foreign, EngineError::NotOurLog { reason, .. } if reason == "why"));
    let lost = said(LogError::NoSuchPartition(Partition(7)).into());
    let reason = "partition 7 does not exist";
    assert!(matches!(&lost, EngineError::LogLost { reason: it, .. } if it == reason), "{lost}");
    let wrong = sqlx::Error::ColumnNotFound("tenant".to_owned());
    let wrong = said(StoreError::Database(wrong).into());
    let EngineError::Unusable { reason, .. } = &wrong else { panic!("{wrong:?}") };
    assert!(reason.contains("not as they were made"), "{reason}");
    for it in [foreign, lost, wrong] {
        assert!(!it.is_passing(), "{it}");
    }
}

#[tokio::test]
async fn how_far_everything_is_is_told_where_the_log_does_not_say_where_it_ends() {
    let mut world = World::new(Kind::Sqlite, Mood::Works).await;
    let position = world.register(&["web"]).await;
    let projections = world.start().await;
    visible(&projections, position).await;
    world.is_in(Mood::HidesItsEnd);
    for it in projections.status().await.unwrap() {
        let partition = &it.partitions[0];
        assert_eq!((partition.position, partition.end), (Some(position), None), "{it:?}");
        assert!(partition.stopped.is_some(), "{it:?}");
    }
    world.is_in(Mood::Works);
    let status = projections.status().await.unwrap();
    assert!(status.iter().all(|it| it.partitions[0].end == Some(position.next())), "{status:?}");
    projections.stop().await;
}
