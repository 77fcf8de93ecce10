//! What callers hear while the vault does not answer.

use serde_json::{Value, json};

use super::seeded::OPEN;
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
    let open = json!({ "name": "Amber" });
    site.vault.leave();
    // A person of whom no key is known here.
    let told = refused(&site, &site.a, OPEN, &open).await;
    assert_eq!(told, (json!("UNAVAILABLE"), json!(5_000)));
    site.vault.come_back();
    site.mutate(&site.a, OPEN, open).await;
}
