//! A log or a vault that does not answer for a while: who waits for it, for how long, and what each
//! is told.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use async_trait::async_trait;
use domain::customer::Role;
use domain::id::CustomerId;
use domain::operation::Operation;
use domain::principal::Principal;
use event_log::memory::Fault;
use event_log::{
    AppendError, Attribute, Batch, LogError, Partition, Position, Reader, Recorded, SnapshotChunk,
    SnapshotWriter, Writer,
};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::cluster::Cluster;
use super::installation::{Installation, SOON, put};
use super::requests::keyed;
use super::wrapped::WrappedLog;
use crate::away::Away;
use crate::request::{CommandError, Outcome, Request};
use crate::settings::Sabotage;
use crate::{Commands, StartError};

/// How long a request may take at the doors, less what it may have waited for before it is given to
/// the log. In seconds: 25.
pub(super) const DOORS: Duration = Duration::from_secs(25);

/// How long a log may take until nobody waits behind it any more, and a little longer. In seconds: 6.
pub(super) const BUSY: Duration = Duration::from_secs(6);

pub(super) type Answer = Result<Outcome, CommandError>;

/// Asks for an entity, and lets the request come as far as it gets by itself.
pub(super) async fn ask(
    commands: &Commands,
    who: &Principal,
    name: &'static str,
) -> JoinHandle<Answer> {
    let (commands, who) = (commands.clone(), who.clone());
    let asked = tokio::spawn(async move { commands.submit(&who, Request::new(put(name))).await });
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    asked
}

pub(super) async fn answer(asked: JoinHandle<Answer>) -> Answer {
    tokio::time::timeout(SOON, asked).await.expect("an answer comes soon").unwrap()
}

/// How often an entity was registered.
async fn registered(installation: &Installation) -> usize {
    let records = installation.records(Partition(0)).await;
    let name = |it: &event_log::Recorded| it.record.attribute(Attribute::Type).to_owned();
    records.iter().filter(|it| name(it) == "callboard.entity.registered.v1").count()
}

#[tokio::test(start_paused = true)]
async fn who_waits_behind_an_append_that_is_not_answered_is_told_to_come_back() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let commands = &installation.commands;
    let held = installation.log.faults().hold();
    let sent = ask(commands, &acme, "sent").await;
    let behind = ask(commands, &acme, "behind").await;
    assert!(!behind.is_finished(), "an append may take a moment");
    let behind = answer(behind).await;
    assert!(matches!(behind, Err(CommandError::Unavailable(_))), "{behind:?}");
    let late = ask(commands, &acme, "late").await;
    assert!(late.is_finished(), "whoever comes now does not wait at all");
    assert!(matches!(late.await.unwrap(), Err(CommandError::Unavailable(_))));
    assert!(!sent.is_finished(), "nobody knows yet what becomes of it");
    drop(held);
    answer(sent).await.expect("it was written");
    installation.submit(&acme, put("behind")).await.expect("the log answers again");
    assert_eq!(registered(&installation).await, 2);
}

#[tokio::test(start_paused = true)]
async fn who_was_given_to_a_log_that_says_nothing_is_told_before_the_doors_give_up() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let commands = &installation.commands;
    installation.submit(&acme, put("old")).await.unwrap();
    let faults = installation.log.faults();
    let (held, claims) = (faults.hold(), faults.hold_claims());
    let asked = tokio::time::Instant::now();
    let first = ask(commands, &acme, "first").await;
    let told = tokio::time::timeout(DOORS, first).await.expect("sooner than the doors").unwrap();
    assert!(matches!(told, Err(CommandError::Unknown)), "{told:?}");
    assert!(asked.elapsed() > DOORS / 2, "the log had time");
    drop((held, claims));
    // What nobody knew was not written: it was dropped before.
    let mut again = installation.submit(&acme, put("first")).await;
    while matches!(again, Err(CommandError::Unavailable(_))) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        again = installation.submit(&acme, put("first")).await;
    }
    assert_eq!(again.unwrap().events.len(), 1);
    assert_eq!(registered(&installation).await, 2);
}

