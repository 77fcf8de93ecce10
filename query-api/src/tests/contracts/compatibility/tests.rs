//! Each kind of change, allowed or not.

use serde_json::{Value, json};

use super::breaks;

/// A schema as they are published.
fn published() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "callboard.sale.made.v1", "description": "Something was sold.", "type": "object",
        "properties": {
            "price": { "$ref": "#/$defs/Amount", "description": "For how much." },
            "to": { "type": ["string", "null"] },
            "note": { "type": "string" },
            "size": { "enum": ["small", "large"], "type": "string" },
            "way": { "type": "string", "x-extensible-enum": ["post", "hand"] },
            "parts": { "type": "array", "items": { "$ref": "#/$defs/Part" } },
            "labels": { "type": "object", "additionalProperties": { "type": "string" } },
            "verdict": { "type": "array", "prefixItems": [{ "type": "integer" }, { "type": "string" }] },
        },
        "required": ["price", "to", "size", "way", "parts"],
        "$defs": {
            "Amount": { "type": "string", "pattern": "^[0-9]+$" },
            "Part": { "oneOf": [
                { "type": "object", "properties": { "kind": { "const": "whole" } }, "required": ["kind"] },
                {
                    "type": "object", "required": ["kind", "of"],
                    "properties": {
                        "kind": { "const": "split" },
                        "of": { "type": "array", "items": { "$ref": "#/$defs/Part" } },
                    },
                },
            ] },
        },
    })
}

/// What is found if `change` is made to the schema.
#[track_caller]
fn check(change: impl FnOnce(&mut Value), expected: &[&str]) {
    let (before, mut now) = (published(), published());
    change(&mut now);
    assert_ne!(before, now, "something was changed");
    assert_eq!(breaks(&before, &now), expected);
}

/// Changes what is at a place.
fn put(place: &'static str, value: Value) -> impl FnOnce(&mut Value) {
    move |schema| *schema.pointer_mut(place).expect(place) = value
}

/// Adds something to an object.
fn add(place: &'static str, key: &'static str, value: Value) -> impl FnOnce(&mut Value) {
    move |schema| {
        let object = schema.pointer_mut(place).and_then(Value::as_object_mut).expect(place);
        object.insert(key.to_owned(), value);
    }
}

/// Takes something out of an object.
fn remove(place: &'static str, key: &'static str) -> impl FnOnce(&mut Value) {
    move |schema| {
        let object = schema.pointer_mut(place).and_then(Value::as_object_mut).expect(place);
        object.remove(key).expect(key);
    }
}

#[test]
fn a_schema_is_compatible_with_itself() {
    assert_eq!(breaks(&published(), &published()), [""; 0]);
}

#[test]
fn what_is_added_and_need_not_be_there_breaks_nothing() {
    check(add("/properties", "discount", json!({ "$ref": "#/$defs/Amount" })), &[]);
    check(add("/$defs/Part/oneOf/0/properties", "weight", json!({ "type": "integer" })), &[]);
    check(put("/properties/way/x-extensible-enum", json!(["hand", "post", "van"])), &[]);
}

#[test]
fn what_only_explains_may_change() {
    check(put("/description", json!("Otherwise.")), &[]);
    check(remove("/properties/price", "description"), &[]);
    check(add("/properties/note", "examples", json!(["so"])), &[]);
    check(put("/required", json!(["to", "price", "parts", "way", "size"])), &[]);
    check(put("/properties/to/type", json!(["null", "string"])), &[]);
    check(put("/properties/size/enum", json!(["large", "small"])), &[]);
    // What is spelled out, or said elsewhere, is the same.
    check(put("/properties/price", json!({ "type": "string", "pattern": "^[0-9]+$" })), &[]);
    check(|schema| schema["$defs"]["Part"]["oneOf"].as_array_mut().expect("two").reverse(), &[]);
}

#[test]
fn a_field_that_goes_breaks_readers() {
    check(remove("/properties", "note"), &["`note` is gone"]);
    check(
        |schema| {
            remove("/properties", "to")(schema);
            put("/required", json!(["price", "size", "way", "parts"]))(schema);
        },
        &["`to` is gone"],
    );
    check(remove("/$defs/Part/oneOf/1/properties", "of"), &["`parts[]|1.of` is gone"]);
}

