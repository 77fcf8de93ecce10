use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::MemoryVault;
use crate::conformance::{ACME, GLOBEX};

const NOW: DateTime<Utc> = DateTime::from_timestamp(1_800_000_000, 0).unwrap();

const ADA: (RecordKind, &str) = (RecordKind::Account, "ada");

fn keys(tenant: TenantId) -> TenantKeys {
    TenantKeys::new(tenant, &[u8::try_from(tenant.0.as_u128()).unwrap(); 32].into())
}

fn store() -> (Arc<MemoryVault>, RecordStore) {
    let vault = Arc::new(MemoryVault::default());
    (vault.clone(), RecordStore::new(vault))
}

#[tokio::test]
async fn a_record_says_what_was_put_until_it_ends_or_goes() {
    let ((_, store), acme) = (store(), keys(ACME));
    let ends_at = NOW + TimeDelta::seconds(1);
    let put = Changes::of(&acme).put(ADA, None, b"one", Some(ends_at));
    assert_eq!(store.commit(&put, NOW).await.unwrap(), Committed::Whole);
    assert_eq!(store.commit(&put, NOW).await.unwrap(), Committed::Conflict);
    let known = store.get(&acme, ADA, NOW).await.unwrap().unwrap();
    assert_eq!((known.value.as_slice(), known.ends_at), (b"one".as_slice(), Some(ends_at)));
    for (tenant, name) in [(ACME, (RecordKind::AccountOf, "ada")), (GLOBEX, ADA)] {
        assert_eq!(store.get(&keys(tenant), name, NOW).await.unwrap(), None);
    }
    assert_eq!(store.get(&acme, ADA, ends_at).await.unwrap(), None);

    let put = Changes::of(&acme).put(ADA, Some(known.version), b"two", None);
    assert_eq!(store.commit(&put, NOW).await.unwrap(), Committed::Whole);
    let known = store.get(&acme, ADA, NOW).await.unwrap().unwrap();
    assert_eq!(known.value, b"two");
    let gone = Changes::of(&acme).remove(ADA, known.version);
    assert_eq!(store.commit(&gone, NOW).await.unwrap(), Committed::Whole);
    assert_eq!(store.get(&acme, ADA, NOW).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_stored_neither_says_its_name_nor_its_value() {
    let ((vault, store), acme) = (store(), keys(ACME));
    let put = Changes::of(&acme).put(ADA, None, b"her account", None);
    assert_eq!(store.commit(&put, NOW).await.unwrap(), Committed::Whole);
    let name = acme.record_name(ADA.0, ADA.1);
    let stored = vault.get(&[name], NOW).await.unwrap().pop().flatten().unwrap();
    assert!(!stored.sealed.windows(3).any(|it| it == b"her"), "it is stored sealed");
    assert!(!name.digest.windows(3).any(|it| it == b"ada"));
    assert!(!format!("{put:?} {:?}", store.get(&acme, ADA, NOW).await).contains("104, 101, 114"));
}

#[tokio::test]
async fn a_record_in_the_place_of_another_does_not_open() {
    let ((vault, store), acme, globex) = (store(), keys(ACME), keys(GLOBEX));
    let put = Changes::of(&acme).put(ADA, None, b"her account", None);
    assert_eq!(store.commit(&put, NOW).await.unwrap(), Committed::Whole);
    let from = acme.record_name(ADA.0, ADA.1);
    let stored = vault.get(&[from], NOW).await.unwrap().pop().flatten().unwrap();
    // The control: where it was put, it opens.
    assert!(store.get(&acme, ADA, NOW).await.unwrap().is_some());
    for (keys, place) in [
        (&acme, (RecordKind::Account, "eve")),
        (&acme, (RecordKind::AccountOf, "ada")),
        (&globex, ADA),
    ] {
        let copied = Change::Add(keys.record_name(place.0, place.1), stored.clone());
        assert_eq!(vault.commit(&[copied], NOW).await.unwrap(), Committed::Whole);
        let read = store.get(keys, place, NOW).await;
        assert!(matches!(read, Err(RecordError::Damaged(kind)) if kind == place.0), "{read:?}");
    }
    // Not even with the key of its tenant, which another place would need.
    let other = TenantKeys::new(GLOBEX, &[1; 32].into());
    let copied = Change::Add(other.record_name(ADA.0, ADA.1), stored);
    assert_eq!(vault.commit(&[copied], NOW).await.unwrap(), Committed::Whole);
    assert!(matches!(store.get(&other, ADA, NOW).await, Err(RecordError::Damaged(_))));
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let ((_, store), acme) = (store(), keys(ACME));
    let put = |bytes| Changes::of(&acme).put(ADA, None, &vec![0; bytes], None);
    let refused = store.commit(&put(RECORD_BYTES_MAX + 1), NOW).await;
    assert!(matches!(refused, Err(RecordError::TooLarge(it)) if it == RECORD_BYTES_MAX + 1));
    assert_eq!(store.commit(&put(RECORD_BYTES_MAX), NOW).await.unwrap(), Committed::Whole);
}

#[test]
fn stored_names_of_kinds_stay_what_they_are() {
    let names = RecordKind::ALL.map(RecordKind::name);
    let known = [
        "account",
        "account-of",
        "attempts",
        "used-invite",
        "setup",
        "provider-secret",
        "identity",
        "identities-of",
        "used-login",
        "key-uses",
        "second-factor",
    ];
    assert_eq!(names, known);
}
