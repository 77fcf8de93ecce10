use serde_json::json;

use super::*;

/// Checks the rows beside the three that every entity has, as `key=original`.
#[track_caller]
fn check(mut json: Value, relations: &[(&str, &str)], expected: &[&str]) {
    json["metadata"]["name"] = "web".into();
    let always = ["metadata.name", "metadata.namespace", "metadata.uid"];
    let rows = flatten(&json, relations);
    let line = |it: &SearchRow| match &it.original {
        Some(original) => format!("{}={original}", it.key),
        None => it.key.clone(),
    };
    let rows = rows.iter().filter(|it| !always.contains(&it.key.as_str()));
    assert_eq!(rows.map(line).collect::<Vec<_>>(), expected);
}

#[test]
fn every_leaf_is_a_row_with_its_dotted_path() {
    check(
        json!({ "kind": "API", "spec": { "a": { "b": 1, "c": 1.5, "d": true, "e": null } } }),
        &[],
        &["kind=API", "spec.a.b=1", "spec.a.c=1.5", "spec.a.d=true", "spec.a.e"],
    );
}

#[test]
fn keys_and_values_are_matched_in_lower_case() {
    let rows = flatten(&json!({ "spec": { "ownerOf": "Team-Ä" } }), &[]);
    let row = rows.iter().find(|it| it.key == "spec.ownerof").unwrap();
    assert_eq!(row.value.as_deref(), Some("team-ä"));
    assert_eq!(row.original.as_deref(), Some("Team-Ä"));
}

#[test]
fn a_list_of_texts_can_be_matched_for_one_and_for_several() {
    check(
        json!({ "metadata": { "tags": ["go", "java", "go"] } }),
        &[],
        &[
            "metadata.tags=go",
            "metadata.tags=java",
            "metadata.tags.go=true",
            "metadata.tags.java=true",
        ],
    );
}

#[test]
fn lists_of_objects_are_descended_into() {
    let links = json!([{ "url": "https://a" }, { "url": "https://b", "title": "B" }]);
    check(
        json!({ "metadata": { "links": links } }),
        &[],
        &["metadata.links.title=B", "metadata.links.url=https://a", "metadata.links.url=https://b"],
    );
}

#[test]
fn what_describes_the_answer_itself_is_not_a_row_but_relations_are() {
    let json = json!({
        "attachments": { "a": 1 }, "relations": [{ "type": "x" }], "status": { "items": ["a"] },
        "metadata": { "etag": "e" }, "spec": { "status": "kept" },
    });
    check(
        json,
        &[("ownedBy", "group:default/Shop")],
        &["relations.ownedby=group:default/Shop", "spec.status=kept"],
    );
}

#[test]
fn long_keys_are_dropped_and_long_values_only_exist() {
    let spec = json!({
        "k".repeat(195): "fits", "l".repeat(196): "dropped", "a": "v".repeat(200),
        "b": "w".repeat(201),
    });
    let key = format!("spec.{}=fits", "k".repeat(195));
    let value = format!("spec.a={}", "v".repeat(200));
    check(json!({ "spec": spec }), &[], &[&value, "spec.b", &key]);
}

/// What is kept and looked at of all paths, in bytes.
fn bytes_of_paths(json: &Value) -> (usize, usize) {
    let (keys, mut seen) = (Keys::of(json), 0);
    leaves(json, &mut |key, _| seen += key.len());
    (keys.written.len() + keys.lower.len(), seen)
}

#[test]
fn a_long_key_is_not_repeated_for_each_value_below_it() {
    let values = json!({ "one": vec![1; 9_000], "texts": vec!["text"; 500] });
    let json = json!({ "kind": "API", "spec": { "k".repeat(60_000): values, "x": 1 } });
    assert_eq!(bytes_of_paths(&json), (2 * "kindspec.x".len(), "kindspec.x".len()));
    assert_eq!(flatten(&json, &[]).len(), 4);
    assert_eq!(keys_that_differ_in_case(&json), Ok(vec![]));
    // In a list of texts, each is a key.
    let (kept, seen) = bytes_of_paths(&json!({ "tags": ["t".repeat(60_000)] }));
    assert_eq!((kept, seen), (2 * "tags".len(), "tags".len()));
}

#[test]
fn the_keys_of_a_descriptor_are_bounded_in_all() {
    let with = |values: usize| json!({ "k".repeat(PATH_BYTES_MAX): vec![1; values] });
    let most = KEYS_BYTES_MAX / PATH_BYTES_MAX;
    assert_eq!(keys_that_differ_in_case(&with(most)), Ok(vec![]));
    let refused = keys_that_differ_in_case(&with(9_000));
    assert_eq!(refused, Err(9_000 * PATH_BYTES_MAX));
    let (kept, _) = bytes_of_paths(&with(9_000));
    assert!(kept <= 2 * KEYS_BYTES_MAX, "{kept} bytes are kept");
}

#[test]
fn keys_of_the_greatest_length_are_found_whatever_they_are_written_in() {
    for character in ["k", "é", "€", "K", "İ", "𐐀"] {
        let units = character.to_lowercase().encode_utf16().count();
        let fits = character.repeat(KEY_LENGTH_MAX / units);
        let rows = flatten(&json!({ fits.clone(): 1 }), &[]);
        assert!(rows.iter().any(|it| it.key == fits.to_lowercase()), "{character}");
        let long = fits + character;
        let rows = flatten(&json!({ long.clone(): 1 }), &[]);
        assert!(rows.iter().all(|it| it.key != long.to_lowercase()), "{character}");
    }
}

#[test]
fn name_namespace_and_uid_can_always_be_asked_for() {
    let row = |key: &str, text: Option<&str>| SearchRow {
        key: key.to_owned(),
        value: text.map(str::to_lowercase),
        original: text.map(str::to_owned),
    };
    assert_eq!(
        flatten(&json!({ "metadata": { "name": "Web" } }), &[]),
        [
            row("metadata.name", Some("Web")),
            row("metadata.namespace", Some("default")),
            row("metadata.uid", None),
        ]
    );
    assert_eq!(
        flatten(&json!({ "metadata": { "name": "Web", "namespace": "a", "uid": "u" } }), &[]),
        [
            row("metadata.name", Some("Web")),
            row("metadata.namespace", Some("a")),
            row("metadata.uid", Some("u")),
        ]
    );
}
