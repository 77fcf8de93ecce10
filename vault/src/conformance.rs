//! The contract of the ports as a test suite; an adapter is done when it passes.

mod controls;
mod records;

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use domain::id::{SubjectId, TenantId};
use uuid::Uuid;

use crate::port::{
    BlobName, Blobs, Change, Committed, CursorName, Cursors, Hold, InstallationKey, KeyName, Keys,
    Moved, Records, Slot, Wrapped,
};
pub(crate) use records::*;

/// Runs every test of the contract against a fresh vault. The expression gives an `Arc` of it and
/// whatever must live as long as the test; it may await.
macro_rules! conformance_tests {
    ($vault:expr) => {
        crate::conformance::conformance_tests! { $vault;
            the_first_candidate_wins
            a_name_asked_twice_in_one_call_gets_one_key
            more_names_than_one_statement_holds
            creators_at_the_same_time_agree
            a_destroyed_subject_never_comes_back
            a_destroyed_tenant_takes_its_subjects_along
            destroying_a_tenant_leaves_everything_else
            a_blob_belongs_to_one_tenant
            the_first_blob_of_a_name_stays
            a_blob_stays_while_anybody_holds_it_and_once_it_was_kept
            who_stores_what_another_releases_has_it
            a_cursor_moves_only_from_where_it_stands
            of_two_consumers_one_moves_the_cursor
            a_record_changes_only_from_the_state_it_is_in
            several_records_change_together_or_none
            a_record_that_has_ended_counts_as_absent
            of_those_who_commit_at_the_same_time_one_is_whole
            only_what_has_ended_is_removed
            what_is_made_anew_while_what_has_ended_goes_stays
            removing_a_tenant_leaves_the_others
        }
    };
    ($vault:expr; $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            let (vault, _kept) = $vault;
            crate::conformance::$name(vault).await;
        })*
    };
}
pub(crate) use conformance_tests;

pub(crate) const ACME: TenantId = TenantId(Uuid::from_u128(1));
pub(crate) const GLOBEX: TenantId = TenantId(Uuid::from_u128(2));

fn subject(tenant: TenantId, number: u128) -> KeyName {
    KeyName::Subject(tenant, SubjectId(Uuid::from_u128(number)))
}

fn candidate(name: KeyName, byte: u8) -> (KeyName, Wrapped) {
    (name, Wrapped(vec![byte; 61]))
}

fn held(byte: u8) -> Slot {
    Slot::Held(Wrapped(vec![byte; 61]))
}

pub(crate) async fn the_first_candidate_wins(vault: Arc<impl Keys>) {
    let names = [KeyName::Tenant(ACME), subject(ACME, 7), subject(GLOBEX, 7)];
    assert_eq!(vault.get(&names).await.unwrap(), [None, None, None]);

    let first = [candidate(names[1], 1)];
    assert_eq!(vault.get_or_create(&first).await.unwrap(), [held(1)]);
    let second = [candidate(names[0], 2), candidate(names[1], 3)];
    assert_eq!(vault.get_or_create(&second).await.unwrap(), [held(2), held(1)]);
    assert_eq!(vault.get(&names).await.unwrap(), [Some(held(2)), Some(held(1)), None]);
    assert_eq!(vault.get(&[]).await.unwrap(), []);
    assert_eq!(vault.get_or_create(&[]).await.unwrap(), []);
}

pub(crate) async fn a_name_asked_twice_in_one_call_gets_one_key(vault: Arc<impl Keys>) {
    let twice = [candidate(subject(ACME, 7), 1), candidate(subject(ACME, 7), 2)];
    assert_eq!(vault.get_or_create(&twice).await.unwrap(), [held(1), held(1)]);
}

pub(crate) async fn more_names_than_one_statement_holds(vault: Arc<impl Keys>) {
    let names: Vec<_> = (0..2_500).map(|it| subject(ACME, it)).collect();
    let candidates: Vec<_> = names.iter().map(|it| candidate(*it, 5)).collect();
    assert_eq!(vault.get_or_create(&candidates).await.unwrap(), vec![held(5); 2_500]);
    assert_eq!(vault.get(&names).await.unwrap(), vec![Some(held(5)); 2_500]);
}

pub(crate) async fn creators_at_the_same_time_agree<V: Keys + 'static>(vault: Arc<V>) {
    for round in 0..10 {
        let creators = (0..8).map(|creator| {
            let vault = Arc::clone(&vault);
            tokio::spawn(async move {
                vault.get_or_create(&[candidate(subject(ACME, round), creator)]).await.unwrap()
            })
        });
        let slots = futures::future::join_all(creators.collect::<Vec<_>>()).await;
        let distinct: HashSet<_> = slots.into_iter().map(|it| format!("{it:?}")).collect();
        assert_eq!(distinct.len(), 1, "{distinct:?}");
    }
}

