use serde_json::json;

use super::*;

fn contents(text: &str) -> Vec<(usize, Value)> {
    parse(text).into_iter().map(|it| (it.line, it.content.unwrap())).collect()
}

#[test]
fn every_document_has_the_line_its_content_begins_at() {
    let text =
        "# a comment\n---\na: 1\n---\n\n# another\nb: |\n  --- not a marker\n--- {c: 3}\n...\n";
    let expected =
        vec![(3, json!({"a": 1})), (7, json!({"b": "--- not a marker\n"})), (9, json!({"c": 3}))];
    assert_eq!(contents(text), expected);
}

#[test]
fn one_bad_document_spoils_no_other_and_is_named_by_its_line_in_the_file() {
    let documents = parse("a: 1\n---\nb: 1\nb: 2\n---\nc: 3\n");
    assert_eq!(documents.len(), 3);
    let malformed = documents[1].content.as_ref().unwrap_err();
    assert_eq!(malformed.line, 4);
    assert!(malformed.reason.contains("duplicate"), "{}", malformed.reason);
    assert!(documents[0].content.is_ok() && documents[2].content.is_ok());
}

#[test]
fn a_file_may_say_which_version_of_yaml_it_is() {
    assert_eq!(contents("%YAML 1.2\n---\na: 1\n"), [(3, json!({"a": 1}))]);
    let twice = "\u{feff}# head\n%YAML 1.2\n--- {a: 1}\n...\n%YAML 1.1\n---\nb: 2\n";
    assert_eq!(contents(twice), [(3, json!({"a": 1})), (7, json!({"b": 2}))]);
    // Anything else before a document is looked at, and so is a version of nothing.
    assert!(parse("%YAML 1.2\na: 1\n---\nb: 2\n")[0].content.is_err());
    assert!(parse("%NO\n---\nb: 2\n")[0].content.is_err());
}

#[test]
fn texts_that_yaml_1_1_took_for_something_else_stay_texts() {
    let text = "a: no\nb: on\nc: 1_000\nd: 2020-01-01\ne: '<<'\n<<: {x: 1}\n";
    let expected = json!(
        {"a": "no", "b": "on", "c": "1_000", "d": "2020-01-01", "e": "<<", "<<": {"x": 1}}
    );
    assert_eq!(contents(text), vec![(1, expected)]);
}

#[test]
fn aliases_that_grow_without_bound_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let before = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", [before.as_str(); 9].join(", "));
    }
    assert!(parse(&text)[0].content.is_err());
    assert!(parse(&"[".repeat(20_000))[0].content.is_err());
}
