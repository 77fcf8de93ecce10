use serde_json::json;

use super::*;

fn one_of(key: &str, values: &[&str]) -> Filter {
    Filter::In { key: key.to_owned(), values: values.iter().map(|it| (*it).to_owned()).collect() }
}

#[test]
fn sets_are_read_as_backstage_reads_them() {
    let all = |parts: Vec<Filter>| Filter::Any(vec![Filter::All(parts)]);
    let exists = |key: &str| Filter::Exists(key.to_owned());
    for (set, expected) in [
        ("kind=component", all(vec![one_of("kind", &["component"])])),
        (" kind = api , spec.type ", all(vec![one_of("kind", &["api"]), exists("spec.type")])),
        ("a=1,a=2", all(vec![one_of("a", &["1", "2"])])),
        ("a=1,b=2,a=3", all(vec![one_of("a", &["1", "3"]), one_of("b", &["2"])])),
        ("a,a=1", all(vec![one_of("a", &["1"])])),
        ("a=1,a", all(vec![one_of("a", &["1"])])),
        ("kind=", all(vec![one_of("kind", &[""])])),
        ("a=b=c", all(vec![one_of("a", &["b=c"])])),
    ] {
        assert_eq!(Filter::parse_sets(&[set]), Ok(expected), "{set}");
    }
    assert_eq!(Filter::parse_sets::<&str>(&[]), Ok(Filter::everything()));
}

#[test]
fn sets_that_name_no_key_are_refused() {
    for set in ["", " ", ",", "=x", "a=1,=x"] {
        let error = Filter::parse_sets(&[set]).unwrap_err();
        assert_eq!(error, FilterError::Malformed(set.to_owned()));
    }
}

#[test]
fn predicates_that_are_none_say_where() {
    for (predicate, path) in [
        (json!([]), "query"),
        (json!("kind"), "query"),
        (json!({ "$some": [] }), "query.$some"),
        (json!({ "$all": {} }), "query.$all"),
        (json!({ "$any": [{ "a": null }] }), "query.$any[0].a"),
        (json!({ "a": { "$in": 1 } }), "query.a.$in"),
        (json!({ "a": { "$exists": "yes" } }), "query.a.$exists"),
        (json!({ "a": { "$hasPrefix": 1 } }), "query.a.$hasPrefix"),
        (json!({ "a": { "$like": "x" } }), "query.a.$like"),
        (json!({ "a": { "$in": [], "$exists": true } }), "query.a"),
        (json!({ "a": { "$contains": {} } }), "query.a.$contains"),
        (json!({ "relations": { "$contains": {} } }), "query.relations.$contains"),
        (
            json!({ "relations": { "$contains": { "type": "x", "targetRef": 1 } } }),
            "query.relations.$contains.targetRef",
        ),
    ] {
        match Filter::parse_predicate(&predicate) {
            Err(FilterError::Predicate { path: said, .. }) => assert_eq!(said, path),
            other => panic!("{predicate}: {other:?}"),
        }
    }
}

#[test]
fn filters_have_a_size_and_a_depth() {
    let too_many = |argument, count| Err(FilterError::TooMany { argument, count });
    let values = |count: usize| (0..count).map(|it| format!("a={it}")).collect::<Vec<_>>();
    assert!(Filter::parse_sets(&[values(CONDITIONS_MAX - 2).join(",")]).is_ok());
    let refused = Filter::parse_sets(&[values(CONDITIONS_MAX - 1).join(",")]);
    assert_eq!(refused, too_many("filter", CONDITIONS_MAX + 1));
    let refused = Filter::parse_sets(&values(CONDITIONS_MAX));
    assert_eq!(refused, too_many("filter", 1 + 2 * CONDITIONS_MAX));
    let refused = Filter::parse_predicate(&json!({ "a": { "$in": values(CONDITIONS_MAX + 1) } }));
    assert_eq!(refused, too_many("predicate", CONDITIONS_MAX + 1));
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("200 conditions in `predicate`") && said.contains("got 201"), "{said}");
    let deep = (0..20).fold(json!({ "a": 1 }), |it, _| json!({ "$not": it }));
    assert!(Filter::parse_predicate(&deep).is_err());
}

#[test]
fn what_is_too_much_is_refused_before_it_is_read() {
    // Each condition is compared with those before it; the last one could not be read at all.
    let keys: Vec<_> = (0..CONDITIONS_MAX).map(|it| format!("key{it}")).collect();
    let refused = Filter::parse_sets(&[format!("{},=x", keys.join(","))]);
    let count = CONDITIONS_MAX + 3;
    assert_eq!(refused, Err(FilterError::TooMany { argument: "filter", count }));
}
