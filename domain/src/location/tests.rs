use proptest::prelude::*;

use super::*;
use crate::aggregate::fold;

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

/// The one place that knows how a decision is made.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "rows of a table read best as values")]
fn check(given: &[Event], when: Command, then: Result<Vec<Event>, Rejection>) {
    assert_eq!(fold::<Location>(given).decide(&when, NOW), then);
}

fn register(kind: LocationKind, target: &str) -> Command {
    Command::Register { kind, target: target.to_owned() }
}

fn registered(kind: LocationKind, target: &str) -> Event {
    Event::Registered { kind, target: target.to_owned() }
}

#[test]
fn a_location_is_known_until_it_is_forgotten() {
    let (kind, target) = (LocationKind::Url, "https://example.com/catalog-info.yaml");
    let known = registered(kind, target);
    let gone = [known.clone(), Event::Deregistered {}];
    check(&[], register(kind, target), Ok(vec![known.clone()]));
    check(std::slice::from_ref(&known), register(kind, target), Ok(vec![]));
    check(&gone, register(kind, target), Ok(vec![known.clone()]));
    check(&[], Command::Deregister, Ok(vec![]));
    check(&[known], Command::Deregister, Ok(vec![Event::Deregistered {}]));
    check(&gone, Command::Deregister, Ok(vec![]));
}

#[test]
fn an_address_is_http_and_names_a_host_and_no_password() {
    for good in ["http://a", "HTTPS://example.com:8080/x?y=a@b#z", "https://[::1]/a"] {
        let expected = Ok(vec![registered(LocationKind::Url, good)]);
        check(&[], register(LocationKind::Url, good), expected);
    }
    let bad =
        ["", "https:", "https://", "https:///x", "ftp://a", "file:///etc", "//a", "http://a b"];
    for bad in bad.into_iter().chain(["https://a\\b", "https://:80/", "https://a/\n"]) {
        let expected = Err(Rejection::Url(bad.to_owned()));
        check(&[], register(LocationKind::Url, bad), expected);
    }
    for secret in ["https://user:secret@example.com/", "https://token@example.com"] {
        check(&[], register(LocationKind::Url, secret), Err(Rejection::Credentials));
    }
}

#[test]
fn a_path_stays_below_what_was_imported() {
    for good in ["catalog-info.yaml", "./a/b.yaml", "a/**/*.yaml", "..a/b..", "a b.yaml"] {
        let expected = Ok(vec![registered(LocationKind::File, good)]);
        check(&[], register(LocationKind::File, good), expected);
    }
    for bad in ["", "/etc/passwd", "../a", "a/../../b", "a//b", "a/", "C:/a", "a\\..\\b", "a\0"] {
        let expected = Err(Rejection::File(bad.to_owned()));
        check(&[], register(LocationKind::File, bad), expected);
    }
}

#[test]
fn targets_are_bounded() {
    let target = |length: usize| "a".repeat(length);
    let longest = registered(LocationKind::File, &target(TARGET_BYTES_MAX));
    let register = |length| register(LocationKind::File, &target(length));
    check(&[], register(TARGET_BYTES_MAX), Ok(vec![longest]));
    let length = TARGET_BYTES_MAX + 1;
    check(&[], register(length), Err(Rejection::TooLong(length)));
}

fn commands() -> impl Strategy<Value = Command> {
    prop_oneof![
        prop::sample::select(&["a", "../a"][..]).prop_map(|it| register(LocationKind::File, it)),
        Just(Command::Deregister),
    ]
}

proptest! {
    #[test]
    fn after_any_history_repeating_a_command_changes_nothing(
        history in prop::collection::vec(commands(), 0..9),
        last in commands(),
    ) {
        let mut location = Location::default();
        for command in history.iter().chain([&last]) {
            for event in location.decide(command, NOW).unwrap_or_default() {
                location.evolve(&event);
            }
        }
        prop_assert_eq!(location.decide(&last, NOW).unwrap_or_default(), vec![]);
    }
}
