use super::*;

const TENANT: TenantId = TenantId::from_digest([0xab; 16]);

#[test]
fn an_id_is_a_prefix_and_32_hex_digits() {
    assert_eq!(TENANT.to_string(), "ten_abababababab8bababababababababab");
    assert_eq!(format!("{TENANT:?}"), TENANT.to_string());
    assert_eq!(TENANT.to_string().parse(), Ok(TENANT));
    let json = serde_json::to_string(&TENANT).unwrap();
    assert_eq!(json, format!("\"{TENANT}\""));
    assert_eq!(serde_json::from_str::<TenantId>(&json).unwrap(), TENANT);
}

#[test]
fn an_id_of_another_kind_or_form_is_refused() {
    for text in [
        "",
        "ten_",
        "cus_abababababab8bababababababababab",
        "ten-abababababab8bababababababababab",
        "ten_ABABABABABAB8BABABABABABABABABAB",
        "ten_abababab-abab-8bab-abab-abababababab",
        "ten_abababababab8babababababababababab",
        " ten_abababababab8bababababababababab",
    ] {
        let error = text.parse::<TenantId>().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("expected an id like `ten_0190…` with 32 hex digits, got `{text}`")
        );
    }
    assert!(serde_json::from_str::<TenantId>("1").is_err());
}

#[test]
fn every_kind_of_id_has_a_prefix_of_its_own() {
    let mut prefixes = vec![
        TenantId::PREFIX,
        ActorId::PREFIX,
        CustomerId::PREFIX,
        EntityId::PREFIX,
        EntityUid::PREFIX,
        LocationId::PREFIX,
        PlanId::PREFIX,
        SubscriptionId::PREFIX,
        MeterId::PREFIX,
        RoleId::PREFIX,
        SessionId::PREFIX,
        CommandId::PREFIX,
        EventId::PREFIX,
        SubjectId::PREFIX,
    ];
    let count = prefixes.len();
    prefixes.sort_unstable();
    prefixes.dedup();
    assert_eq!(prefixes.len(), count);
}

#[test]
fn an_id_from_a_digest_is_a_uuid_of_version_8() {
    let id = EntityId::from_digest([0xff; 16]);
    assert_eq!(id.0.get_version_num(), 8);
    assert_eq!(id.0.get_variant(), uuid::Variant::RFC4122);
    assert_eq!(id, EntityId::from_digest([0xff; 16]));
}

#[test]
fn a_tenants_own_account_is_named_like_the_tenant() {
    assert_eq!(CustomerId::of_tenant(TENANT).0, TENANT.0);
}
