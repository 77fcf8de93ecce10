//! Parameters, right and wrong.

use serde_json::json;

use super::*;

#[track_caller]
fn refuses(request: Value, message: &str) {
    assert_eq!(Parameters::from_json(request), Err(Malformed(message.to_owned())));
}

#[test]
fn null_is_the_same_as_nothing() {
    let least = Parameters { query: "{a}".to_owned(), ..Parameters::default() };
    let null =
        json!({ "query": "{a}", "operationName": null, "variables": null, "extensions": null });
    assert_eq!(Parameters::from_json(null).as_ref(), Ok(&least));
    assert_eq!(Parameters::from_json(json!({ "query": "{a}", "other": 1 })).as_ref(), Ok(&least));
}

#[test]
fn a_wrong_type_is_named() {
    refuses(json!("{a}"), "expected an object, got a string");
    refuses(json!({}), "the parameter `query` is missing");
    refuses(json!({ "query": null }), "the parameter `query` must be a string, got null");
    let number = json!({ "query": "{a}", "operationName": 1 });
    refuses(number, "the parameter `operationName` must be a string or null, got a number");
    let array = json!({ "query": "{a}", "variables": [] });
    refuses(array, "the parameter `variables` must be an object or null, got an array");
    let boolean = json!({ "query": "{a}", "extensions": true });
    refuses(boolean, "the parameter `extensions` must be an object or null, got a boolean");
}

#[test]
fn a_url_is_decoded_like_a_form() {
    let parameters =
        Parameters::from_query("query=%7Ba%7D+%23%C3%A4&variables=%7B%22x%22:1%7D").unwrap();
    assert_eq!(parameters.query, "{a} #ä");
    assert_eq!(Value::Object(parameters.variables), json!({ "x": 1 }));
}