pub(crate) async fn a_destroyed_subject_never_comes_back(vault: Arc<impl Keys>) {
    let known = subject(ACME, 7);
    let unknown = subject(ACME, 8);
    vault.get_or_create(&[candidate(known, 1)]).await.unwrap();
    for number in [7, 8, 7] {
        vault.destroy_subject(ACME, SubjectId(Uuid::from_u128(number))).await.unwrap();
    }
    let gone = [Some(Slot::Destroyed), Some(Slot::Destroyed)];
    assert_eq!(vault.get(&[known, unknown]).await.unwrap(), gone);
    let again = [candidate(known, 2), candidate(unknown, 2), candidate(subject(GLOBEX, 7), 2)];
    let slots = vault.get_or_create(&again).await.unwrap();
    assert_eq!(slots, [Slot::Destroyed, Slot::Destroyed, held(2)]);
}

pub(crate) async fn a_destroyed_tenant_takes_its_subjects_along(vault: Arc<impl Keys>) {
    let names = [KeyName::Tenant(ACME), subject(ACME, 7), subject(ACME, 8)];
    vault.get_or_create(&[candidate(names[0], 1), candidate(names[1], 1)]).await.unwrap();
    vault.destroy_tenant(ACME).await.unwrap();
    vault.destroy_tenant(ACME).await.unwrap();

    let again = names.map(|it| candidate(it, 2));
    assert_eq!(vault.get_or_create(&again).await.unwrap(), vec![Slot::Destroyed; 3]);
    assert_eq!(vault.get(&names).await.unwrap(), vec![Some(Slot::Destroyed); 3]);
}

pub(crate) async fn destroying_a_tenant_leaves_everything_else(vault: Arc<impl Keys>) {
    let master = KeyName::Installation(InstallationKey::Master);
    let others = [KeyName::Tenant(GLOBEX), subject(GLOBEX, 7), master];
    vault.get_or_create(&others.map(|it| candidate(it, 1))).await.unwrap();
    vault.destroy_tenant(ACME).await.unwrap();
    vault.destroy_tenant(TenantId::SYSTEM).await.unwrap();
    assert_eq!(vault.get(&others).await.unwrap(), vec![Some(held(1)); 3]);
}

fn blob(byte: u8) -> BlobName {
    BlobName { hash: [byte; 32], length: 3 }
}

pub(crate) async fn a_blob_belongs_to_one_tenant(vault: Arc<impl Blobs>) {
    let longer = BlobName { length: 4, ..blob(1) };
    vault.put(ACME, blob(1), Bytes::from_static(b"abc"), hold(1)).await.unwrap();
    assert_eq!(vault.get(ACME, blob(1)).await.unwrap().as_deref(), Some(b"abc".as_slice()));
    assert_eq!(vault.get(GLOBEX, blob(1)).await.unwrap(), None);
    assert_eq!(vault.get(ACME, blob(2)).await.unwrap(), None);
    assert_eq!(vault.get(ACME, longer).await.unwrap(), None);
}

pub(crate) async fn the_first_blob_of_a_name_stays(vault: Arc<impl Blobs>) {
    vault.put(ACME, blob(1), Bytes::from_static(b"abc"), hold(1)).await.unwrap();
    vault.put(ACME, blob(1), Bytes::from_static(b"xyz"), hold(1)).await.unwrap();
    assert_eq!(vault.get(ACME, blob(1)).await.unwrap().as_deref(), Some(b"abc".as_slice()));
}

fn hold(number: u128) -> Hold {
    Hold(Uuid::from_u128(number))
}

pub(crate) async fn a_blob_stays_while_anybody_holds_it_and_once_it_was_kept(
    vault: Arc<impl Blobs>,
) {
    let content = Bytes::from_static(b"abc");
    let put = async |tenant, number, holder| {
        vault.put(tenant, blob(number), content.clone(), hold(holder)).await.unwrap();
    };
    let is_there = async |number| vault.get(ACME, blob(number)).await.unwrap().is_some();
    // Of several who hold it the last one removes it.
    for holder in [1, 2, 2] {
        put(ACME, 1, holder).await;
    }
    put(ACME, 2, 1).await;
    put(GLOBEX, 1, 2).await;
    for holder in [1, 1, 7] {
        vault.release(ACME, hold(holder)).await.unwrap();
        assert!(is_there(1).await && !is_there(2).await);
    }
    vault.release(ACME, hold(2)).await.unwrap();
    assert!(!is_there(1).await);
    assert!(vault.get(GLOBEX, blob(1)).await.unwrap().is_some(), "another tenant holds its own");
    // What one of them keeps stays, whoever else held or will hold it.
    for (number, holder) in [(1, 3), (1, 4), (2, 4), (3, 4), (3, 3)] {
        put(ACME, number, holder).await;
    }
    vault.keep(ACME, hold(3)).await.unwrap();
    put(ACME, 1, 5).await;
    for holder in [4, 5, 3] {
        vault.release(ACME, hold(holder)).await.unwrap();
        assert!(is_there(1).await && !is_there(2).await && is_there(3).await);
    }
    vault.keep(ACME, hold(4)).await.unwrap();
    assert!(!is_there(2).await, "what is gone cannot be kept");
}

