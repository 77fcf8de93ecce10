use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use domain::id::{SubjectId, TenantId};
use domain::personal::{Content, Personal};

use super::{Keyring, KeyringError};
use crate::audit_key::{AUDIT_KEYS_MAX, AuditKey};
use crate::conformance::{ACME, GLOBEX};
use crate::port::{KeyName, Keys};
use crate::{Changes, Committed, MemoryVault, RecordKind, Root, SealError, SqliteVault};

fn root(byte: u8) -> Root {
    Root::from_bytes(&[byte; 32].into())
}

async fn keyring(vault: &Arc<MemoryVault>) -> Keyring {
    Keyring::open(vault.clone(), root(1)).await.unwrap()
}

/// A personal text of one person, sealed, and whose it is.
async fn sealed(keyring: &Keyring, tenant: TenantId, text: &str) -> (SubjectId, Personal) {
    let keys = keyring.tenant(tenant).await.unwrap();
    let subject = keys.subject_id("user:default/ada");
    let mut personal = keys.personal(subject, text);
    keyring.ensure_subjects(tenant, &[subject]).await.unwrap().seal(&mut personal).unwrap();
    assert!(matches!(&personal.content, Content::Sealed(_)));
    (subject, personal)
}

async fn unseal(
    keyring: &Keyring,
    tenant: TenantId,
    personal: &Personal,
) -> Result<Option<String>, SealError> {
    keyring.subjects(tenant, &[personal.subject]).await.unwrap().unseal(personal)
}

#[tokio::test]
async fn a_text_can_be_sealed_stored_and_unsealed() {
    let vault = Arc::new(MemoryVault::default());
    let (_, personal) = sealed(&keyring(&vault).await, ACME, "Ada Lovelace").await;
    let stored = serde_json::to_string(&personal).unwrap();
    assert!(!stored.contains("Ada"), "{stored}");
    let read: Personal = serde_json::from_str(&stored).unwrap();
    // Also by a process that starts later.
    let text = unseal(&keyring(&vault).await, ACME, &read).await.unwrap();
    assert_eq!(text.as_deref(), Some("Ada Lovelace"));
}

#[tokio::test]
async fn a_text_opens_only_for_its_tenant_subject_and_digest() {
    let vault = Arc::new(MemoryVault::default());
    let keyring = keyring(&vault).await;
    let (subject, personal) = sealed(&keyring, ACME, "Ada").await;
    let forged = |it| Err(SealError::Forged(it));

    keyring.ensure_subjects(GLOBEX, &[subject]).await.unwrap();
    assert_eq!(unseal(&keyring, GLOBEX, &personal).await, forged(subject));

    let bob = keyring.tenant(ACME).await.unwrap().subject_id("user:default/bob");
    keyring.ensure_subjects(ACME, &[bob]).await.unwrap();
    let stolen = Personal { subject: bob, ..personal.clone() };
    assert_eq!(unseal(&keyring, ACME, &stolen).await, forged(bob));

    let mut renamed = personal.clone();
    renamed.digest.0[0] ^= 1;
    assert_eq!(unseal(&keyring, ACME, &renamed).await, forged(subject));

    let Content::Sealed(bytes) = &personal.content else { panic!("it is sealed") };
    for byte in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[byte] ^= 0x80;
        let changed = Personal { content: Content::Sealed(changed), ..personal.clone() };
        assert_eq!(unseal(&keyring, ACME, &changed).await, forged(subject), "byte {byte}");
    }
    // The positive control: unchanged, it opens.
    assert_eq!(unseal(&keyring, ACME, &personal).await, Ok(Some("Ada".into())));
}

#[tokio::test]
async fn an_erased_subject_is_erased_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault.db");
    let vault = SqliteVault::open(&path).await.unwrap();
    let keyring = Keyring::open(Arc::new(vault.clone()), root(1)).await.unwrap();
    let (subject, personal) = sealed(&keyring, ACME, "Ada").await;
    keyring.destroy_subject(ACME, subject).await.unwrap();
    keyring.destroy_subject(ACME, subject).await.unwrap();
    erased(&keyring, subject, &personal).await;
    vault.close().await;

    let vault = SqliteVault::open(&path).await.unwrap();
    let reopened = Keyring::open(Arc::new(vault), root(1)).await.unwrap();
    erased(&reopened, subject, &personal).await;
    reopened.destroy_subject(ACME, subject).await.unwrap();
    erased(&reopened, subject, &personal).await;
}

