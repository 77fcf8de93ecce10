//! What the contract says of records.

mod controls;

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use domain::id::TenantId;
use futures::future::join_all;

use super::{ACME, GLOBEX};
use crate::port::{
    Change, Committed, PURGED_MAX, Record, RecordKind, RecordName, Records, Version,
};

const NOW: DateTime<Utc> = DateTime::from_timestamp(1_800_000_000, 0).unwrap();

/// The smallest time that is told apart.
const MOMENT: TimeDelta = TimeDelta::microseconds(1);

pub(super) fn name(tenant: TenantId, number: u16) -> RecordName {
    let mut digest = [0; 32];
    digest[..2].copy_from_slice(&number.to_be_bytes());
    RecordName { tenant, kind: RecordKind::Account, digest }
}

/// One that does not end.
pub(super) fn record(version: u64) -> Record {
    let sealed = Bytes::copy_from_slice(&version.to_be_bytes());
    Record { version: Version(version), ends_at: None, sealed }
}

fn ending(version: u64, ends_at: DateTime<Utc>) -> Record {
    Record { ends_at: Some(ends_at), ..record(version) }
}

async fn read(vault: &impl Records, names: &[RecordName]) -> Vec<Option<Record>> {
    vault.get(names, NOW).await.unwrap()
}

#[track_caller]
fn check(committed: Result<Committed, crate::VaultError>, expected: Committed) {
    assert_eq!(committed.unwrap(), expected);
}

/// Of everything that can be expected of a record only what holds is whole.
pub(crate) async fn a_record_changes_only_from_the_state_it_is_in(vault: Arc<impl Records>) {
    use Change::{Add, Remove, Replace};
    use Committed::{Conflict, Whole};
    let ada = name(ACME, 1);
    assert_eq!(read(&*vault, &[]).await, []);
    // As large as a version may be, which no database has a type for.
    let large = u64::MAX;
    for (change, expected, after) in [
        (Replace(ada, Version(1), record(2)), Conflict, None),
        (Remove(ada, Version(1)), Conflict, None),
        (Add(ada, record(1)), Whole, Some(1)),
        (Add(ada, record(2)), Conflict, Some(1)),
        (Replace(ada, Version(2), record(3)), Conflict, Some(1)),
        (Replace(ada, Version(1), record(large)), Whole, Some(large)),
        (Replace(ada, Version(1), record(5)), Conflict, Some(large)),
        (Remove(ada, Version(1)), Conflict, Some(large)),
        (Remove(ada, Version(large)), Whole, None),
        (Replace(ada, Version(large), record(6)), Conflict, None),
        (Add(ada, record(7)), Whole, Some(7)),
    ] {
        check(vault.commit(std::slice::from_ref(&change), NOW).await, expected);
        assert_eq!(read(&*vault, &[ada]).await, [after.map(record)], "after {change:?}");
    }
    let kind = RecordName { kind: RecordKind::Setup, ..ada };
    assert_eq!(read(&*vault, &[kind, name(GLOBEX, 1), name(ACME, 2)]).await, [None, None, None]);
}

pub(crate) async fn several_records_change_together_or_none(vault: Arc<impl Records>) {
    let names = [name(ACME, 1), name(ACME, 2), name(GLOBEX, 1)];
    let added = [1_u8, 2].map(|it| Change::Add(names[usize::from(it) - 1], record(it.into())));
    check(vault.commit(&added, NOW).await, Committed::Whole);
    let before = [Some(record(1)), Some(record(2)), None];
    assert_eq!(read(&*vault, &names).await, before);
    let whole = [
        Change::Remove(names[0], Version(1)),
        Change::Replace(names[1], Version(2), record(3)),
        Change::Add(names[2], record(4)),
    ];
    // Whichever of them does not hold, and wherever it stands.
    let wrong = [
        Change::Remove(names[0], Version(9)),
        Change::Replace(names[1], Version(9), record(3)),
        Change::Replace(names[2], Version(9), record(4)),
    ];
    for (place, wrong) in wrong.into_iter().enumerate() {
        let mut changes = whole.clone();
        changes[place] = wrong;
        check(vault.commit(&changes, NOW).await, Committed::Conflict);
        assert_eq!(read(&*vault, &names).await, before);
    }
    check(vault.commit(&whole, NOW).await, Committed::Whole);
    assert_eq!(read(&*vault, &names).await, [None, Some(record(3)), Some(record(4))]);
    check(vault.commit(&[], NOW).await, Committed::Whole);
}

