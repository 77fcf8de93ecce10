use std::collections::HashSet;

use domain::id::TenantId;
use uuid::Uuid;

use super::{Fingerprint, Fingerprinter, halves};

fn of(tenant: u128, source: &str, id: &str, content: &str) -> Fingerprint {
    let tenant = TenantId(Uuid::from_u128(tenant));
    Fingerprinter::new(&[7; 16]).of(tenant, source, id, content.as_bytes())
}

#[test]
fn the_identity_is_tenant_source_and_id_and_nothing_else() {
    let identities = [
        of(1, "ab", "c", "x"),
        of(2, "ab", "c", "x"),
        of(1, "a", "bc", "x"),
        of(1, "abc", "", "x"),
        of(1, "", "abc", "x"),
    ];
    let distinct: HashSet<_> = identities.iter().map(|it| it.identity).collect();
    assert_eq!(distinct.len(), identities.len());
    let other = of(1, "ab", "c", "y");
    assert_eq!(other.identity, identities[0].identity);
    assert_ne!(other.content, identities[0].content);
}

#[test]
fn another_key_makes_other_fingerprints() {
    let tenant = TenantId(Uuid::from_u128(1));
    let prints = [[7; 16], [8; 16]].map(|key| {
        let fingerprinter = Fingerprinter::new(&key);
        (fingerprinter.of(tenant, "a", "b", b"c"), fingerprinter.check())
    });
    assert_ne!(prints[0].0.identity, prints[1].0.identity);
    assert_ne!(prints[0].0.content, prints[1].0.content);
    assert_ne!(prints[0].1, prints[1].1);
}

#[test]
fn halves_are_upper_and_lower() {
    assert_eq!(
        halves(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f),
        (0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f)
    );
}
