use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::catalog::{KindSet, samples};
use crate::id::SubjectId;
use crate::personal::{Content, Digest};

fn parts(json: Value) -> DescriptorParts {
    Descriptor::parse(json, KindSet::Extended).unwrap().into_parts()
}

/// The parts as an event holds them, and their plain texts.
fn stored(parts: DescriptorParts) -> (StoredDescriptor, Vec<Option<String>>) {
    let seal = |it: &PersonalPart| Personal {
        subject: SubjectId(uuid::Uuid::nil()),
        digest: Digest::default(),
        content: Content::Sealed(it.text.bytes().collect()),
    };
    let personal = parts.personal.iter().map(seal).collect();
    let texts = parts.personal.into_iter().map(|it| Some(it.text)).collect();
    let large = Vec::new();
    (StoredDescriptor { public: parts.public.into(), personal, large }, texts)
}

/// Checks what is taken out, as (subject, text).
#[track_caller]
fn check(json: Value, expected: &[(&str, &str)]) {
    let parts = parts(json);
    let found: Vec<_> =
        parts.personal.iter().map(|it| (it.subject.as_str(), it.text.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn nothing_that_names_a_user_stays_public() {
    let mut json = samples::of(Kind::User);
    json["metadata"] = json!({ "name": "Jane", "namespace": "staff" });
    json["spec"]["profile"] = json!({ "email": "jane@example.com" });
    let parts = parts(json);
    assert_eq!(
        parts.public,
        json!({
            "apiVersion": "backstage.io/v1alpha1", "kind": "User",
            "metadata": { "$personal": 0 }, "spec": { "$personal": 1 },
        })
    );
    let subjects: Vec<_> = parts.personal.iter().map(|it| it.subject.as_str()).collect();
    assert_eq!(subjects, ["user:staff/jane"; 2]);
}

#[test]
fn references_to_users_are_taken_out_wherever_they_stand() {
    let json = samples::with(samples::component(), "/spec/owner", json!("User:Jane"));
    let json = samples::with(json, "/spec/oncall", json!({ "first": ["user:staff/joe", "shop"] }));
    let json = samples::with(json, "/metadata/annotations", json!({ "a.io/by": "user:jane" }));
    check(
        json,
        &[
            ("user:default/jane", "\"User:Jane\""),
            ("user:default/jane", "\"user:jane\""),
            ("user:staff/joe", "\"user:staff/joe\""),
        ],
    );
    let group = json!({
        "type": "team", "children": ["user:odd", "group:fine"], "members": ["jane", "group:x"],
        "profile": { "displayName": "Shop", "email": "shop@example.com" },
    });
    check(
        samples::with(samples::of(Kind::Group), "/spec", group),
        &[
            ("user:default/odd", "\"user:odd\""),
            ("user:default/jane", "\"jane\""),
            ("group:default/web", "\"shop@example.com\""),
        ],
    );
}

#[test]
fn what_only_looks_like_a_user_stays() {
    let json = samples::with(samples::component(), "/spec/owner", json!("users"));
    let json = samples::with(json, "/spec/text", json!(["user: Jane Doe", "user:", "username:x"]));
    check(json, &[]);
}

#[test]
fn an_erased_person_is_a_user_without_name_and_groups() {
    let (stored, mut texts) = stored(parts(samples::of(Kind::User)));
    texts.fill(None);
    let erased = Descriptor::recorded(stored.restore(&texts, &[])).unwrap();
    assert!(erased.is_erased());
    assert_eq!(erased.reference().canonical(), "user:default/(erased)");
    assert_eq!(erased.relations(), vec![]);
    assert!(Descriptor::parse(erased.into_json(), KindSet::Core).is_err(), "nobody can be it");
}

#[test]
fn an_erased_reference_is_marked_and_others_stay() {
    let spec = json!({ "type": "team", "children": [], "members": ["jane", "joe"] });
    let (stored, mut texts) = stored(parts(samples::with(samples::of(Kind::Group), "/spec", spec)));
    texts[0] = None;
    let json = stored.restore(&texts, &[]);
    assert_eq!(json["spec"]["members"], json!(["(erased)", "joe"]));
    let relations = Descriptor::recorded(json).unwrap().relations();
    let targets: Vec<_> = relations.iter().map(|it| it.target.as_str()).collect();
    assert_eq!(targets, ["user:default/joe"]);
}

#[test]
fn a_text_that_is_not_there_is_shown_as_erased() {
    let public = json!({ "spec": { "owner": { "$personal": 3 }, "x": { "$personal": "?" } } });
    let (personal, large) = (Vec::new(), Vec::new());
    let stored = StoredDescriptor { public: public.into(), personal, large };
    let expected = json!({ "spec": { "owner": "(erased)", "x": "(erased)" } });
    assert_eq!(stored.restore(&[], &[]), expected);
}

#[test]
fn what_does_not_fit_an_event_is_taken_out_and_put_back() {
    let definition = "x".repeat(INLINE_BYTES_MAX);
    let json = samples::with(samples::of(Kind::Api), "/spec/definition", json!(definition));
    let json = samples::with(json, "/spec/owner", json!("user:jane"));
    let mut parts = parts(json.clone());
    parts.take_large();
    assert!(parts.stored_bytes() <= INLINE_BYTES_MAX);
    assert_eq!(parts.public["spec"], json!({ "$large": 0 }));
    assert_eq!(parts.public["metadata"], json["metadata"]);
    // What is personal was taken out before.
    assert!(parts.large[0].contains(r#""owner":{"$personal":0}"#) && parts.large.len() == 1);
    let large: Vec<_> = parts.large.iter().cloned().map(Some).collect();
    let (stored, texts) = stored(parts);
    assert_eq!(stored.restore(&texts, &large), json);
    let erased = stored.restore(&texts, &[None]);
    assert_eq!(erased["spec"], json!({ "memberOf": [] }), "readers know that shape");

    let mut small = self::parts(samples::component());
    small.take_large();
    assert_eq!((small.large.len(), &small.public), (0, &samples::component()));
}

/// Every text of a document that refers to a user and says so.
fn written_users(value: &Value) -> usize {
    match value {
        Value::String(text) => usize::from(text.to_lowercase().starts_with("user:")),
        Value::Array(list) => list.iter().map(written_users).sum(),
        Value::Object(object) => object.values().map(written_users).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

proptest! {
    #[test]
    fn what_was_taken_out_can_be_put_back(json in samples::descriptor()) {
        let (stored, texts) = stored(parts(json.clone()));
        prop_assert_eq!(stored.restore(&texts, &[]), json);
    }

    #[test]
    fn no_reference_to_a_user_stays_in_the_clear(json in samples::descriptor()) {
        let people = written_users(&json["metadata"]) + written_users(&json["spec"]);
        let parts = parts(json);
        prop_assert_eq!(written_users(&parts.public), 0);
        // Control: the samples do refer to users, and each was taken out, some of them together.
        let taken = parts.personal.iter().map(|it| serde_json::from_str(&it.text).unwrap());
        let taken: usize = taken.map(|it: Value| written_users(&it)).sum();
        prop_assert!(taken >= people, "{} of {}", taken, people);
    }

    #[test]
    fn an_event_takes_at_most_the_bytes_it_was_checked_for(json in samples::descriptor()) {
        let parts = parts(json);
        let bound = parts.stored_bytes();
        let (mut stored, _) = stored(parts);
        for personal in &mut stored.personal {
            // A nonce of 12 bytes and a tag of 16 come on top of the text.
            let Content::Sealed(sealed) = &mut personal.content else { unreachable!() };
            *sealed = sealed.iter().copied().chain([0; 28]).collect();
        }
        let bytes = serde_json::to_string(&stored).unwrap().len();
        let around = r#"{"public":,"personal":[]}"#.len();
        prop_assert!(bytes <= bound + around, "{bytes} > {bound}");
    }
}
