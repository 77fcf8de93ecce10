//! What tenants store lies in snapshots as it lies in the log: under their keys, if values do.

use std::collections::HashSet;

use domain::Principal;
use domain::meter::Aggregation;
use domain::operation::Operation;
use domain::plan::{Item, Price, Terms};
use event_log::port::SERIES_BITS;
use event_log::{EventLog, Partition, Snapshot};

use super::installation::{Installation, operator, put, put_described};
use super::scenario;
use crate::settings::Values;
use crate::snapshot::cover::CoverError;
use crate::snapshot::{FOLD_VERSION, RestoreError, Restored, Restoring, restore};

/// An installation that stores values like this, and tenants that have stored something.
async fn stored(values: Values) -> (Installation, Principal, Principal) {
    let mut installation = Installation::with(1, |it| it.values = values).await;
    let acme = installation.tenant("acme-corporation").await;
    let umbrella = installation.tenant("umbrella").await;
    let base = scenario::terms(100, 1_000);
    let item = Item {
        key: "base".to_owned(),
        description: "Fee for everything".to_owned(),
        price: Price::Flat { unit: 49.into(), quantity: 1.into() },
    };
    let terms = Terms { name: "Golden plan".to_owned(), items: vec![item], ..base };
    for (principal, operation) in [
        (&acme, publish(terms.clone())),
        (&operator(), publish(terms)),
        (&acme, define_builds()),
        (&acme, put("web")),
        (&umbrella, put("web")),
    ] {
        installation.submit(principal, operation).await.unwrap();
    }
    installation.restart().await;
    (installation, acme, umbrella)
}

fn publish(terms: Terms) -> Operation {
    let plan = domain::id::PlanId(uuid::Uuid::now_v7());
    Operation::PublishPlanVersion { plan, is_new: true, terms }
}

fn define_builds() -> Operation {
    Operation::DefineMeter {
        key: "build.minutes".parse().unwrap(),
        name: "Minutes of builds".to_owned(),
        unit: "minute".to_owned(),
        aggregation: Aggregation::Sum,
    }
}

async fn newest(installation: &Installation) -> Snapshot {
    installation.log.snapshot(Partition(0), FOLD_VERSION).await.unwrap().expect("it is saved")
}

async fn restored(
    installation: &Installation,
    snapshot: &Snapshot,
    partition: u32,
) -> Result<Restored, RestoreError> {
    let (values, keyring) = (installation.settings.values, &installation.keyring);
    let restoring = Restoring { partition: Partition(partition), values, keyring };
    Ok(restore(snapshot, restoring).await?.expect("it is of this version"))
}

#[tokio::test]
async fn what_a_tenant_stored_is_in_a_snapshot_only_if_it_is_in_the_log() {
    for values in [Values::Plain, Values::Sealed] {
        let (mut installation, _, _) = stored(values).await;
        let live = installation.state(Partition(0)).await;
        let snapshot = newest(&installation).await;
        let mut bytes: Vec<u8> = Vec::new();
        for chunk in &snapshot.chunks {
            bytes.extend(chunk.key.as_bytes());
            bytes.extend(chunk.bytes.iter().flatten());
        }
        for text in ["acme-corporation", "build.minutes", "Minutes", "Golden", "Fee for"] {
            let holds = bytes.windows(text.len()).any(|it| it == text.as_bytes());
            assert_eq!(holds, values == Values::Plain, "`{text}`, {values:?}");
        }
        installation.restart().await;
        scenario::assert_same(&live, &installation.state(Partition(0)).await);
        let taken = restored(&installation, &snapshot, 0).await.unwrap();
        scenario::assert_same(&live, &taken.state);
    }
}

#[tokio::test]
async fn without_its_key_a_tenant_is_gone_as_it_is_from_the_log_and_others_are_there() {
    // Its key is destroyed after the last snapshot, or before.
    for is_before in [false, true] {
        let (mut installation, acme, umbrella) = stored(Values::Sealed).await;
        installation.submit(&acme, put_described("web", "changed since")).await.unwrap();
        if !is_before {
            installation.commands.stop().await;
        }
        installation.keyring.destroy_tenant(acme.tenant()).await.unwrap();
        installation.restart().await;
        let snapshot = newest(&installation).await;
        let taken = restored(&installation, &snapshot, 0).await.unwrap().state;
        assert_eq!(taken.tenants[&acme.tenant()].streams.len(), 0);
        assert!(taken.tenants[&acme.tenant()].tally.sequence > 1);
        installation.forget_snapshots().await;
        installation.start_again().await;
        scenario::assert_same(&installation.state(Partition(0)).await, &taken);
        let again = installation.submit(&umbrella, put("web")).await.unwrap();
        assert!(again.events.is_empty(), "it is there already");
    }
}

#[tokio::test]
async fn a_piece_of_a_snapshot_counts_only_where_it_was_stored() {
    let (installation, acme, umbrella) = stored(Values::Sealed).await;
    let snapshot = newest(&installation).await;
    restored(&installation, &snapshot, 0).await.unwrap();
    let forged = |error: Result<Restored, RestoreError>| {
        let error = error.expect_err("it is refused");
        let is_forged = matches!(&error, RestoreError::Cover { source: CoverError::Forged, .. });
        assert!(is_forged, "{error}");
    };
    forged(restored(&installation, &snapshot, 1).await);
    let fold = FOLD_VERSION << SERIES_BITS | (snapshot.fold + 1) & ((1 << SERIES_BITS) - 1);
    forged(restored(&installation, &Snapshot { fold, ..snapshot.clone() }, 0).await);
    let shard = |of: &Principal| format!("shard/{}/", of.tenant().0.as_simple());
    let mut swapped = snapshot.clone();
    let of = |of: &Principal| {
        snapshot.chunks.iter().position(|it| it.key.starts_with(&shard(of))).expect("it has one")
    };
    let (one, other) = (of(&acme), of(&umbrella));
    swapped.chunks[one].bytes = snapshot.chunks[other].bytes.clone();
    swapped.chunks[other].bytes = snapshot.chunks[one].bytes.clone();
    forged(restored(&installation, &swapped, 0).await);
    let mut moved = snapshot.clone();
    moved.chunks[one].key = format!("{}8000000000000000", shard(&acme));
    forged(restored(&installation, &moved, 0).await);
}

#[tokio::test]
async fn once_values_are_stored_encrypted_so_is_all_of_the_next_snapshot() {
    let (mut installation, acme, _) = stored(Values::Plain).await;
    installation.settings.values = Values::Sealed;
    installation.restart().await;
    installation.submit(&acme, put_described("web", "new")).await.unwrap();
    installation.restart().await;
    let after = newest(&installation).await;
    let shards = after.chunks.iter().filter(|it| it.key.starts_with("shard/"));
    let forms: HashSet<_> = shards.map(|it| it.bytes.as_ref().unwrap().last().copied()).collect();
    assert_eq!(forms, HashSet::from([Some(1)]), "also of tenants that did not change");
}
