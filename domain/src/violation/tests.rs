use super::*;

/// The one place that knows how a text is checked.
#[track_caller]
fn check(text: &str, length_max: usize, message: Option<&str>) {
    let mut violations = Violations::default();
    violations.text("name", text, length_max);
    let found: Vec<_> = violations.into_vec().into_iter().map(|it| it.message).collect();
    assert_eq!(found, message.into_iter().collect::<Vec<_>>());
}

#[test]
fn a_text_is_one_trimmed_line_of_bounded_length() {
    check("Ünïcödé", 7, None);
    check("Ünïcödé", 6, Some("expected 1 to 6 characters, got 7"));
    check("", 6, Some("expected 1 to 6 characters, got 0"));
    check("a\tb", 6, Some("expected a text without control characters"));
    check(" a", 6, Some("expected a text without spaces around it"));
}

#[test]
fn a_violation_says_where_it_is_seen_from_outside() {
    let mut inner = Violations::default();
    inner.at_most("items", 3, 2);
    let mut outer = Violations::default();
    outer.part("terms", inner.into_vec());
    outer.at_least_one("changes", 0);
    outer.not_negative("limit", &-1);
    assert_eq!(
        summary(&outer.into_vec()),
        "terms.items: expected at most 2, got 3; changes: expected at least one, got none; \
         limit: expected 0 or more, got -1"
    );
}
