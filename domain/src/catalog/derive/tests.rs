use super::*;

const UID: EntityUid = EntityUid(uuid::Uuid::from_u128(7));

/// Checks what the `metadata` of an entity becomes, apart from what is always added.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "rows of a table read best as values")]
fn check(metadata: Value, origin: Origin<'_>, expected: Value) {
    let shown = complete(json!({ "metadata": metadata }), UID, origin, &[]);
    let mut metadata = shown["metadata"].clone();
    let uid = metadata.as_object_mut().unwrap().remove("uid");
    assert_eq!(uid, Some(json!("00000000-0000-0000-0000-000000000007")));
    assert_eq!(metadata, expected);
}

#[test]
fn a_namespace_is_added_where_none_was_written() {
    check(json!({}), Origin::ByHand, json!({ "namespace": "default" }));
    check(json!({ "namespace": "a" }), Origin::ByHand, json!({ "namespace": "a" }));
}

#[test]
fn annotations_say_where_an_entity_comes_from() {
    let origin = Origin::Location { managed_by: "url:https://b", registered: "url:https://a" };
    let written = json!({ "x": "1", "backstage.io/managed-by-location": "elsewhere" });
    check(
        json!({ "namespace": "a", "annotations": written }),
        origin,
        json!({ "namespace": "a", "annotations": {
            "x": "1",
            "backstage.io/managed-by-location": "url:https://b",
            "backstage.io/managed-by-origin-location": "url:https://a",
        } }),
    );
    check(
        json!({ "namespace": "a" }),
        Origin::Orphan,
        json!({ "namespace": "a", "annotations": { "backstage.io/orphan": "true" } }),
    );
}

#[test]
fn addresses_that_run_scripts_are_replaced() {
    for script in ["javascript:x", " \u{1}JavaScript:x", "java\tscr\nipt:x", "JAVASCRIPT\r:"] {
        let annotations =
            json!({ "backstage.io/view-url": script, "backstage.io/edit-url": script });
        let blank = "about:blank";
        check(
            json!({ "namespace": "a", "annotations": annotations }),
            Origin::ByHand,
            json!({ "namespace": "a", "annotations": {
                "backstage.io/view-url": blank, "backstage.io/edit-url": blank,
            } }),
        );
    }
    let harmless = json!({ "namespace": "a", "annotations": {
        "backstage.io/view-url": "https://example.com/javascript:x", "other": "javascript:x",
    } });
    check(harmless.clone(), Origin::ByHand, harmless);
}

#[test]
fn relations_are_listed_by_type_and_target() {
    let relations = [("partOf", "system:a/b"), ("ownedBy", "group:a/z"), ("ownedBy", "group:a/b")];
    let shown = complete(json!({}), UID, Origin::ByHand, &relations);
    let expected = json!([
        { "type": "ownedBy", "targetRef": "group:a/b" },
        { "type": "ownedBy", "targetRef": "group:a/z" },
        { "type": "partOf", "targetRef": "system:a/b" },
    ]);
    assert_eq!(shown["relations"], expected);
}