#[test]
fn a_field_that_was_always_there_and_need_not_be_any_more_breaks_readers() {
    let required = json!(["to", "size", "way", "parts"]);
    check(put("/required", required), &["`price` need not be there any more"]);
    check(
        put("/$defs/Part/oneOf/1/required", json!(["kind"])),
        &["`parts[]|1.of` need not be there any more"],
    );
}

#[test]
fn a_field_that_must_be_there_from_now_on_is_not_in_what_is_recorded() {
    let required = json!(["price", "to", "size", "way", "parts", "note"]);
    let expected = "`note` must be there, and events without it exist";
    check(put("/required", required), &[expected]);
    check(
        |schema| {
            add("/properties", "vat", json!({ "type": "string" }))(schema);
            put("/required", json!(["price", "to", "size", "way", "parts", "vat"]))(schema);
        },
        &["`vat` is new and must be there, and events without it exist"],
    );
}

#[test]
fn a_field_of_another_type_or_form_breaks_readers() {
    let number = "`price` has another `type`: \"integer\" instead of \"string\"";
    check(put("/$defs/Amount/type", json!("integer")), &[number]);
    check(
        put("/properties/to/type", json!("string")),
        &["`to` has another `type`: \"string\" instead of [\"string\",\"null\"]"],
    );
    check(
        put("/properties/note/type", json!(["string", "null"])),
        &["`note` has another `type`: [\"string\",\"null\"] instead of \"string\""],
    );
    check(
        put("/$defs/Amount/pattern", json!("^[0-9.]+$")),
        &["`price` has another `pattern`: \"^[0-9.]+$\" instead of \"^[0-9]+$\""],
    );
    check(remove("/$defs/Amount", "pattern"), &["`price` has no `pattern` any more"]);
    let long = "`note` has `maxLength` that it did not have";
    check(add("/properties/note", "maxLength", json!(9)), &[long]);
    check(put("/properties/note", json!(true)), &["`note` is another thing"]);
    check(
        put("/properties/labels/additionalProperties/type", json!("integer")),
        &["`labels.*` has another `type`: \"integer\" instead of \"string\""],
    );
}

#[test]
fn a_pair_keeps_its_parts() {
    let three = json!([{ "type": "integer" }, { "type": "string" }, { "type": "string" }]);
    check(put("/properties/verdict/prefixItems", three), &["`verdict` has 3 parts instead of 2"]);
    check(
        put("/properties/verdict/prefixItems/1/type", json!("integer")),
        &["`verdict[1]` has another `type`: \"integer\" instead of \"string\""],
    );
}

#[test]
fn a_list_of_names_changes_only_if_it_says_so_and_loses_none() {
    check(
        put("/properties/size/enum", json!(["small", "large", "huge"])),
        &["`size` can be \"huge\", which nobody knows"],
    );
    check(
        put("/properties/size/enum", json!(["small"])),
        &["`size` cannot be \"large\" any more, and events with it exist"],
    );
    check(
        put("/properties/way/x-extensible-enum", json!(["hand"])),
        &["`way` cannot be \"post\" any more, and events with it exist"],
    );
    let open = json!({ "type": "string", "x-extensible-enum": ["small", "large"] });
    check(
        put("/properties/size", open),
        &["`size` has no `enum` any more", "`size` has `x-extensible-enum` that it did not have"],
    );
}

#[test]
fn alternatives_stay_what_they_are() {
    let added = json!({ "type": "object", "properties": { "kind": { "const": "none" } } });
    check(
        |schema| schema["$defs"]["Part"]["oneOf"].as_array_mut().expect("two").push(added),
        &["`parts[]` has 3 alternatives instead of 2"],
    );
    check(
        put("/$defs/Part/oneOf/0/properties/kind/const", json!("entire")),
        &["`parts[]|0.kind` has another `const`: \"entire\" instead of \"whole\""],
    );
}

#[test]
#[should_panic(expected = "`#/$defs/Nobody` leads nowhere")]
fn a_reference_that_leads_nowhere_is_no_schema() {
    let mut now = published();
    put("/properties/price/$ref", json!("#/$defs/Nobody"))(&mut now);
    breaks(&published(), &now);
}
