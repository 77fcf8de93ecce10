//! Importing catalog files: our own samples, good and bad, once and again.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Api, Installation, Ran};

/// Copies the samples beside a secret and adds a link to it, which git should not hold.
fn samples_in(home: &Path) -> PathBuf {
    let folder = home.join("wheelhouse");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("samples"), &folder);
    fs::write(home.join("secret.txt"), "the combination is 1-2-3").expect("the secret is kept");
    fs::write(home.join("secret.yaml"), "kind: Secret").expect("the secret is kept");
    let link = folder.join("invalid/link-to-secret.txt");
    std::os::unix::fs::symlink("../../secret.txt", link).expect("a link can be made");
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("the samples are there") {
        let entry = entry.expect("the samples can be listed");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("a sample can be copied");
        }
    }
}

/// Files, created, updated, unchanged, rejected.
type Counts = [u64; 5];

pub(crate) fn counts(ran: &Ran) -> Counts {
    let report = ran.json();
    let count = |name: &str| report[name].as_u64().unwrap_or(u64::MAX);
    let rejected = report["rejected"].as_array().map_or(0, Vec::len) as u64;
    [count("files"), count("created"), count("updated"), count("unchanged"), rejected]
}

/// Each rejection as `file:line` and a part of the reason.
#[track_caller]
pub(crate) fn check_rejections(ran: &Ran, expected: &[(&str, &str)]) {
    let report = ran.json();
    let rejected: Vec<(String, String)> = report["rejected"]
        .as_array()
        .expect("a list of rejections")
        .iter()
        .map(|it| {
            let place = format!("{}:{}", it["file"].as_str().unwrap_or_default(), it["line"]);
            (place, it["reason"].as_str().unwrap_or_default().to_owned())
        })
        .collect();
    let fits = |(place, reason): &(String, String), (expected, part): &(&str, &str)| {
        place == expected && reason.contains(part)
    };
    let all =
        rejected.len() == expected.len() && rejected.iter().zip(expected).all(|(a, b)| fits(a, b));
    assert!(all, "expected {expected:#?}\ngot {rejected:#?}");
}

/// What does not even claim to be an entity, and so is passed over in a folder.
const SKIPPED: &[&str] =
    &["docs/mkdocs.yml", "services/payments/spec.yaml", "services/rental/apis/rental.openapi.yaml"];

/// What must be refused, and why.
const REJECTIONS: &[(&str, &str)] = &[
    ("invalid/broken.yaml:4", "unclosed bracket"),
    ("invalid/leaving.yaml:2", "`../../secret.txt` is outside the repository"),
    ("invalid/leaving.yaml:13", "`./link-to-secret.txt` is outside the repository"),
    ("invalid/leaving.yaml:24", "`https://wheelhouse.example/openapi.yaml` is outside"),
    ("invalid/leaving.yaml:35", "target: `../../secret.yaml` is outside the repository"),
    ("invalid/leaving.yaml:35", "target: `./nowhere.yaml` does not exist"),
    ("invalid/names.yaml:1", "metadata.name"),
    ("invalid/names.yaml:11", "spec.owner"),
    ("invalid/names.yaml:19", "Gearbox"),
    ("invalid/twice.yaml:1", "is described at extras.yaml:1 already"),
    ("skeletons/service/catalog-info.yaml:1", "unexpected character"),
];

#[tokio::test]
async fn a_repository_is_imported_by_its_entry_and_again_without_change() {
    let installation = Installation::new();
    let server = installation.up().await;
    installation.create_tenant("wheelhouse");
    let samples = samples_in(installation.home());
    let entry = samples.join("catalog-info.yaml").display().to_string();
    let import = ["import", &entry, "--tenant", "wheelhouse", "--json"];
    let first = installation.run(&import);
    check_rejections(&first, &[]);
    assert_eq!((first.code, counts(&first)), (0, [5, 17, 0, 0, 0]));
    let again = installation.run(&import);
    assert_eq!((again.code, counts(&again)), (0, [5, 0, 0, 17, 0]));

    let org = samples.join("org.yaml");
    let text = fs::read_to_string(&org).expect("the sample is there");
    fs::write(&org, text.replace("displayName: Tove Spoke", "displayName: Tove Rim"))
        .expect("the sample can be changed");
    let changed = installation.run(&import);
    assert_eq!((changed.code, counts(&changed)), (0, [5, 0, 1, 16, 0]));

    let api = server.api(&installation.token("wheelhouse"));
    everything_said_is_found(&api).await;
    server.stop().await;
}