async fn erased(keyring: &Keyring, subject: SubjectId, personal: &Personal) {
    assert_eq!(unseal(keyring, ACME, personal).await, Ok(None));
    assert_eq!(keyring.unseal_many(ACME, &[personal]).await.unwrap(), [None]);
    let keys = keyring.ensure_subjects(ACME, &[subject]).await.unwrap();
    assert!(keys.is_erased(subject));
    let mut fresh = keyring.tenant(ACME).await.unwrap().personal(subject, "Ada again");
    assert_eq!(keys.seal(&mut fresh), Err(SealError::Erased(subject)));
}

#[tokio::test]
async fn an_erased_tenant_is_erased_with_everybody_in_it() {
    let vault = Arc::new(MemoryVault::default());
    let keyring = keyring(&vault).await;
    let (subject, personal) = sealed(&keyring, ACME, "Ada").await;
    let (_, other) = sealed(&keyring, GLOBEX, "Ada").await;
    let (ada, now) = ((RecordKind::Account, "ada"), chrono::DateTime::UNIX_EPOCH);
    let mut accounts = Vec::new();
    for tenant in [ACME, GLOBEX] {
        let keys = keyring.tenant(tenant).await.unwrap();
        let put = Changes::of(&keys).put(ada, None, b"hers", None);
        assert_eq!(keyring.records().commit(&put, now).await.unwrap(), Committed::Whole);
        accounts.push(keys);
    }
    keyring.destroy_tenant(ACME).await.unwrap();
    keyring.destroy_tenant(ACME).await.unwrap();

    let refused = keyring.tenant(ACME).await;
    assert!(matches!(refused, Err(KeyringError::TenantErased(it)) if it == ACME));
    assert_eq!(unseal(&keyring, ACME, &personal).await, Ok(None));
    let stranger = SubjectId(uuid::Uuid::from_u128(99));
    let keys = keyring.ensure_subjects(ACME, &[subject, stranger]).await.unwrap();
    assert!(keys.is_erased(subject) && keys.is_erased(stranger));
    assert_eq!(unseal(&keyring, GLOBEX, &other).await, Ok(Some("Ada".into())));
    // Also for who still has its keys in memory.
    for (keys, is_there) in accounts.iter().zip([false, true]) {
        let found = keyring.records().get(keys, ada, now).await.unwrap();
        assert_eq!(found.is_some(), is_there, "{}", keys.tenant());
    }
}

#[tokio::test]
async fn many_texts_unseal_in_order() {
    let keyring = keyring(&Arc::new(MemoryVault::default())).await;
    let keys = keyring.tenant(ACME).await.unwrap();
    let subjects: Vec<_> = (0..50).map(|it| keys.subject_id(&format!("user {it}"))).collect();
    let handle = keyring.ensure_subjects(ACME, &subjects).await.unwrap();
    let mut texts: Vec<_> =
        (0..200).map(|it| keys.personal(subjects[it % 50], format!("text {it}"))).collect();
    for text in &mut texts {
        handle.seal(text).unwrap();
    }
    keyring.destroy_subject(ACME, subjects[7]).await.unwrap();
    let opened = keyring.unseal_many(ACME, &texts.iter().collect::<Vec<_>>()).await.unwrap();
    for (number, text) in opened.into_iter().enumerate() {
        assert_eq!(text, (number % 50 != 7).then(|| format!("text {number}")));
    }
}

#[tokio::test]
async fn a_lost_key_is_a_fault_and_not_an_erasure() {
    let vault = Arc::new(MemoryVault::default());
    let (subject, personal) = sealed(&keyring(&vault).await, ACME, "Ada").await;
    let emptied = keyring(&Arc::new(MemoryVault::default())).await;
    assert_eq!(unseal(&emptied, ACME, &personal).await, Err(SealError::NoKey(subject)));
    let many = emptied.unseal_many(ACME, &[&personal]).await;
    assert!(matches!(many, Err(KeyringError::Seal(SealError::NoKey(it))) if it == subject));
    // Reading made no key.
    let slots = vault.get(&[KeyName::Subject(GLOBEX, subject)]).await.unwrap();
    assert_eq!(slots, [None]);
}

