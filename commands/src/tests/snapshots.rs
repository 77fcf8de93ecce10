//! With a snapshot or without: the same state, the same answers.

use std::num::NonZeroU64;

use domain::Stream;
use domain::id::{CustomerId, PlanId, SubscriptionId, TenantId};
use domain::operation::Operation;
use domain::plan::{Item, Price, Terms};
use event_log::{EventLog, Partition, Position, Snapshot};
use std::collections::BTreeSet;
use uuid::Uuid;
use vault::Keyring;

use super::installation::{Installation, operator, put, put_described};
use super::scenario;
use crate::request::Request;
use crate::settings::{Sabotage, Values};
use crate::snapshot::{FOLD_VERSION, Restored, Restoring, Snapshots, Step};
use crate::state::slot::Account;
use crate::state::{Changes, Held, Slot, State, Tally};

#[tokio::test]
async fn the_state_is_the_same_with_and_without_a_snapshot() {
    let mut installation = Installation::with(1, |it| {
        it.snapshot_every = NonZeroU64::new(10).unwrap();
    })
    .await;
    scenario::play(&installation).await;
    let live = installation.state(Partition(0)).await;
    installation.restart().await;
    let snapshot =
        installation.log.snapshot(Partition(0), FOLD_VERSION).await.unwrap().expect("it is saved");
    assert_eq!(snapshot.upto, installation.log.end(Partition(0)).await.unwrap());
    let restored = installation.state(Partition(0)).await;
    scenario::assert_same(&live, &restored);

    // A write side that knows no snapshot replays everything.
    installation.forget_snapshots().await;
    installation.start_again().await;
    let replayed = installation.state(Partition(0)).await;
    scenario::assert_same(&live, &replayed);
}

#[tokio::test]
async fn a_snapshot_of_another_version_is_left_alone_and_leaves_ours_alone() {
    let mut installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    installation.submit(&acme, put("web")).await.unwrap();
    installation.commands.stop().await;
    let mut writer = installation.log.claim(Partition(0)).await.unwrap();
    let chunk = event_log::SnapshotChunk { key: "nonsense".to_owned(), bytes: None };
    let upto = installation.log.end(Partition(0)).await.unwrap();
    let own = installation.log.snapshot(Partition(0), FOLD_VERSION).await.unwrap();
    assert!(own.is_some(), "it was saved when it stopped");
    let other = event_log::Snapshot { upto, fold: u32::MAX, chunks: vec![chunk] };
    writer.save_snapshot(other).await.unwrap();
    let after = installation.log.snapshot(Partition(0), FOLD_VERSION).await.unwrap();
    assert_eq!(after, own, "so nothing has to be replayed");
    installation.start_again().await;
    let changed = installation.submit(&acme, put_described("web", "new")).await.unwrap();
    assert_eq!(changed.events[0].revision, 2);
}

#[tokio::test]
async fn only_what_changed_is_saved_again() {
    let mut installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    let umbrella = installation.tenant("umbrella").await;
    installation.submit(&acme, put("web")).await.unwrap();
    installation.submit(&umbrella, put("web")).await.unwrap();
    installation.restart().await;
    let before = installation.log.snapshot(Partition(0), FOLD_VERSION).await.unwrap().unwrap();
    installation.submit(&acme, put_described("web", "new")).await.unwrap();
    installation.restart().await;
    let after = installation.log.snapshot(Partition(0), FOLD_VERSION).await.unwrap().unwrap();
    let tenant =
        |key: &str, of: &domain::Principal| key.contains(&of.tenant().0.simple().to_string());
    let changed: Vec<_> = after.chunks.iter().filter(|it| !before.chunks.contains(it)).collect();
    assert!(changed.iter().any(|it| tenant(&it.key, &acme)));
    assert!(!changed.iter().any(|it| tenant(&it.key, &umbrella)));
}

