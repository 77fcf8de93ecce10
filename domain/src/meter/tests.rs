use proptest::prelude::*;

use super::*;
use crate::aggregate::fold;

const NOW: DateTime<Utc> = DateTime::from_timestamp(1_780_000_000, 0).unwrap();

/// The one place that knows how a decision is made.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "tests read as data")]
fn check(given: &[Event], when: Command, then: Result<Vec<Event>, Rejection>) {
    assert_eq!(fold::<Meter>(given).decide(&when, NOW), then);
}

fn definition(name: &str) -> Definition {
    Definition {
        key: "api.calls".parse().unwrap(),
        name: name.to_owned(),
        unit: "call".to_owned(),
        aggregation: Aggregation::Sum,
    }
}

fn defined() -> Event {
    let Definition { key, name, unit, aggregation } = definition("Calls");
    Event::Defined { key, name, unit, aggregation }
}

fn key() -> MeterKey {
    "api.calls".parse().unwrap()
}

#[test]
fn is_defined_once_for_all() {
    check(&[], Command::Define(definition("Calls")), Ok(vec![defined()]));
    check(&[defined()], Command::Define(definition("Calls")), Ok(vec![]));
    let other = Definition { aggregation: Aggregation::Max, ..definition("Calls") };
    for other in [other, definition("API calls")] {
        check(&[defined()], Command::Define(other), Err(Rejection::AlreadyDefined(key())));
    }
}

#[test]
fn is_archived_for_good() {
    check(&[], Command::Archive, Err(Rejection::NotDefined));
    check(&[defined()], Command::Archive, Ok(vec![Event::Archived {}]));
    check(&[defined(), Event::Archived {}], Command::Archive, Ok(vec![]));
    check(
        &[defined(), Event::Archived {}],
        Command::Define(definition("Calls")),
        Err(Rejection::Archived(key())),
    );
}

#[test]
fn a_malformed_definition_is_refused_field_by_field() {
    let malformed = Definition {
        name: String::new(),
        unit: "u".repeat(UNIT_MAX + 1),
        aggregation: Aggregation::UniqueCount { dimension: "line\nbreak".to_owned() },
        ..definition("Calls")
    };
    let rejection = Meter::default().decide(&Command::Define(malformed), NOW).unwrap_err();
    assert_eq!(
        rejection.to_string(),
        "name: expected 1 to 120 characters, got 0; \
         unit: expected 1 to 32 characters, got 33; \
         dimension: expected a text without control characters"
    );
}

#[test]
fn others_learn_whether_usage_can_be_recorded() {
    let after = |events: &[Event]| fold::<Meter>(events).standing();
    assert_eq!(after(&[]), Standing::NotDefined);
    assert_eq!(after(&[defined()]), Standing::Defined(Aggregation::Sum));
    assert_eq!(after(&[defined(), Event::Archived {}]), Standing::Archived);
}

#[test]
fn a_key_is_a_short_lower_case_path() {
    for text in ["a", "api.calls", "gb-hours_2", &"k".repeat(64)] {
        assert!(text.parse::<MeterKey>().is_ok(), "{text} was refused");
    }
    for text in ["", "Api", "1st", ".calls", "api calls", &"k".repeat(65)] {
        assert!(text.parse::<MeterKey>().is_err(), "{text} was accepted");
    }
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        prop::sample::select(vec!["Calls", "API calls", ""])
            .prop_map(|it| Command::Define(definition(it))),
        Just(Command::Archive),
    ]
}

proptest! {
    #[test]
    fn repeating_a_command_changes_nothing(
        history in prop::collection::vec(any_command(), 0..6),
        command in any_command(),
    ) {
        let mut meter = Meter::default();
        for command in history.iter().chain([&command]) {
            let events = meter.decide(command, NOW).unwrap_or_default();
            events.iter().for_each(|it| meter.evolve(it));
        }
        prop_assert_eq!(meter.decide(&command, NOW).unwrap_or_default(), vec![]);
    }
}
