use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(text: &str, default_kind: Option<&str>, expected: Option<&str>) {
    let found = EntityRef::parse(text, default_kind, "shop").ok().map(|it| it.canonical());
    assert_eq!(found.as_deref(), expected, "{text}");
}

#[test]
fn what_a_reference_leaves_out_comes_from_its_place() {
    check("Web", Some("Component"), Some("component:shop/web"));
    check("default/web", Some("Component"), Some("component:default/web"));
    check("API:web", Some("Component"), Some("api:shop/web"));
    check("api:default/Web", None, Some("api:default/web"));
}

#[test]
fn a_part_that_is_missing_or_empty_is_an_error() {
    for text in ["", "api:", ":web", "/web", "a/", "api:/web", "api:a/"] {
        check(text, Some("Component"), None);
    }
    check("web", None, None);
    check("default/web", None, None);
}

#[test]
fn what_follows_the_separators_belongs_to_the_name() {
    check("api:a/b/c", None, Some("api:a/b/c"));
    check("a/b:c", Some("api"), Some("api:a/b:c"));
    check("api:a:b", None, Some("api:shop/a:b"));
}

#[test]
fn references_that_differ_in_case_are_equal() {
    let one = EntityRef::parse("API:Shop/Web", None, "x").unwrap();
    let other = EntityRef::parse("web", Some("api"), "shop").unwrap();
    assert_eq!(one, other);
}

#[test]
fn only_what_a_descriptor_can_say_is_possible() {
    let name = "n".repeat(63);
    for (text, expected) in [
        ("component:default/web", true),
        ("COMPONENT:Default/Web.shop_2-x", true),
        (&format!("component:{}/{name}", "s".repeat(63)), true),
        (&format!("component:default/{name}n"), false),
        ("component:default/a/b", false),
        ("component:a_b/web", false),
        ("some kind:default/web", false),
        ("component:default/wéb", false),
    ] {
        let reference = EntityRef::parse(text, None, "x").unwrap();
        assert_eq!(reference.is_possible(), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn a_canonical_reference_names_the_same_entity_again(text in "[aB:/é]{0,12}") {
        if let Ok(reference) = EntityRef::parse(&text, Some("kind"), "space") {
            let again = EntityRef::parse(&reference.canonical(), None, "other");
            prop_assert_eq!(again.as_ref().map(EntityRef::canonical), Ok(reference.canonical()));
        }
    }
}
