//! The published contracts say what the doors do. `UPDATE_SCHEMAS=1` writes them anew.

mod async_api;
mod compatibility;
mod events;

use std::fs;
use std::path::PathBuf;

/// Where the contracts are published.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schemas")
}

/// Compares a contract with its file, or writes the file.
fn check(name: &str, contract: &str) {
    let path = folder().join(name);
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        fs::write(&path, contract).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(published == contract, "schemas/{name} is out of date; run with UPDATE_SCHEMAS=1");
}

#[test]
fn the_published_graphql_schema_is_the_one_that_is_served() {
    check("api.graphql", &crate::schema::builder().finish().sdl());
}

#[test]
fn the_published_rest_api_is_the_one_that_is_served() {
    let document = crate::rest::open_api_document().to_pretty_json().unwrap();
    check("openapi.json", &format!("{document}\n"));
}