/// Publishes so many versions of a plan, each of some 33 KiB.
async fn publish(installation: &Installation, plan: PlanId, versions: usize) {
    for number in 0..versions {
        let item = |it: usize| Item {
            key: format!("item-{it:03}-{}", "k".repeat(50)),
            description: format!("{number:05} {}", "d".repeat(190)),
            price: Price::Flat { unit: 49.into(), quantity: 1.into() },
        };
        let items = (0..100).map(item).collect();
        let terms = Terms { items, quotas: Vec::new(), ..scenario::terms(1, 1) };
        let publish = Operation::PublishPlanVersion { plan, is_new: true, terms };
        installation.submit(&operator(), publish).await.unwrap();
    }
}

/// Asks for something while a snapshot of several slices is held up at its first one. Says whether
/// it is answered meanwhile, and how many slices and chunks the snapshot has in the end.
async fn asked_while_saving(sabotage: Option<Sabotage>) -> (Installation, bool, (usize, usize)) {
    let change = |it: &mut crate::Settings| it.sabotage = sabotage;
    let mut installation = Installation::with(1, change).await;
    let acme = installation.tenant("acme").await;
    publish(&installation, PlanId(Uuid::now_v7()), 100).await;
    installation.commands.stop().await;
    installation.forget_snapshots().await;
    installation.settings.snapshot_every = NonZeroU64::new(50).unwrap();
    let before = installation.log.faults().slices();
    let held = installation.log.faults().hold_snapshots();
    installation.start_again().await;
    let ask = |name: &str| {
        let (commands, acme, request) =
            (installation.commands.clone(), acme.clone(), Request::new(put(name)));
        tokio::spawn(async move { commands.submit(&acme, request).await })
    };
    // Everything replayed counts: the first request begins it.
    ask("first").await.unwrap().unwrap();
    while installation.log.faults().slices() == before {
        tokio::task::yield_now().await;
    }
    let asked: Vec<_> = (0..5).map(|it| ask(&format!("web-{it}"))).collect();
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    let answered = asked.iter().all(tokio::task::JoinHandle::is_finished);
    let snapshot = installation.log.snapshot(Partition(0), FOLD_VERSION).await.unwrap().unwrap();
    assert!(snapshot.chunks.is_empty(), "it is the one that was there before");
    drop(held);
    for asked in asked {
        asked.await.unwrap().unwrap();
    }
    installation.restart().await;
    let (slices, chunks) = installation.log.faults().slices();
    (installation, answered, (slices - before.0, chunks - before.1))
}

#[tokio::test]
async fn nobody_waits_for_a_snapshot_of_many_slices() {
    let (mut installation, answered, (slices, chunks)) = asked_while_saving(None).await;
    assert!(answered);
    assert!(slices > 3 && chunks > 6, "{slices} slices, {chunks} chunks");
    let restored = installation.state(Partition(0)).await;
    installation.forget_snapshots().await;
    installation.start_again().await;
    scenario::assert_same(&restored, &installation.state(Partition(0)).await);
    let (_, answered, _) = asked_while_saving(Some(Sabotage::SaveInLoop)).await;
    assert!(!answered, "the check would notice");
}

#[tokio::test]
async fn half_a_snapshot_of_who_was_fenced_counts_for_nothing() {
    let change = |it: &mut crate::Settings| it.snapshot_every = NonZeroU64::new(50).unwrap();
    let mut installation = Installation::with(1, change).await;
    let held = installation.log.faults().hold_snapshots();
    publish(&installation, PlanId(Uuid::now_v7()), 60).await;
    while installation.log.faults().slices().0 == 0 {
        tokio::task::yield_now().await;
    }
    let earlier = installation.commands.clone();
    installation.start_again().await;
    assert!(installation.log.snapshot(Partition(0), FOLD_VERSION).await.unwrap().is_none());
    let live = installation.state(Partition(0)).await;
    // It is told to stop while its snapshot is held up, so that it does not claim again.
    let stopping = tokio::spawn(async move { earlier.stop().await });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    drop(held);
    stopping.await.unwrap();
    installation.restart().await;
    scenario::assert_same(&live, &installation.state(Partition(0)).await);
    let snapshot = installation.log.snapshot(Partition(0), FOLD_VERSION).await.unwrap().unwrap();
    assert_eq!(snapshot.upto, live.next);
}

