//! What callers hear while the vault does not answer.

use domain::id::TenantId;
use serde_json::{Value, json};
use uuid::Uuid;

use super::seeded::{APPLY, OPEN, component, put};
use crate::testing::{Member, Site};

/// The code and the time to wait that an operation is refused with.
async fn refused(site: &Site, who: &Member, document: &str, variables: &Value) -> (Value, Value) {
    let answer = site.graphql(who, document, variables.clone()).await;
    let mut told = answer["errors"][0]["extensions"].clone();
    (told["code"].take(), told["retryAfterMs"].take())
}

#[tokio::test]
async fn whoever_needs_a_key_is_told_when_to_ask_again() {
    let site = Site::start().await;
    // Of whom no key is known here, be it the tenant's or a person's.
    let stranger = site.member(TenantId(Uuid::now_v7()));
    let changes = json!({ "changes": [put(&component("web", "amber"), None)] });
    let open = json!({ "name": "Amber" });
    let asked = [(&stranger, APPLY, changes), (&site.a, OPEN, open.clone())];
    site.vault.leave();
    for (who, document, variables) in asked {
        let told = refused(&site, who, document, &variables).await;
        assert_eq!(told, (json!("UNAVAILABLE"), json!(5_000)), "{document}");
    }
    site.vault.come_back();
    site.mutate(&site.a, OPEN, open).await;
}
