//! Guards on the manifests: what the workspace decides, no crate decides again.

use toml::{Table, Value};

use super::{Complaints, File, check};

/// The keys of `[package]` that the workspace decides.
const INHERITED: &[&str] = &["edition", "license", "publish", "rust-version", "version"];

/// The tables of dependencies a crate may have.
const DEPENDENCIES: &[&str] = &["build-dependencies", "dependencies", "dev-dependencies"];

fn inherits_from_the_workspace(file: &File) -> Complaints {
    if !file.path.ends_with("/Cargo.toml") {
        return Complaints::new();
    }
    let manifest: Table = file.text.parse().expect("cargo reads it too");
    let inherits = |value: Option<&Value>| {
        value.and_then(|it| it.get("workspace")).and_then(Value::as_bool) == Some(true)
    };
    let mut own = Vec::new();
    if !inherits(manifest.get("lints")) {
        own.push("lints".to_owned());
    }
    let package = manifest.get("package");
    own.extend(
        INHERITED
            .iter()
            .filter(|key| !inherits(package.and_then(|it| it.get(**key))))
            .map(|key| format!("package.{key}")),
    );
    for table in DEPENDENCIES {
        let dependencies = manifest.get(*table).and_then(Value::as_table).into_iter().flatten();
        own.extend(
            dependencies
                .filter(|(_, value)| !inherits(Some(value)))
                .map(|(name, _)| format!("{table}.{name}")),
        );
    }
    own.iter().map(|key| file.complaint(1, &format!("`{key}` is not the workspace's"))).collect()
}

#[test]
fn every_crate_inherits_lints_versions_and_edition() {
    let good = "
        package = { edition.workspace = true, license.workspace = true, publish.workspace = true, \
                    rust-version.workspace = true, version.workspace = true }
        dependencies = { serde.workspace = true }
        lints.workspace = true";
    let control = |from, to| good.replace(from, to);
    check(
        inherits_from_the_workspace,
        ("domain/Cargo.toml", &control("lints.workspace", "lints.other")),
        "domain/Cargo.toml:1 `lints` is not the workspace's",
    );
    check(
        inherits_from_the_workspace,
        ("domain/Cargo.toml", &control("license.workspace = true", "license = 'MIT'")),
        "domain/Cargo.toml:1 `package.license` is not the workspace's",
    );
    check(
        inherits_from_the_workspace,
        ("domain/Cargo.toml", &control("serde.workspace = true", "serde = '1'")),
        "domain/Cargo.toml:1 `dependencies.serde` is not the workspace's",
    );
}
