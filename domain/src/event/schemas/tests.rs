use super::*;
use crate::event::types;

#[test]
fn every_type_has_a_schema_and_a_document() {
    let types: BTreeSet<_> = types().collect();
    assert_eq!(Schemas::new("/$defs").events.into_keys().collect::<BTreeSet<_>>(), types);
    assert_eq!(schema_documents().into_keys().collect::<BTreeSet<_>>(), types);
}

/// Two types of one name would be told apart by a number, which depends on who comes first.
#[test]
fn what_several_events_share_has_a_name_of_its_own() {
    let shared = Schemas::new("/$defs").shared;
    assert!(shared.len() > 30, "{}", shared.len());
    let numbered = shared.keys().find(|it| it.ends_with(|it: char| it.is_ascii_digit()));
    assert_eq!(numbered, None, "give one of them another name with `#[schemars(rename = …)]`");
}

#[test]
fn a_document_has_what_it_refers_to_and_nothing_else() {
    let documents = schema_documents();
    let retired = documents["plan.retired.v1"].as_object().unwrap();
    assert_eq!(retired.get("$defs"), None);
    assert_eq!(retired["type"], "object");
    let removed = &documents["tenant.provider-removed.v1"];
    let names: Vec<_> = removed["$defs"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["ProviderId"]);
    // By way of another, and of itself.
    let defined = &documents["role.defined.v1"]["$defs"];
    assert!(defined["Permit"].is_object() && defined["Predicate"].is_object());
}

#[test]
fn nothing_is_closed_to_fields_that_come_later() {
    let schemas = Schemas::new("/$defs");
    let text = format!("{}{:?}", Value::Object(schemas.shared), schemas.events);
    assert!(!text.contains(r#""additionalProperties":false"#));
    assert!(!text.contains("[`"), "a link of ours leads nowhere for others");
}

#[test]
fn a_list_that_grows_is_open_and_another_one_is_not() {
    let shared = Schemas::new("/$defs").shared;
    let kinds = &shared["LocationKind"];
    assert_eq!(kinds["x-extensible-enum"], json!(["url", "file"]));
    assert_eq!((&kinds["type"], kinds.get("enum")), (&json!("string"), None));
    let text = "How a location's target is read.\n\n- `url`: An address on the network.\n\
                - `file`: A path in what was imported.";
    assert_eq!(kinds["description"], text);
    assert_eq!(shared["Enforcement"]["enum"], json!(["hard", "soft"]));
}

#[test]
fn comments_lose_the_breaks_of_their_lines() {
    for (comment, expected) in [
        ("One\nline, [`linked`].", "One line, `linked`."),
        ("A paragraph.\n\nAnother\none.", "A paragraph.\n\nAnother one."),
        ("A list:\n\n- one\n- two\nthat goes on", "A list:\n\n- one\n- two that goes on"),
    ] {
        assert_eq!(plain(comment), expected);
        assert_eq!(plain(expected), expected, "once is enough");
    }
}

#[test]
fn an_older_version_keeps_what_it_refers_to_apart() {
    let mut schemas = Schemas::new("/components/schemas");
    let slug = schemas.shared["Slug"].clone();
    let document = json!({
        "$schema": "…", "$id": "…", "properties": { "slug": { "$ref": "#/$defs/Slug" } },
        "$defs": { "Slug": { "type": "integer" } },
    });
    schemas.add_older("tenant.labelled.v0", &document.to_string(), "/components/schemas");
    let reference = "#/components/schemas/tenant.labelled.v0.Slug";
    let older = json!({ "properties": { "slug": { "$ref": reference } } });
    assert_eq!(schemas.events["tenant.labelled.v0"], older);
    assert_eq!(schemas.shared["tenant.labelled.v0.Slug"], json!({ "type": "integer" }));
    assert_eq!(schemas.shared["Slug"], slug);
}
