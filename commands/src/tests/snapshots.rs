//! With a snapshot or without: the same state, the same answers.

use std::num::NonZeroU64;

use event_log::{EventLog, Partition};

use super::installation::{Installation, put, put_described};
use super::scenario;

#[tokio::test]
async fn the_state_is_the_same_with_and_without_a_snapshot() {
    let mut installation = Installation::with(1, |it| {
        it.snapshot_every = NonZeroU64::new(10).unwrap();
    })
    .await;
    scenario::play(&installation).await;
    let live = installation.state(Partition(0)).await;
    installation.restart().await;
    let snapshot = installation.log.snapshot(Partition(0)).await.unwrap().expect("it is saved");
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
async fn a_snapshot_of_another_fold_is_left_alone() {
    let mut installation = Installation::new().await;
    let acme = installation.tenant("acme").await;
    installation.submit(&acme, put("web")).await.unwrap();
    installation.commands.stop().await;
    let mut writer = installation.log.claim(Partition(0)).await.unwrap();
    let chunk = event_log::SnapshotChunk { key: "nonsense".to_owned(), bytes: None };
    let upto = installation.log.end(Partition(0)).await.unwrap();
    let other = event_log::Snapshot { upto, fold_version: u32::MAX, chunks: vec![chunk] };
    writer.save_snapshot(other).await.unwrap();
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
    let before = installation.log.snapshot(Partition(0)).await.unwrap().unwrap();
    installation.submit(&acme, put_described("web", "new")).await.unwrap();
    installation.restart().await;
    let after = installation.log.snapshot(Partition(0)).await.unwrap().unwrap();
    let tenant =
        |key: &str, of: &domain::Principal| key.contains(&of.tenant().0.simple().to_string());
    let changed: Vec<_> = after.chunks.iter().filter(|it| !before.chunks.contains(it)).collect();
    assert!(changed.iter().any(|it| tenant(&it.key, &acme)));
    assert!(!changed.iter().any(|it| tenant(&it.key, &umbrella)));
}