/// Placeholders, texts that look like numbers, relations both ways, personal texts.
async fn everything_said_is_found(api: &Api) {
    let query = "query($reference: String!) { entity(reference: $reference) {
        document relations { nodes { type targetReference } } owners { targetReference } location { target }
    } }";
    let entity = async |reference: &str| {
        let data = api.graphql(query, json!({"reference": reference})).await;
        data["entity"].clone()
    };
    let gate = entity("component:default/payments-gate").await;
    let document = &gate["document"];
    assert_eq!(document["metadata"]["annotations"]["wheelhouse.example/cost-centre"], "17");
    assert_eq!(document["spec"]["owner"], "group:default/payments-crew");
    // The folder is in no repository, so something tells it from others of its name.
    let target = gate["location"]["target"].as_str().unwrap_or_default();
    assert!(target.starts_with("payments-") && target.ends_with("/catalog-info.yaml"), "{target}");
    let relations: Vec<(&str, &str)> = gate["relations"]["nodes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| Some((it["type"].as_str()?, it["targetReference"].as_str()?)))
        .collect();
    let expected = [
        ("consumesApi", "api:default/rental-api"),
        ("consumesApi", "api:default/rental-graph"),
        ("dependencyOf", "component:default/rental-desk"),
        ("ownedBy", "group:default/payments-crew"),
        ("partOf", "component:default/rental-desk"),
    ];
    assert_eq!(relations, expected);

    let desk = entity("component:default/rental-desk").await;
    assert_eq!(desk["document"]["metadata"]["annotations"]["wheelhouse.example/pager"], "0044");
    assert_eq!(desk["owners"], json!([{"targetReference": "group:default/rental-crew"}]));
    let rental = entity("api:default/rental-api").await;
    let definition = rental["document"]["spec"]["definition"].as_str().unwrap_or_default();
    assert!(definition.contains("Every bicycle that can be rented"), "{definition}");
    let graph = entity("api:default/rental-graph").await;
    assert_eq!(graph["document"]["spec"]["definition"], "type Query { bicycles: [String!]! }\n");
    let tove = entity("user:default/tove.spoke").await;
    assert_eq!(tove["document"]["spec"]["profile"]["displayName"], "Tove Rim");
    let parts = entity("resource:workshop-2/spare_parts.v2-2024").await;
    assert_eq!(parts["document"]["metadata"]["name"], "Spare_Parts.v2-2024");
}

#[tokio::test]
async fn a_folder_is_imported_and_what_is_wrong_in_it_is_named() {
    let installation = Installation::new();
    let server = installation.up().await;
    installation.create_tenant("wheelhouse");
    let samples = samples_in(installation.home()).display().to_string();
    let import = |more: &[&str]| {
        let fixed = ["import", &samples, "--tenant", "wheelhouse", "--json"];
        installation.run(&[&fixed, more].concat())
    };
    let rejected = REJECTIONS.len() as u64;

    let tried = import(&["--dry-run"]);
    check_rejections(&tried, REJECTIONS);
    let skipped = tried.json()["skipped"].clone();
    let skipped: Vec<_> = skipped.as_array().into_iter().flatten().map(|it| &it["file"]).collect();
    assert_eq!(skipped, SKIPPED);
    assert_eq!((tried.code, counts(&tried)), (3, [14, 20, 0, 0, rejected]));
    let first = import(&[]);
    check_rejections(&first, REJECTIONS);
    assert_eq!((first.code, counts(&first)), (3, [14, 20, 0, 0, rejected]));
    let again = import(&[]);
    check_rejections(&again, REJECTIONS);
    assert_eq!((again.code, counts(&again)), (3, [14, 0, 0, 20, rejected]));

    let named = format!("{samples}/docs/mkdocs.yml");
    let named = installation.run(&["import", &named, "--tenant", "wheelhouse", "--json"]);
    check_rejections(&named, &[("mkdocs.yml:1", "apiVersion: expected a text")]);
    let api = server.api(&installation.token("wheelhouse"));
    nothing_leaked(&api).await;
    server.stop().await;
}

/// Nothing of the files beside the repository is anywhere in the catalog.
async fn nothing_leaked(api: &Api) {
    let query = "{ entities(first: 100) { totalCount nodes { document }
        facets(keys: [\"kind\"]) { values { value count } } } }";
    let data = api.graphql(query, Value::Null).await;
    assert_eq!(data["entities"]["totalCount"], 20);
    let text = data.to_string();
    assert!(!text.contains("1-2-3"), "a secret is in the catalog: {text}");
    let values = data["entities"]["facets"][0]["values"].as_array();
    let kinds: Vec<String> = values
        .into_iter()
        .flatten()
        .map(|it| format!("{} {}", it["value"].as_str().unwrap_or_default(), it["count"]))
        .collect();
    let expected = [
        "Location 4",
        "API 3",
        "Group 3",
        "Component 2",
        "System 2",
        "User 2",
        "AiResource 1",
        "Domain 1",
        "Resource 1",
        "Template 1",
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn an_import_that_cannot_begin_says_so_with_its_exit_code() {
    let installation = Installation::new();
    let unopened = installation.run(&["import", ".", "--tenant", "wheelhouse"]);
    assert_eq!(unopened.code, 1, "{}", unopened.stderr);
    assert!(unopened.stderr.contains("is not a data folder"), "{}", unopened.stderr);

    let server = installation.up().await;
    let unknown = installation.run(&["import", ".", "--tenant", "wheelhouse"]);
    assert_eq!(unknown.code, 2, "{}", unknown.stderr);
    assert!(unknown.stderr.contains("there is no tenant `wheelhouse`"), "{}", unknown.stderr);
    server.stop().await;

    let unreachable = installation.run(&["import", ".", "--tenant", "wheelhouse"]);
    assert_eq!(unreachable.code, 4, "{}", unreachable.stderr);
    assert!(unreachable.stderr.contains("no server answers"), "{}", unreachable.stderr);
}