/// What somebody is told whose batch was lost after the log has said nothing for so long.
async fn told_after(silence: Duration) -> Answer {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let faults = installation.log.faults();
    faults.fail_next(Fault::UnknownLost);
    let held = faults.hold();
    let lost = ask(&installation.commands, &acme, "lost").await;
    tokio::time::sleep(silence).await;
    drop(held);
    answer(lost).await
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_is_decided_anew_only_if_its_own_time_is_enough_for_that() {
    let early = told_after(Duration::from_secs(18)).await;
    assert_eq!(early.expect("it is decided anew").events.len(), 1);
    // Its next batch, and whoever else is in that, would have less than 5 s.
    let late = told_after(Duration::from_secs(20)).await;
    assert!(matches!(late, Err(CommandError::Unavailable(Away::Log))), "{late:?}");
}

/// A writer that never says whether others have come.
#[derive(Debug)]
struct Mute(Box<dyn Writer>);

#[async_trait]
impl Writer for Mute {
    async fn append(&mut self, batch: Batch) -> Result<Vec<Position>, AppendError> {
        self.0.append(batch).await
    }

    async fn barrier(&mut self) -> Result<(), AppendError> {
        std::future::pending().await
    }

    async fn announce(&mut self, address: &str) -> Result<(), AppendError> {
        self.0.announce(address).await
    }

    fn begin_snapshot(&mut self, upto: Position, fold: u32) -> Box<dyn SnapshotWriter> {
        self.0.begin_snapshot(upto, fold)
    }
}

#[tokio::test(start_paused = true)]
async fn who_changes_nothing_on_a_log_that_says_nothing_is_told_before_the_doors_give_up() {
    let mut installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    installation.submit(&acme, put("old")).await.unwrap();
    let log = WrappedLog::new(installation.log.clone(), |it| it)
        .with_writers(|writer| Box::new(Mute(writer)));
    installation.start_on(Arc::new(log)).await;
    let same = ask(&installation.commands, &acme, "old").await;
    let told = tokio::time::timeout(DOORS, same).await.expect("sooner than the doors").unwrap();
    assert!(matches!(told, Err(CommandError::Unavailable(_))), "{told:?}");
    installation.submit(&acme, put("new")).await.expect("what is recorded needs nothing else");
}

/// How many records are read again after an append whose outcome was unknown.
async fn read_again(sabotage: Option<Sabotage>) -> usize {
    let mut installation = Installation::with(1, |it| it.sabotage = sabotage).await;
    let acme = installation.tenant("acme").await;
    for number in 0..50 {
        installation.submit(&acme, put(&format!("web-{number}"))).await.unwrap();
    }
    let read = Arc::<AtomicUsize>::default();
    let counted = read.clone();
    let log = WrappedLog::new(installation.log.clone(), move |reader| {
        Box::new(Counting { reader, read: counted.clone() })
    });
    installation.start_on(Arc::new(log)).await;
    let before = read.load(SeqCst);
    installation.log.faults().fail_next(Fault::UnknownWritten);
    installation.submit(&acme, put("unknown")).await.expect("it was written");
    read.load(SeqCst) - before
}

#[tokio::test]
async fn an_owner_that_claims_again_reads_only_what_it_does_not_know() {
    assert_eq!(read_again(None).await, 1);
    assert!(read_again(Some(Sabotage::ReadAll)).await > 50, "the check would notice");
}

/// A reader that counts what it has read.
#[derive(Debug)]
struct Counting {
    reader: Box<dyn Reader>,
    read: Arc<AtomicUsize>,
}

#[async_trait]
impl Reader for Counting {
    async fn next(&mut self, records_max: usize) -> Result<Vec<Recorded>, LogError> {
        let found = self.reader.next(records_max).await?;
        self.read.fetch_add(found.len(), SeqCst);
        Ok(found)
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_knows_of_a_request_is_known_of_no_copy_of_it_either() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let faults = installation.log.faults();
    let held = faults.hold();
    let first = ask(&installation.commands, &acme, "first").await;
    let copies = [0, 1].map(|_| {
        let (commands, acme) = (installation.commands.clone(), acme.clone());
        tokio::spawn(async move { commands.submit(&acme, keyed(put("written"), "one")).await })
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    faults.fail_next(Fault::Refused);
    faults.fail_next(Fault::UnknownWritten);
    let claims = faults.hold_claims();
    drop(held);
    assert!(matches!(answer(first).await, Err(CommandError::Unavailable(_))));
    for copy in copies {
        let told = answer(copy).await;
        assert!(matches!(told, Err(CommandError::Unknown)), "{told:?}");
    }
    drop(claims);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_claim_that_takes_long_and_it_is_made_all_the_same() {
    let installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let commands = &installation.commands;
    installation.submit(&acme, put("old")).await.unwrap();
    // The first batch lets the next one gather: one that would be recorded, and one that is known.
    let faults = installation.log.faults();
    let held = faults.hold();
    let first = ask(commands, &acme, "first").await;
    let written = ask(commands, &acme, "written").await;
    let known = ask(commands, &acme, "old").await;
    faults.fail_next(Fault::Refused);
    faults.fail_next(Fault::UnknownWritten);
    let claims = faults.hold_claims();
    drop(held);
    assert!(matches!(answer(first).await, Err(CommandError::Unavailable(_))));
    let behind = ask(commands, &acme, "behind").await;
    let behind = answer(behind).await;
    assert!(matches!(behind, Err(CommandError::Unavailable(_))), "{behind:?}");
    assert!(!written.is_finished(), "the log may still say what became of it");
    let (written, known) = (answer(written).await, answer(known).await);
    assert!(matches!(written, Err(CommandError::Unknown)), "{written:?}");
    assert!(matches!(known, Err(CommandError::Unavailable(_))), "{known:?}");
    drop(claims);
    // The claim went on, and what it found counts.
    let mut again = installation.submit(&acme, put("written")).await;
    while matches!(again, Err(CommandError::Unavailable(_))) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        again = installation.submit(&acme, put("written")).await;
    }
    assert!(again.unwrap().events.is_empty(), "it was written the first time");
    assert_eq!(registered(&installation).await, 2);
}

#[tokio::test(start_paused = true)]
async fn who_waits_where_another_process_is_to_decide_is_sent_there() {
    let cluster = Cluster::new(2, 1, None).await;
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    let held = cluster.log.faults().hold();
    let _sent = ask(&cluster.nodes[0], &acme, "sent").await;
    let behind = ask(&cluster.nodes[0], &acme, "behind").await;
    cluster.group.tell_lost(Partition(0), 0);
    let behind = answer(behind).await;
    assert!(matches!(behind, Err(CommandError::NotOwner(Partition(0)))), "{behind:?}");
    drop(held);
}

/// A writer the next snapshot of which comes to an end that nobody knows, once it is told to.
#[derive(Debug)]
struct Losing {
    writer: Box<dyn Writer>,
    loses: Arc<AtomicBool>,
}

#[async_trait]
impl Writer for Losing {
    async fn append(&mut self, batch: Batch) -> Result<Vec<Position>, AppendError> {
        self.writer.append(batch).await
    }

    async fn barrier(&mut self) -> Result<(), AppendError> {
        self.writer.barrier().await
    }

    async fn announce(&mut self, address: &str) -> Result<(), AppendError> {
        self.writer.announce(address).await
    }

    fn begin_snapshot(&mut self, upto: Position, fold: u32) -> Box<dyn SnapshotWriter> {
        if self.loses.load(SeqCst) {
            return Box::new(Lost(self.loses.clone()));
        }
        self.writer.begin_snapshot(upto, fold)
    }
}

/// A snapshot of which nobody knows whether it is there.
#[derive(Debug)]
struct Lost(Arc<AtomicBool>);

#[async_trait]
impl SnapshotWriter for Lost {
    async fn stage(&mut self, _: Vec<SnapshotChunk>) -> Result<(), AppendError> {
        self.0.store(false, SeqCst);
        let source = std::io::Error::other("made to fail by a test");
        Err(AppendError::Unknown(LogError::Storage { doing: "staging".to_owned(), source }))
    }

    async fn finish(self: Box<Self>) -> Result<(), AppendError> {
        unreachable!("the first slice is not taken")
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_claim_that_follows_from_a_snapshot_which_failed() {
    let every = NonZeroU64::MIN;
    let mut installation = Installation::with(1, |it| it.snapshot_every = every).await;
    let loses = Arc::<AtomicBool>::default();
    let losing = loses.clone();
    let log = WrappedLog::new(installation.log.clone(), |it| it)
        .with_writers(move |writer| Box::new(Losing { writer, loses: losing.clone() }));
    installation.start_on(Arc::new(log)).await;
    let acme = installation.tenant("acme").await;
    let claims = installation.log.faults().hold_claims();
    loses.store(true, SeqCst);
    installation.submit(&acme, put("old")).await.unwrap();
    while loses.load(SeqCst) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // In which the owner hears of it.
    tokio::time::sleep(Duration::from_millis(10)).await;
    let behind = ask(&installation.commands, &acme, "behind").await;
    assert!(!behind.is_finished(), "a claim may take a moment");
    let told = tokio::time::timeout(BUSY, behind).await.expect("it is told to come back").unwrap();
    assert!(matches!(told, Err(CommandError::Unavailable(_))), "{told:?}");
    let late = ask(&installation.commands, &acme, "late").await;
    assert!(late.is_finished(), "whoever comes now does not wait at all");
    assert!(matches!(late.await.unwrap(), Err(CommandError::Unavailable(_))));
    drop(claims);
    let mut again = installation.submit(&acme, put("behind")).await;
    while matches!(again, Err(CommandError::Unavailable(_))) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        again = installation.submit(&acme, put("behind")).await;
    }
    assert_eq!(again.unwrap().events.len(), 1);
}

#[tokio::test]
async fn nothing_is_recorded_where_a_part_of_the_log_was_removed() {
    let mut installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let is_gone = Arc::<AtomicBool>::default();
    let log = WrappedLog::new(installation.log.clone(), |it| it).with_gone(is_gone.clone());
    installation.start_on(Arc::new(log)).await;
    installation.submit(&acme, put("web")).await.unwrap();
    is_gone.store(true, SeqCst);
    let refused = installation.submit(&acme, put("other")).await;
    assert!(matches!(refused, Err(CommandError::Unavailable(Away::Gone))), "{refused:?}");
    assert_eq!(registered(&installation).await, 1);
}

/// Opens an account for somebody of whom no key is there yet.
fn open() -> Operation {
    Operation::OpenCustomer {
        customer: CustomerId(Uuid::now_v7()),
        role: Role::CostCentre,
        name: "Ada".to_owned(),
        contact: None,
        currency: None,
        time_zone: None,
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_vault_that_says_nothing_keeps_nobody_else_waiting() {
    let installation = Installation::new().await;
    let (acme, umbrella) =
        (installation.tenant("acme").await, installation.tenant("umbrella").await);
    installation.vault.fall_silent();
    let commands = installation.commands.clone();
    let mut waiting = tokio::spawn({
        let acme = acme.clone();
        async move { commands.submit(&acme, Request::new(open())).await }
    });
    for who in [&acme, &umbrella] {
        tokio::select! {
            biased;
            told = &mut waiting => panic!("it did not wait: {told:?}"),
            registered = installation.submit(who, put("web")) => drop(registered.unwrap()),
        }
    }
    let told = answer(waiting).await;
    assert!(matches!(told, Err(CommandError::Unavailable(Away::Vault))), "{told:?}");
    installation.vault.come_back();
    installation.submit(&acme, open()).await.expect("the vault answers again");
}

/// A log that has lost its last records as long as `is_cut`.
fn cut(installation: &Installation, is_cut: &Arc<AtomicBool>) -> Arc<WrappedLog> {
    let is_cut = is_cut.clone();
    let shorter = move |it: Position| match is_cut.load(SeqCst) {
        true => Position(it.0.saturating_sub(3)),
        false => it,
    };
    Arc::new(WrappedLog::new(installation.log.clone(), |it| it).with_end(shorter))
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_over_what_a_log_has_lost() {
    let mut installation = Installation::new().await;
    let is_cut = Arc::<AtomicBool>::default();
    installation.start_on(cut(&installation, &is_cut)).await;
    let acme = installation.tenant("acme").await;
    installation.submit(&acme, put("web")).await.unwrap();

    // An owner that lived through it.
    is_cut.store(true, SeqCst);
    installation.log.faults().fail_next(Fault::UnknownLost);
    let told = installation.submit(&acme, put("late")).await;
    assert!(matches!(told, Err(CommandError::Unknown)), "{told:?}");
    let refused = installation.submit(&acme, put("later")).await;
    assert!(matches!(refused, Err(CommandError::Unavailable(_))), "{refused:?}");
    assert_eq!(registered(&installation).await, 1);
    is_cut.store(false, SeqCst);
    tokio::time::sleep(DOORS).await;
    installation.submit(&acme, put("later")).await.expect("what was lost is back");

    // One that knows of it by a snapshot.
    installation.restart().await;
    installation.commands.stop().await;
    is_cut.store(true, SeqCst);
    let settings = installation.settings.clone();
    let (keyring, clock) = (installation.keyring.clone(), Arc::new(installation.clock.clone()));
    let started = Commands::start(cut(&installation, &is_cut), keyring, clock, settings).await;
    let error = started.map(drop).unwrap_err();
    assert!(matches!(error, StartError::Log { source: LogError::BeyondEnd { .. }, .. }), "{error}");
}
