//! Accept headers and what becomes of them.

use super::*;

#[track_caller]
fn check(accept: &[&str], expected: Option<Media>) {
    let headers =
        accept.iter().map(|it| (header::ACCEPT, HeaderValue::from_str(it).unwrap())).collect();
    assert_eq!(Media::negotiate(&headers).ok(), expected, "{accept:?}");
}

#[test]
fn who_does_not_mind_gets_json() {
    check(&[], Some(Media::Json));
    check(&[""], Some(Media::Json));
    check(&["*/*"], Some(Media::Json));
    check(&["application/*"], Some(Media::Json));
    check(&["text/html,application/xhtml+xml,*/*;q=0.8"], Some(Media::Json));
}

#[test]
fn quality_comes_first_then_precision_then_order() {
    check(
        &["application/graphql-response+json, application/json;q=0.9"],
        Some(Media::GraphqlResponse),
    );
    check(&["application/json, application/graphql-response+json"], Some(Media::Json));
    check(
        &["application/graphql-response+json, application/json, text/event-stream"],
        Some(Media::GraphqlResponse),
    );
    check(&["application/json;q=0.1, text/event-stream;q=0.2"], Some(Media::EventStream));
    check(&["*/*, text/event-stream"], Some(Media::EventStream));
    check(
        &["application/json;q=0.5", "application/graphql-response+json"],
        Some(Media::GraphqlResponse),
    );
    check(&["text/*"], Some(Media::EventStream));
}

#[test]
fn what_is_excluded_is_not_served() {
    check(&["application/json;q=0"], None);
    check(&["*/*, application/json;q=0"], Some(Media::GraphqlResponse));
    check(&["image/png"], None);
    check(&["application/json; charset=utf-16"], None);
    check(&["application/json; charset=\"UTF-8\"; q=0.3"], Some(Media::Json));
}

#[test]
fn a_quality_has_three_decimals_at_most() {
    for (text, expected) in [
        ("1", Some(1000)),
        ("0.5", Some(500)),
        ("0.001", Some(1)),
        ("1.000", Some(1000)),
        ("0", Some(0)),
    ] {
        assert_eq!(thousandths(text), expected, "{text}");
    }
    for wrong in ["2", "1.1", "0.0001", "-1", "", "x", "0.x"] {
        assert_eq!(thousandths(wrong), None, "{wrong}");
    }
}
