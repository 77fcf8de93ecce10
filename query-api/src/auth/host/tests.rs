use axum::http::HeaderValue;
use serde_json::json;

use super::*;
use crate::testing::Site;

fn at(host: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::try_from(host).unwrap());
    headers
}

#[tokio::test]
async fn a_host_selects_a_tenant_that_is_active_or_none() {
    let site = Site::start().await;
    let hosts = Hosts::new(site.commands.clone(), "portal.example.com".into());
    let selected = |host: &str| hosts.selected(&at(host)).unwrap();
    let system = Some(TenantId::SYSTEM);
    for (host, tenant) in [
        ("alpha.portal.example.com", Some(site.a.tenant)),
        ("Alpha.Portal.Example.com:8443", Some(site.a.tenant)),
        ("bravo.portal.example.com", Some(site.b.tenant)),
        ("portal.example.com", system),
        ("127.0.0.1:7420", system),
        ("[::1]:7420", system),
        ("nobody.portal.example.com", None),
        ("www.portal.example.com", None),
        ("x.alpha.portal.example.com", None),
        (".portal.example.com", None),
        ("alphaportal.example.com", None),
        ("alpha.localhost", None),
        ("", None),
    ] {
        assert_eq!(selected(host), tenant, "{host}");
    }
    assert_eq!(hosts.selected(&HeaderMap::new()).unwrap(), None);
    let mut twice = at("alpha.portal.example.com");
    twice.append("host", HeaderValue::from_static("alpha.portal.example.com"));
    assert_eq!(hosts.selected(&twice).unwrap_err().status, StatusCode::BAD_REQUEST);

    let tenant = json!({ "tenant": site.a.tenant.to_string() });
    let add = "mutation($tenant: String!) { addHost(tenantId: $tenant, host: \"acme.example\") {
        userErrors { code } } }";
    site.mutate(&site.operator, add, tenant.clone()).await;
    assert_eq!(selected("acme.example"), Some(site.a.tenant));
    let suspend =
        "mutation($tenant: String!) { suspendTenant(tenantId: $tenant, reason: REQUESTED) {
        userErrors { code } } }";
    site.mutate(&site.operator, suspend, tenant).await;
    while site.commands.check_active(site.a.tenant).is_ok() {
        tokio::task::yield_now().await;
    }
    for host in ["alpha.portal.example.com", "acme.example"] {
        assert_eq!(selected(host), None, "{host}");
    }
}