pub(crate) async fn a_record_that_has_ended_counts_as_absent(vault: Arc<impl Records>) {
    let (ada, ends_at) = (name(ACME, 1), NOW + MOMENT);
    check(vault.commit(&[Change::Add(ada, ending(1, ends_at))], NOW).await, Committed::Whole);
    let found = [Some(ending(1, ends_at))];
    assert_eq!(vault.get(&[ada], NOW).await.unwrap(), found);
    assert_eq!(vault.get(&[ada], ends_at).await.unwrap(), [None]);
    for change in [Change::Remove(ada, Version(1)), Change::Replace(ada, Version(1), record(2))] {
        check(vault.commit(&[change], ends_at).await, Committed::Conflict);
    }
    let again = [Change::Add(ada, record(2))];
    check(vault.commit(&again, NOW).await, Committed::Conflict);
    check(vault.commit(&again, ends_at).await, Committed::Whole);
    assert_eq!(vault.get(&[ada], ends_at).await.unwrap(), [Some(record(2))]);
    check(vault.commit(&again, ends_at).await, Committed::Conflict);
}

/// Each asks for all of these, in an order of its own, with one more that is only its own.
async fn ask_at_once<V>(vault: &Arc<V>, shared: &[Change], round: u16) -> Vec<Committed>
where
    V: Records + 'static,
{
    let askers = (0..8_u16).map(|asker| {
        let (vault, mut changes) = (Arc::clone(vault), shared.to_vec());
        let turn = usize::from(asker) % changes.len();
        changes.rotate_left(turn);
        changes.push(Change::Add(name(GLOBEX, round * 8 + asker), record(1)));
        tokio::spawn(async move { vault.commit(&changes, NOW).await.unwrap() })
    });
    let ends = join_all(askers.collect::<Vec<_>>()).await;
    ends.into_iter().map(Result::unwrap).collect()
}

pub(crate) async fn of_those_who_commit_at_the_same_time_one_is_whole<V>(vault: Arc<V>)
where
    V: Records + 'static,
{
    let names = [1, 2, 3].map(|it| name(ACME, it));
    let mut shared = names.map(|it| Change::Add(it, record(0)));
    for round in 0..10 {
        let ends = ask_at_once(&vault, &shared, round).await;
        let whole = ends.iter().filter(|it| **it == Committed::Whole).count();
        assert_eq!(whole, 1, "in round {round}");
        let (now, next) = (Version(round.into()), record(u64::from(round) + 1));
        shared = names.map(|it| Change::Replace(it, now, next.clone()));
        // What only one of them has asked for is there for that one.
        let own: Vec<_> = (0..8).map(|it| name(GLOBEX, round * 8 + it)).collect();
        let own = read(&*vault, &own).await;
        assert_eq!(own.iter().flatten().count(), 1, "in round {round}");
    }
}

pub(crate) async fn only_what_has_ended_is_removed(vault: Arc<impl Records>) {
    let ended = u16::try_from(PURGED_MAX).unwrap() + 3;
    let ending = |it| Change::Add(name(ACME, it), ending(1, NOW));
    let changes: Vec<_> = (0..ended).map(ending).collect();
    check(vault.commit(&changes, NOW - MOMENT).await, Committed::Whole);
    let stays = [(ended, Some(NOW + MOMENT)), (ended + 1, None)];
    let stays = stays.map(|(it, ends_at)| (name(ACME, it), Record { ends_at, ..record(1) }));
    let added = stays.clone().map(|(name, record)| Change::Add(name, record));
    check(vault.commit(&added, NOW).await, Committed::Whole);

    assert_eq!(vault.purge(NOW - MOMENT).await.unwrap(), 0);
    assert_eq!(vault.purge(NOW).await.unwrap(), PURGED_MAX);
    assert_eq!(vault.purge(NOW).await.unwrap(), 3);
    assert_eq!(vault.purge(NOW).await.unwrap(), 0);
    let all: Vec<_> = (0..ended + 2).map(|it| name(ACME, it)).collect();
    let before = vault.get(&all, NOW - MOMENT).await.unwrap();
    let left: Vec<_> = before.into_iter().flatten().collect();
    assert_eq!(left, stays.map(|it| it.1));
}

/// However it falls out, what was made anew is there.
pub(crate) async fn what_is_made_anew_while_what_has_ended_goes_stays<V>(vault: Arc<V>)
where
    V: Records + 'static,
{
    let names: Vec<_> = (0..20).map(|it| name(ACME, it)).collect();
    let add = |record: Record| {
        names.iter().rev().map(|it| Change::Add(*it, record.clone())).collect::<Vec<_>>()
    };
    for round in 0..20 {
        let ends_at = NOW + MOMENT * (2 * round + 1);
        check(vault.commit(&add(ending(1, ends_at)), NOW).await, Committed::Whole);
        let renewed = ending(2, ends_at + MOMENT);
        let (renewer, changes) = (Arc::clone(&vault), add(renewed.clone()));
        let renewing = tokio::spawn(async move { renewer.commit(&changes, ends_at).await });
        let (purger, purging) = (Arc::clone(&vault), ends_at);
        let purging = tokio::spawn(async move { purger.purge(purging).await.unwrap() });
        check(renewing.await.unwrap(), Committed::Whole);
        purging.await.unwrap();
        let found = vault.get(&names, ends_at).await.unwrap();
        assert_eq!(found, vec![Some(renewed); names.len()], "in round {round}");
        Records::remove_tenant(&*vault, ACME).await.unwrap();
    }
}
