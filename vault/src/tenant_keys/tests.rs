use std::collections::HashSet;

use domain::id::{ActorId, TenantId};
use uuid::Uuid;

use super::{TenantKeys, ValueForged};
use crate::conformance::{ACME, GLOBEX};

fn keys(tenant: TenantId) -> TenantKeys {
    TenantKeys::new(tenant, &[u8::try_from(tenant.0.as_u128()).unwrap(); 32].into())
}

#[test]
fn a_name_has_one_identity_per_tenant_and_kind() {
    let names = |keys: &TenantKeys| {
        let text = "component:default/web";
        [
            keys.entity_id(text).0,
            keys.location_id("url", text).0,
            keys.meter_id(text).0,
            keys.subject_id(text).0,
            keys.actor_id("local", text).0,
            keys.command_id(ActorId::SYSTEM, "RegisterEntity", text).0,
        ]
    };
    assert_eq!(names(&keys(ACME)), names(&keys(ACME)));
    let both = [names(&keys(ACME)), names(&keys(GLOBEX))].concat();
    assert_eq!(both.iter().collect::<HashSet<_>>().len(), 12);
    assert!(both.iter().all(|it| it.get_version_num() == 8), "{both:?}");
}

#[test]
fn where_one_text_ends_and_the_next_begins_counts() {
    let keys = keys(ACME);
    assert_ne!(keys.location_id("url", "x"), keys.location_id("ur", "lx"));
    assert_ne!(keys.digest("a", "bc"), keys.digest("ab", "c"));
    let actor = ActorId(Uuid::from_u128(7));
    assert_ne!(keys.command_id(actor, "a", "bc"), keys.command_id(actor, "ab", "c"));
    assert_ne!(keys.command_id(actor, "a", "b"), keys.command_id(ActorId::SYSTEM, "a", "b"));
}

/// The stored names of every installation depend on these: they may never change. The expected
/// values were computed by other means (Python's `hmac`).
#[test]
fn digests_stay_what_they_were() {
    let keys = keys(ACME);
    assert_eq!(
        keys.entity_id("component:default/web").to_string(),
        "ent_a259f219deeb8e6796f28fa6ffe9c7a3"
    );
    assert_eq!(
        keys.command_id(ActorId::SYSTEM, "StartSubscription", "key-1").to_string(),
        "cmd_aa5d814d311d8325a1bce054179be401"
    );
}

#[test]
fn a_personal_text_compares_by_its_digest() {
    let keys = keys(ACME);
    let subject = keys.subject_id("user:default/ada");
    assert_eq!(keys.personal(subject, "Ada"), keys.personal(subject, "Ada"));
    assert_ne!(keys.personal(subject, "Ada"), keys.personal(subject, "ada"));
    assert_ne!(
        keys.personal(subject, "Ada").digest,
        self::keys(GLOBEX).personal(subject, "Ada").digest
    );
}

#[test]
fn a_value_opens_only_where_it_was_sealed() {
    let keys = keys(ACME);
    let sealed = keys.seal_value("ent_1", 7, b"{}");
    let forged = |tenant, sequence| Err(ValueForged { tenant, sequence });
    assert_eq!(keys.open_value("ent_1", 7, &sealed).as_deref(), Ok(b"{}".as_slice()));
    assert_eq!(keys.open_value("ent_1", 8, &sealed), forged(ACME, 8));
    assert_eq!(keys.open_value("ent_2", 7, &sealed), forged(ACME, 7));
    assert_eq!(self::keys(GLOBEX).open_value("ent_1", 7, &sealed), forged(GLOBEX, 7));
    for byte in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[byte] ^= 1;
        assert_eq!(keys.open_value("ent_1", 7, &changed), forged(ACME, 7), "byte {byte}");
    }
    assert_ne!(keys.seal_value("ent_1", 7, b"{}"), sealed, "nonces are random");
}

#[test]
fn a_piece_of_a_snapshot_opens_only_where_it_was_sealed() {
    let keys = keys(ACME);
    let sealed = keys.seal_snapshot("0 shard 0", b"rows");
    assert_eq!(keys.open_snapshot("0 shard 0", &sealed).as_deref(), Some(b"rows".as_slice()));
    assert_eq!(keys.open_snapshot("0 shard 1", &sealed), None);
    assert_eq!(keys.open_snapshot("1 shard 0", &sealed), None);
    assert_eq!(self::keys(GLOBEX).open_snapshot("0 shard 0", &sealed), None);
    assert!(keys.open_value("0 shard 0", 0, &sealed).is_err(), "each use has a key of its own");
    for byte in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[byte] ^= 1;
        assert_eq!(keys.open_snapshot("0 shard 0", &changed), None, "byte {byte}");
    }
}
