//! Guard: who may know whom.
//!
//! Reads `cargo metadata` and fails on a dependency between our crates that the architecture does
//! not have, on a library outside its home, and on a crate whose name says nothing. The rules are
//! the two tables below; a new crate must be added to the first to be allowed at all.

use std::collections::BTreeSet;

use cargo_metadata::{Dependency, DependencyKind, Metadata, MetadataCommand, Package};

/// Which of our crates each of our crates may depend on, in tests too.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("event-log", &[]),
    ("outbound", &[]),
    // Keys and credentials are named by the identities of `domain`.
    ("vault", &["domain"]),
    ("commands", &["domain", "event-log", "vault"]),
    // Never `commands`: replaying the past must cause nothing.
    ("projections", &["domain", "event-log", "vault"]),
    ("connectors", &["domain", "event-log", "outbound"]),
    ("query-api", &["commands", "domain", "event-log", "projections", "vault"]),
    ("server", OURS),
    ("tests", OURS),
    ("xtask", &[]),
];

/// Arrows that only the tests within a crate have: doors are tried with the real HTTP client, and
/// whoever breaks services starts them as `cargo xtask` does.
const TEST_ARROWS: &[(&str, &str)] = &[
    ("event-log", "xtask"),
    ("projections", "xtask"),
    ("query-api", "outbound"),
    ("tests", "xtask"),
    ("vault", "xtask"),
];

/// Everything that is shipped.
const OURS: &[&str] = &[
    "commands",
    "connectors",
    "domain",
    "event-log",
    "outbound",
    "projections",
    "query-api",
    "server",
    "vault",
];

/// The crates that a library may be a direct dependency of; a library not listed is free.
///
/// A name stands for its family too: `sqlx` covers `sqlx-core`. What the crate `tests` and tests
/// within a crate use is their own affair.
const HOMES: &[(&str, &[&str])] = &[
    ("anyhow", &["server", "xtask"]),
    ("argon2", &["query-api"]),
    ("async-graphql", &["query-api"]),
    ("axum", &["query-api", "server"]),
    ("rdkafka", &["event-log"]),
    // What is stored of events is a type of `domain`; nobody else describes it.
    ("schemars", &["domain"]),
    ("sqlx", &["projections", "vault"]),
    ("zxcvbn", &["query-api"]),
];

/// Libraries that call other systems over HTTP. Only `outbound` does.
const HTTP_CLIENTS: &[&str] =
    &["attohttpc", "awc", "curl", "isahc", "minreq", "reqwest", "surf", "ureq"];

/// Libraries that are HTTP clients only with a feature whose name starts with `client`.
const HTTP_CLIENTS_BY_FEATURE: &[&str] = &["hyper", "hyper-util"];

/// Libraries that reach outside the program. The domain is pure: it gets everything in arguments.
const IMPURE: &[&str] = &["fs4", "getrandom", "mio", "rand", "rustix", "tokio"];

/// Names that invite everything and so say nothing.
const EMPTY_NAMES: &[&str] = &["common", "core", "helpers", "misc", "types", "util", "utils"];

/// Everything in `metadata` that breaks a rule above, each as a sentence.
fn violations(metadata: &Metadata) -> Vec<String> {
    let packages = metadata.workspace_packages();
    let ours: BTreeSet<&str> = packages.iter().map(|it| it.name.as_str()).collect();
    let mut found = Vec::new();
    for package in packages {
        found.extend(misnamed(package, metadata));
        for dependency in &package.dependencies {
            let development = dependency.kind == DependencyKind::Development;
            let arrow = (package.name.as_str(), dependency.name.as_str());
            if development && TEST_ARROWS.contains(&arrow) {
                continue;
            }
            if ours.contains(dependency.name.as_str()) {
                found.extend(forbidden_arrow(&package.name, &dependency.name));
            } else if package.name.as_str() != "tests" && !development {
                found.extend(homeless(&package.name, dependency));
            }
        }
    }
    found
}

fn misnamed(package: &Package, metadata: &Metadata) -> Option<String> {
    let name = package.name.as_str();
    let folder = package.manifest_path.parent().expect("a manifest lies in a folder");
    if EMPTY_NAMES.contains(&name) {
        Some(format!("the crate name `{name}` says nothing"))
    } else if folder != metadata.workspace_root.join(name) {
        Some(format!("the crate `{name}` must lie in the folder of its name, not in {folder}"))
    } else {
        None
    }
}

fn forbidden_arrow(from: &str, to: &str) -> Option<String> {
    match ARROWS.iter().find(|(name, _)| *name == from) {
        None => Some(format!("`{from}` has no row in the table of arrows")),
        Some((_, allowed)) if allowed.contains(&to) => None,
        Some(_) => Some(format!("`{from}` must not depend on `{to}`")),
    }
}

