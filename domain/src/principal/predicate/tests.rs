use super::*;
use crate::catalog::{Descriptor, KindSet};
use crate::violation::Violation;

fn kind(text: &str) -> Predicate {
    Predicate::Kind(text.to_owned())
}

fn owned_by(text: &str) -> Predicate {
    Predicate::OwnedBy(text.to_owned())
}

fn label(key: &str, value: Option<&str>) -> Predicate {
    Predicate::Label { key: key.to_owned(), value: value.map(str::to_owned) }
}

fn any<const N: usize>(parts: [Predicate; N]) -> Predicate {
    Predicate::Any(parts.into())
}

fn all<const N: usize>(parts: [Predicate; N]) -> Predicate {
    Predicate::All(parts.into())
}

#[track_caller]
fn is_within(one: &Predicate, other: &Predicate) {
    assert!(one.is_within(other), "{one:?} is not within {other:?}");
}

#[track_caller]
fn is_beyond(one: &Predicate, other: &Predicate) {
    assert!(!one.is_within(other), "{one:?} is within {other:?}");
}

#[test]
fn a_narrower_condition_is_within_a_wider_one_and_never_the_reverse() {
    let (team, other) = (owned_by("group:default/a"), owned_by("group:default/b"));
    for (narrow, wide) in [
        (all([team.clone(), kind("api")]), team.clone()),
        (team.clone(), any([other.clone(), team.clone()])),
        (all([team.clone(), kind("api")]), any([other.clone(), team.clone()])),
        (label("tier", Some("gold")), label("tier", None)),
        (any([]), team.clone()),
        (team.clone(), all([])),
    ] {
        is_within(&narrow, &narrow);
        is_within(&wide, &wide);
        is_within(&narrow, &wide);
        is_beyond(&wide, &narrow);
    }
    let both = any([team.clone(), other.clone()]);
    is_within(&any([other.clone(), team.clone()]), &both);
    is_within(&all([kind("api"), team.clone()]), &all([team.clone(), kind("api")]));
    is_beyond(&team, &other);
    is_beyond(&label("tier", Some("gold")), &label("tier", Some("silver")));
    is_beyond(&label("tier", Some("gold")), &label("zone", None));
    is_beyond(&Predicate::Tag("tier".to_owned()), &label("tier", None));
}

#[test]
fn texts_are_stored_as_they_are_compared() {
    let written = any([kind("API"), owned_by("Group:Default/A"), label("Tier", Some("Gold"))]);
    let compared = any([kind("api"), owned_by("group:default/a"), label("tier", Some("gold"))]);
    assert_eq!(written.normalized(), compared);
}

#[track_caller]
fn check(predicate: &Predicate, violations: &[&str]) {
    let mut noted = Violations::default();
    predicate.note_violations("when", &mut noted);
    let found: Vec<String> = noted.into_vec().iter().map(Violation::to_string).collect();
    assert_eq!(found, violations);
}

#[test]
fn a_condition_has_a_form_and_names_no_person() {
    check(&all([kind("api"), any([owned_by("group:default/a"), label("tier", None)])]), &[]);
    check(&any([]), &["when: expected at least one, got none"]);
    check(&kind(""), &["when: expected 1 to 255 characters, got 0"]);
    check(&owned_by("payments"), &["when: expected an owner like `group:default/payments`"]);
    check(
        &any([owned_by("User:default/jane")]),
        &["when[0]: expected a group, got a user: a role is not about a person"],
    );
    check(
        &label("by", Some("user:jane")),
        &["when: expected no reference to a user: a role is not about a person"],
    );
    let deep = any([any([any([kind("api")])])]);
    check(&deep, &["when[0][0][0]: expected conditions at most 3 deep"]);
    let kinds = |count: u8| (0..count).map(|it| kind(&it.to_string())).collect();
    check(&any([Predicate::All(kinds(16)), Predicate::All(kinds(16))]), &[]);
    let wide = any([Predicate::All(kinds(16)), Predicate::All(kinds(17))]);
    check(&wide, &["when: expected at most 32 conditions in all, got 33"]);
}

#[test]
fn what_is_there_twice_is_kept_once() {
    let twice = any([kind("API"), all([kind("a"), kind("A")]), kind("api")]);
    assert_eq!(twice.normalized(), any([kind("api"), all([kind("a")])]));
}

#[test]
fn a_condition_holds_for_what_is_about_to_be_written() {
    let descriptor = serde_json::json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": {
            "name": "web",
            "labels": { "Tier": "One", "empty": "" },
            "annotations": { "example.com/page": "Yes" },
            "tags": ["public"],
        },
        "spec": { "type": "service", "lifecycle": "production", "owner": "Payments" },
    });
    let descriptor = Descriptor::parse(descriptor, KindSet::Core).unwrap();
    let annotation = |key: &str, value: Option<&str>| Predicate::Annotation {
        key: key.to_owned(),
        value: value.map(str::to_owned),
    };
    let (owner, tag) = (owned_by("group:default/payments"), Predicate::Tag("public".to_owned()));
    let other = owned_by("group:default/other");
    for (condition, holds) in [
        (kind("Component"), true),
        (kind("API"), false),
        (owner.clone(), true),
        (other.clone(), false),
        (label("tier", None), true),
        (label("TIER", Some("one")), true),
        (label("tier", Some("two")), false),
        (label("page", None), false),
        (annotation("example.com/page", Some("yes")), true),
        (annotation("example.com/page", None), true),
        (annotation("tier", None), false),
        (tag.clone(), true),
        (Predicate::Tag("private".to_owned()), false),
        (all([owner.clone(), tag.clone()]), true),
        (all([other.clone(), tag.clone()]), false),
        (any([other.clone(), tag]), true),
        (any([other, kind("api")]), false),
    ] {
        let normalized = condition.clone().normalized();
        assert_eq!(normalized.holds_for(&descriptor), holds, "{condition:?}");
    }
}
