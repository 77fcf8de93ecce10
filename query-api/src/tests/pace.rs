//! The pace through the doors: what is recorded counts until it is shown.

use projections::temporary::Kind;
use serde_json::{Value, json};

use super::seeded::{apply, component, put};
use crate::testing::{Member, Site, on_each_kind, soon};

/// The most that may be unseen of somebody beside others of whom no speed is known.
const ALLOWED: usize = 16;

/// Changes of so many entities, each another one.
fn changes(from: usize, count: usize) -> Value {
    (from..from + count).map(|it| put(&component(&format!("c{it}"), "x"), None)).collect()
}

fn unseen(site: &Site, who: &Member) -> usize {
    site.context.pace().unseen(who.tenant, &site.projections.models())
}

on_each_kind! {
    a_change_too_far_ahead_of_what_is_shown_waits_and_a_preview_does_not
}

async fn a_change_too_far_ahead_of_what_is_shown_waits_and_a_preview_does_not(on: Kind) {
    let site = Site::start_on(on).await;
    apply(&site, &site.b, changes(0, 1)).await;
    site.showing.hold();
    apply(&site, &site.a, changes(0, 1)).await;
    assert_eq!(unseen(&site, &site.a), 1);

    let preview = "mutation($changes: [EntityChangeInput!]!) {
        applyEntities(input: {changes: $changes}, options: {preview: true}) {
            userErrors { message }
        }
    }";
    let many = || changes(1, ALLOWED);
    soon(site.mutate(&site.a, preview, json!({ "changes": many() }))).await;
    let mut late = std::pin::pin!(apply(&site, &site.a, many()));
    let waits = async {
        while site.context.pace().held() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        _ = &mut late => panic!("it did not wait"),
        () = soon(waits) => (),
    }
    apply(&site, &site.b, changes(1, 1)).await;
    assert_eq!(site.context.pace().held(), 1, "only one of them is far ahead");

    site.showing.release();
    soon(late).await;
    let all_is_shown = async {
        while unseen(&site, &site.a) + unseen(&site, &site.b) > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(all_is_shown).await;
}