/// Snapshots of one partition as a log keeps them.
struct Stored(Snapshot);

impl Stored {
    fn new() -> Self {
        Self(Snapshot { upto: Position::START, fold: 0, chunks: Vec::new() })
    }

    fn save(&mut self, snapshots: &mut Snapshots, state: &mut State) {
        let frozen = snapshots.freeze(state, Position::START);
        if self.0.fold != frozen.fold {
            self.0.chunks.clear();
        }
        (self.0.upto, self.0.fold) = (frozen.upto, frozen.fold);
        let mut slices = frozen.slices(Partition(0), Values::Plain);
        let slice = |step| if let Step::Slice(slice) = step { Some(slice) } else { None };
        for chunk in std::iter::from_fn(|| slice(slices.next())).flatten() {
            self.0.chunks.retain(|it| it.key != chunk.key);
            self.0.chunks.extend(chunk.bytes.is_some().then_some(chunk));
        }
        snapshots.saved(slices.into_written());
    }

    async fn restore(&self, keyring: &Keyring) -> Restored {
        let restoring = Restoring { partition: Partition(0), values: Values::Plain, keyring };
        crate::snapshot::restore(&self.0, restoring).await.unwrap().unwrap()
    }

    fn keys(&self) -> BTreeSet<String> {
        self.0.chunks.iter().map(|it| it.key.clone()).collect()
    }
}

/// Gives the tenant's account so many running subscriptions, in each of the states.
fn run(known: &mut [(&mut Snapshots, &mut State)], subscriptions: u128) {
    let tenant = TenantId(Uuid::from_u128(7));
    let customer = CustomerId::of_tenant(tenant);
    for (snapshots, state) in known {
        let running =
            (0..subscriptions).map(|it| SubscriptionId(Uuid::from_u128(u128::MAX - it))).collect();
        let account = Account { running, ..Account::default() };
        let slot = Slot { revision: 1, held: Held::Customer(Box::new(account)) };
        let mut changes = Changes::default();
        changes.slots.insert((tenant, Stream::Customer(customer)), slot);
        changes.tallies.insert(tenant, Tally::default());
        let (recorded, next) = (state.recorded, state.next.next());
        state.merge(changes, recorded, next);
        snapshots.changed(tenant);
    }
}

/// What is stored after one owner has saved a large state, another one, who did not see that, a
/// small one; and what should be.
async fn saved_by_two(begins_anew: bool) -> (BTreeSet<String>, BTreeSet<String>) {
    let keyring = Installation::new().await.keyring;
    let mut stored = Stored::new();
    let (mut one, mut state) = (Snapshots::default(), State::default());
    run(&mut [(&mut one, &mut state)], 1);
    stored.save(&mut one, &mut state);
    let restored = stored.restore(&keyring).await;
    let (mut other, mut same) = (restored.snapshots, restored.state);
    run(&mut [(&mut one, &mut state), (&mut other, &mut same)], 40_000);
    stored.save(&mut other, &mut same);
    assert!(stored.keys().iter().any(|it| it.contains('#')), "a piece takes several chunks");
    run(&mut [(&mut one, &mut state), (&mut other, &mut same)], 2);
    if begins_anew {
        one.begin_anew();
    }
    stored.save(&mut one, &mut state);
    let mut whole = Stored::new();
    whole.save(&mut Snapshots::default(), &mut state);
    let restored = stored.restore(&keyring).await;
    scenario::assert_same(&restored.state, &state);
    (stored.keys(), whole.keys())
}

#[tokio::test]
async fn who_takes_over_leaves_nothing_of_what_another_one_has_saved() {
    let (stored, whole) = saved_by_two(true).await;
    assert_eq!(stored, whole);
    let (stored, whole) = saved_by_two(false).await;
    assert_ne!(stored, whole, "the check would notice");
}
