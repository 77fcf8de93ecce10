//! Real catalog files, where they are at hand: each is accepted, or refused for a reason that
//! Backstage gives too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Descriptor, KindSet};

#[expect(clippy::disallowed_methods, reason = "a test is told where its samples are")]
fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("CALLBOARD_SHARED").map_or(beside, PathBuf::from);
    Some(shared.join("data/catalog-samples")).filter(|it| it.is_dir())
}

/// The documents of every file, by file name. A file that is not YAML has none.
fn documents(folder: &Path) -> BTreeMap<String, Vec<Value>> {
    let paths = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let files = paths.filter(|it| it.extension().is_some_and(|it| it == "yaml"));
    files
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let documents = serde_saphyr::from_multiple(&text).unwrap_or_default();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, documents.into_iter().filter(|it: &Value| !it.is_null()).collect())
        })
        .collect()
}

#[test]
fn real_files_are_read_as_backstage_reads_them() {
    let Some(folder) = folder() else { return };
    let documents = documents(&folder);
    let mut refused = BTreeMap::new();
    let mut accepted = 0;
    for (file, documents) in &documents {
        for json in documents {
            match Descriptor::parse(json.clone(), KindSet::Extended) {
                Ok(_) => accepted += 1,
                Err(found) => {
                    let fields: Vec<_> = found.into_iter().map(|it| it.field).collect();
                    refused.insert(file.as_str(), fields.join(" "));
                }
            }
        }
    }
    let expected = BTreeMap::from([
        // The importer replaces `$text` by what it points to.
        ("backstage-demo__catalog-info.yaml", "spec.definition"),
        ("backstage__apis__spotify-api.yaml", "spec.definition"),
        // A list where the schema of skills has a text.
        ("backstage__ai-resources__frontend-design-skill.yaml", "spec.allowedTools"),
        // Meant to be refused.
        ("backstage__components__invalid-component.yaml", "metadata.name metadata.tags[1]"),
        // Written at the root instead of in `spec`.
        ("one-platform__catalog__resources__CouchDB.yaml", "dependsOn"),
        // Not a descriptor.
        (
            "one-platform__catalog__systems__mkdocs.yaml",
            "nav plugins site_name kind apiVersion metadata",
        ),
        // Left empty.
        ("roadie-plugins__entities__templates__template-jsonata.yaml", "spec.steps[7].id"),
    ]);
    let refused: BTreeMap<_, _> = refused.iter().map(|(file, it)| (*file, it.as_str())).collect();
    assert_eq!(refused, expected);
    assert!(accepted >= 55, "{accepted} of {} files", documents.len());
}
