//! The folder with real-world samples that lies beside the repository where we develop it.
//!
//! A clone has no such folder, and everything must pass without it: our own samples cover the same
//! cases. A test that reads it lives in a module called `shared_data`, so that `cargo xtask test`
//! can count it, and returns at once where [`folder`] is `None`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::Installation;

/// The folder, if it is there: `$CALLBOARD_SHARED`, or `../shared` beside the workspace.
pub(crate) fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    std::env::var_os("CALLBOARD_SHARED")
        .map_or(Some(beside), |it| Some(it.into()))
        .filter(|it| it.is_dir())
}

#[test]
fn the_folder_holds_what_tests_read_from_it() {
    let Some(folder) = folder() else { return };
    assert!(folder.join("data").is_dir(), "{} holds no samples", folder.display());
}

/// What of the 47 catalog files must be refused, and a part of the reason. Backstage refuses each
/// of them too: by its schemas, for leaving the repository, or for a name that is taken.
const REFUSED: &[(&str, &str)] = &[
    ("backstage-demo__catalog-info.yaml", "is outside the repository"),
    ("backstage__ai-resources__frontend-design-skill.yaml", "spec.allowedTools"),
    ("backstage__apis__spotify-api.yaml", "is outside the repository"),
    ("backstage__components__invalid-component.yaml", "metadata.name"),
    ("create-app__org.yaml", "`user:default/guest` is described at"),
    ("one-platform__catalog__resources__CouchDB.yaml", "dependsOn"),
    ("rhdh-templates__skeletons__catalog-info__catalog-info.yaml", "unexpected character"),
    ("roadie-plugins__entities__templates__template-jsonata.yaml", "spec.steps[7].id"),
];

/// Targets of Locations that did not come with the samples: files, and one address that is
/// reached from within a company only.
fn is_absent(reason: &str) -> bool {
    let target = reason.starts_with("target: ") && reason.ends_with("does not exist");
    target || reason.starts_with("could not fetch")
}

#[tokio::test]
async fn the_47_catalog_files_are_imported_in_one_command() {
    let Some(folder) = folder() else { return };
    let samples = folder.join("data/catalog-samples").display().to_string();
    let installation = Installation::new();
    let server = installation.up().await;
    installation.create_tenant("samples");
    let import = || installation.run(&["import", &samples, "--tenant", "samples", "--json"]);
    let report = import().json();
    let rejected = report["rejected"].as_array().expect("a list of rejections");
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    let rejected = rejected.iter().map(|it| (text(&it["file"]), text(&it["reason"])));
    let (absent, refused): (Vec<_>, Vec<_>) = rejected.partition(|(_, reason)| is_absent(reason));
    let refused: BTreeMap<_, _> = refused.into_iter().collect();
    let expected: Vec<&str> = REFUSED.iter().map(|(file, _)| *file).collect();
    assert_eq!(refused.keys().map(String::as_str).collect::<Vec<_>>(), expected);
    for (file, part) in REFUSED {
        assert!(refused[*file].contains(part), "{file}: {}", refused[*file]);
    }
    assert_eq!(absent.len(), 49, "{absent:#?}");
    assert_eq!((&report["files"], &report["created"]), (&48.into(), &59.into()));
    // One file is none of the catalog's and does not claim to be.
    assert_eq!(report["skipped"][0]["file"], "one-platform__catalog__systems__mkdocs.yaml");
    assert_eq!(report["skipped"].as_array().map(Vec::len), Some(1));

    let again = import().json();
    assert_eq!((&again["created"], &again["unchanged"]), (&0.into(), &59.into()));
    let api = server.api(&installation.token("samples"));
    let count = api.graphql("{ entities { totalCount } }", Value::Null).await;
    assert_eq!(count["entities"]["totalCount"], 59);
    server.stop().await;
}