pub(crate) async fn who_stores_what_another_releases_has_it<V>(vault: Arc<V>)
where
    V: Blobs + 'static,
{
    let content = Bytes::from_static(b"abc");
    for number in 0..40 {
        vault.put(ACME, blob(number), content.clone(), hold(1)).await.unwrap();
        let (releaser, holder, content) = (vault.clone(), vault.clone(), content.clone());
        let held = tokio::spawn(async move {
            holder.put(ACME, blob(number), content, hold(2)).await.unwrap();
        });
        let released = tokio::spawn(async move { releaser.release(ACME, hold(1)).await.unwrap() });
        held.await.unwrap();
        released.await.unwrap();
        assert!(vault.get(ACME, blob(number)).await.unwrap().is_some());
        vault.release(ACME, hold(2)).await.unwrap();
        assert!(vault.get(ACME, blob(number)).await.unwrap().is_none());
    }
}

fn cursor(tenant: TenantId) -> CursorName {
    CursorName { tenant, name: "connector/github".into() }
}

pub(crate) async fn a_cursor_moves_only_from_where_it_stands(vault: Arc<impl Cursors>) {
    let name = cursor(ACME);
    let elsewhere = |it: &str| Moved::Elsewhere(Some(it.to_owned()));
    assert_eq!(vault.get(&name).await.unwrap(), None);
    assert_eq!(vault.advance(&name, Some("1"), "2").await.unwrap(), Moved::Elsewhere(None));
    assert_eq!(vault.advance(&name, None, "1").await.unwrap(), Moved::Here);
    assert_eq!(vault.advance(&name, None, "9").await.unwrap(), elsewhere("1"));
    assert_eq!(vault.advance(&name, Some("7"), "9").await.unwrap(), elsewhere("1"));
    assert_eq!(vault.advance(&name, Some("1"), "2").await.unwrap(), Moved::Here);
    assert_eq!(vault.advance(&name, Some("2"), "2").await.unwrap(), Moved::Here);
    assert_eq!(vault.get(&name).await.unwrap().as_deref(), Some("2"));
    assert_eq!(vault.get(&cursor(GLOBEX)).await.unwrap(), None);
}

pub(crate) async fn of_two_consumers_one_moves_the_cursor<V: Cursors + 'static>(vault: Arc<V>) {
    vault.advance(&cursor(ACME), None, "0").await.unwrap();
    let consumers = (1..=8).map(|consumer| {
        let vault = Arc::clone(&vault);
        tokio::spawn(async move {
            vault.advance(&cursor(ACME), Some("0"), &consumer.to_string()).await.unwrap()
        })
    });
    let ends = futures::future::join_all(consumers.collect::<Vec<_>>()).await;
    let winners = ends.into_iter().filter(|it| matches!(it, Ok(Moved::Here))).count();
    assert_eq!(winners, 1);
}

pub(crate) async fn removing_a_tenant_leaves_the_others(
    vault: Arc<impl Blobs + Cursors + Records>,
) {
    let (now, record) = (chrono::DateTime::UNIX_EPOCH, records::record(1));
    for tenant in [ACME, GLOBEX] {
        // More than go at once.
        for number in 1..=40 {
            let content = Bytes::from_static(b"abc");
            vault.put(tenant, blob(number), content, hold(number.into())).await.unwrap();
        }
        vault.advance(&cursor(tenant), None, "1").await.unwrap();
        let added = [Change::Add(records::name(tenant, 1), record.clone())];
        assert_eq!(vault.commit(&added, now).await.unwrap(), Committed::Whole);
    }
    for _ in 0..2 {
        Blobs::remove_tenant(&*vault, ACME).await.unwrap();
        Cursors::remove_tenant(&*vault, ACME).await.unwrap();
        Records::remove_tenant(&*vault, ACME).await.unwrap();
    }
    for number in 1..=40 {
        assert_eq!(Blobs::get(&*vault, ACME, blob(number)).await.unwrap(), None);
        let other = Blobs::get(&*vault, GLOBEX, blob(number)).await.unwrap();
        assert!(other.is_some(), "it is another tenant's");
    }
    assert_eq!(Cursors::get(&*vault, &cursor(ACME)).await.unwrap(), None);
    assert!(Cursors::get(&*vault, &cursor(GLOBEX)).await.unwrap().is_some());
    let names = [ACME, GLOBEX].map(|it| records::name(it, 1));
    assert_eq!(Records::get(&*vault, &names, now).await.unwrap(), [None, Some(record)]);
}
