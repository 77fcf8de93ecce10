use super::*;

const ACME: TenantId = TenantId(uuid::Uuid::from_u128(1));
const OTHER: TenantId = TenantId(uuid::Uuid::from_u128(2));

#[test]
fn a_tenant_has_so_much_under_way_and_what_is_alone_always_fits() {
    let underway = Underway::default();
    let alone = underway.enter(ACME, 500, 100).unwrap();
    let full = underway.enter(ACME, 1, 100);
    assert!(matches!(full, Err(CommandError::Busy { .. })), "{full:?}");
    let other = underway.enter(OTHER, 60, 100).unwrap();
    underway.enter(OTHER, 41, 100).unwrap_err();
    let second = underway.enter(OTHER, 40, 100).unwrap();
    drop((alone, other));
    let third = underway.enter(ACME, 1, 100).unwrap();
    drop(underway.enter(OTHER, 60, 100).unwrap());
    drop((second, third));
    assert!(underway.lock().is_empty(), "nothing is left of who has gone");
}
