//! How fast this machine is at what Callboard does most: so that figures of different machines,
//! or of one machine on different days, can be laid side by side.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use super::{Row, Verdict};

/// How long it is measured: 1 s.
const DURATION: Duration = Duration::from_secs(1);

/// One core parses a descriptor and writes it again, for a while.
pub(super) fn row() -> Result<Row> {
    let text = descriptor().to_string();
    let (began, mut bytes) = (Instant::now(), 0_u64);
    while began.elapsed() < DURATION {
        for _ in 0..100 {
            let parsed: Value = serde_json::from_str(&text)?;
            bytes += u64::try_from(parsed.to_string().len())?;
        }
    }
    let rate = super::rate(bytes, began.elapsed()) / 1_000_000;
    Ok(Row {
        what: "this machine: JSON parsed and written by one core",
        measured: format!("{rate} MB/s"),
        baseline: "-".to_owned(),
        target: "-",
        verdict: Verdict::None,
    })
}

fn descriptor() -> Value {
    let tags: Vec<String> = (0..10).map(|it| format!("tag-{it}")).collect();
    json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": {
            "name": "checkout", "title": "Checkout", "namespace": "default", "tags": tags,
            "description": "Takes what is in a basket and makes an order of it.",
            "annotations": { "example.org/source": "https://example.org/shop/checkout" },
        },
        "spec": {
            "type": "service", "lifecycle": "production", "owner": "group:default/payments",
            "system": "shop", "dependsOn": ["component:default/orders", "resource:default/db"],
        },
    })
}