fn homeless(user: &str, library: &Dependency) -> Option<String> {
    let name = library.name.as_str();
    if user == "domain" && IMPURE.contains(&name) {
        return Some(format!("`{name}` reaches outside the program, and `domain` is pure"));
    }
    let family = HOMES.iter().find(|(home, _)| {
        name.strip_prefix(home).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    });
    let is_http_client = HTTP_CLIENTS.contains(&name)
        || (HTTP_CLIENTS_BY_FEATURE.contains(&name)
            && library.features.iter().any(|it| it.starts_with("client")));
    let homes = family.map(|(_, homes)| *homes).or(is_http_client.then_some(&["outbound"]));
    homes
        .filter(|it| !it.contains(&user))
        .map(|it| format!("`{name}` is at home in {it:?}, not in `{user}`"))
}

#[test]
fn every_dependency_follows_an_arrow_of_the_architecture() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo describes the workspace");
    let violations = violations(&metadata);
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
    // Were the list empty, the line above would hold for nothing.
    assert!(metadata.workspace_packages().iter().any(|it| it.name.as_str() == "domain"));
}

/// Positive controls: workspaces that break one rule each, as cargo would describe them.
mod controls {
    use serde_json::{Value, json};

    use super::{Metadata, violations};

    /// A package called `name` in `folder`, depending on the given (library, kind, features).
    fn package(name: &str, folder: &str, dependencies: &[(&str, Value, &[&str])]) -> Value {
        let dependencies: Vec<Value> = dependencies
            .iter()
            .map(|(library, kind, features)| {
                json!({
                    "name": library, "req": "*", "kind": kind, "features": features,
                    "optional": false, "uses_default_features": true,
                })
            })
            .collect();
        json!({
            "name": name, "version": "0.1.0", "id": name, "dependencies": dependencies,
            "targets": [], "features": {}, "manifest_path": format!("/callboard/{folder}/Cargo.toml"),
        })
    }

    #[track_caller]
    fn check(packages: &[Value], then: &[&str]) {
        let names: Vec<&Value> = packages.iter().map(|it| &it["name"]).collect();
        let metadata: Metadata = serde_json::from_value(json!({
            "packages": packages, "workspace_members": names, "workspace_default_members": names,
            "workspace_root": "/callboard", "target_directory": "/callboard/target",
            "resolve": null, "metadata": null, "version": 1,
        }))
        .expect("the description has cargo's format");
        assert_eq!(violations(&metadata), then);
    }

    /// A package in its own folder with ordinary dependencies.
    fn user(name: &str, libraries: &[&str]) -> Value {
        let dependencies: Vec<_> =
            libraries.iter().map(|it| (*it, Value::Null, [].as_slice())).collect();
        package(name, name, &dependencies)
    }

    #[test]
    fn a_forbidden_arrow_is_found_also_among_tests() {
        let domain = user("domain", &[]);
        let arrow = "`projections` must not depend on `commands`";
        check(&[user("commands", &["domain"]), domain.clone()], &[]);
        check(&[user("commands", &[]), user("projections", &["commands"])], &[arrow]);
        let in_tests = package("projections", "projections", &[("commands", "dev".into(), &[])]);
        check(&[user("commands", &[]), in_tests], &[arrow]);
        check(
            &[user("billing", &["domain"]), domain],
            &["`billing` has no row in the table of arrows"],
        );
    }

    #[test]
    fn a_library_outside_its_home_is_found() {
        check(
            &[user("commands", &["sqlx", "serde"])],
            &[r#"`sqlx` is at home in ["projections", "vault"], not in `commands`"#],
        );
        check(
            &[user("server", &["async-graphql-parser"])],
            &[r#"`async-graphql-parser` is at home in ["query-api"], not in `server`"#],
        );
        check(
            &[user("connectors", &["ureq"])],
            &[r#"`ureq` is at home in ["outbound"], not in `connectors`"#],
        );
        check(
            &[user("domain", &["tokio"]), user("commands", &["tokio"])],
            &["`tokio` reaches outside the program, and `domain` is pure"],
        );
        check(&[user("outbound", &["reqwest"]), user("vault", &["sqlx"])], &[]);
        check(&[user("tests", &["reqwest", "sqlx"])], &[]);
    }

    #[test]
    fn a_library_that_is_a_client_by_feature_is_found() {
        let with =
            |feature| package("query-api", "query-api", &[("hyper-util", Value::Null, feature)]);
        check(&[with(&["server"])], &[]);
        check(
            &[with(&["client-legacy"])],
            &[r#"`hyper-util` is at home in ["outbound"], not in `query-api`"#],
        );
    }

    #[test]
    fn a_crate_whose_name_or_folder_misleads_is_found() {
        check(&[user("utils", &[])], &["the crate name `utils` says nothing"]);
        check(
            &[package("domain", "crates/domain", &[])],
            &[
                "the crate `domain` must lie in the folder of its name, not in /callboard/crates/domain",
            ],
        );
    }
}