#[tokio::test]
async fn another_root_key_is_refused() {
    let vault = Arc::new(MemoryVault::default());
    keyring(&vault).await;
    let refused = Keyring::open(vault, root(2)).await;
    assert!(matches!(refused, Err(KeyringError::WrongRoot)), "{refused:?}");
}

#[tokio::test]
async fn every_start_finds_the_same_installation() {
    let vault = Arc::new(MemoryVault::default());
    let (first, second) = (keyring(&vault).await, keyring(&vault).await);
    assert_eq!(first.issuer().key_id(), second.issuer().key_id());
    assert_eq!(first.identity_key(), second.identity_key());
    assert_eq!(first.installation(), second.installation());
    let token = first.bind("cursor", ACME, b"page 2");
    assert_eq!(second.unbind("cursor", ACME, &token).unwrap(), b"page 2");
    let names = [first, second].map(|it| async move { it.tenant(ACME).await.unwrap() });
    let [first, second] = names;
    assert_eq!(first.await.entity_id("x"), second.await.entity_id("x"));

    let other = keyring(&Arc::new(MemoryVault::default())).await;
    assert!(other.unbind("cursor", ACME, &token).is_err());
    assert_ne!(other.installation(), keyring(&vault).await.installation());
}

#[tokio::test]
async fn a_key_for_audit_trails_is_replaced_and_those_before_it_stay() {
    let vault = Arc::new(MemoryVault::default());
    let (one, other) = (keyring(&vault).await, keyring(&vault).await);
    let generations = |keys: &[AuditKey]| keys.iter().map(AuditKey::generation).collect::<Vec<_>>();
    let first = one.audit_keys().await.unwrap().remove(0);
    let signature = first.sign(b"what was");
    let replaced = one.replace_audit_key().await.unwrap().unwrap();
    let keys = other.audit_keys().await.unwrap();
    assert_eq!(generations(&keys), [1, 2], "every process knows it at once");
    assert_eq!(keys[1].public_key(), replaced.public_key());
    assert_ne!(keys[0].public_key(), keys[1].public_key());
    let verified = UnparsedPublicKey::new(&ED25519, keys[0].public_key());
    verified.verify(b"what was", &signature).unwrap();
    assert_ne!(&keys[0].public_key(), one.issuer().public_key());
    for _ in 2..AUDIT_KEYS_MAX {
        one.replace_audit_key().await.unwrap().unwrap();
    }
    assert!(one.replace_audit_key().await.unwrap().is_none(), "there cannot be more");
    assert!(!format!("{first:?}").contains("pair"), "it never shows its private key");
}

#[tokio::test]
async fn sealing_twice_changes_nothing() {
    let keyring = keyring(&Arc::new(MemoryVault::default())).await;
    let (subject, mut personal) = sealed(&keyring, ACME, "Ada").await;
    let before = serde_json::to_string(&personal).unwrap();
    let keys = keyring.ensure_subjects(ACME, &[subject, subject]).await.unwrap();
    keys.seal(&mut personal).unwrap();
    assert_eq!(serde_json::to_string(&personal).unwrap(), before);
}

/// Erasing while others read must never leave the key in a cache.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_at_the_same_time_never_bring_an_erased_key_back() {
    let vault = Arc::new(MemoryVault::default());
    let keyring = keyring(&vault).await;
    for round in 0..200 {
        let subject = keyring.tenant(ACME).await.unwrap().subject_id(&format!("user {round}"));
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let keyring = keyring.clone();
                tokio::spawn(async move {
                    keyring.ensure_subjects(ACME, &[subject]).await.unwrap();
                })
            })
            .collect();
        keyring.destroy_subject(ACME, subject).await.unwrap();
        for reader in readers {
            reader.await.unwrap();
        }
        assert!(keyring.ensure_subjects(ACME, &[subject]).await.unwrap().is_erased(subject));
    }
}

#[tokio::test]
async fn who_reads_makes_no_key_in_the_place_of_one_that_was_lost() {
    let vault = Arc::new(MemoryVault::default());
    let reading = keyring(&vault).await.existing(ACME).await;
    assert!(matches!(reading, Err(KeyringError::Missing(ACME))), "{reading:?}");
    assert_eq!(vault.get(&[KeyName::Tenant(ACME)]).await.unwrap(), [None]);
    keyring(&vault).await.tenant(ACME).await.unwrap();
    keyring(&vault).await.existing(ACME).await.unwrap();
}
