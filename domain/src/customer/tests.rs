use proptest::prelude::*;

use super::*;
use crate::aggregate::fold;
use crate::id::SubjectId;
use crate::personal::Content;

const NOW: DateTime<Utc> = DateTime::from_timestamp(1_780_000_000, 0).unwrap();

/// The one place that knows how a decision is made.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "tests read as data")]
fn check(given: &[Event], when: Command, then: Result<Vec<Event>, Rejection>) {
    assert_eq!(fold::<Customer>(given).decide(&when, NOW), then);
}

fn text(digest: u8) -> Personal {
    let subject = SubjectId::from_digest([9; 16]);
    Personal { subject, digest: Digest([digest; 16]), content: Content::Plain(String::new()) }
}

fn open(role: Role, name: u8) -> Command {
    Command::Open {
        role,
        name: text(name),
        contact: None,
        currency: "EUR".parse().unwrap(),
        time_zone: chrono_tz::Europe::Berlin,
    }
}

fn opened(role: Role) -> Event {
    Event::Opened {
        role,
        name: text(1),
        contact: None,
        currency: "EUR".parse().unwrap(),
        time_zone: chrono_tz::Europe::Berlin,
    }
}

fn change(name: u8, contact: Option<u8>) -> Command {
    Command::Change { name: text(name), contact: contact.map(text) }
}

fn changed(name: u8, contact: Option<u8>) -> Event {
    Event::Changed { name: text(name), contact: contact.map(text) }
}

#[test]
fn is_opened_once() {
    check(&[], open(Role::Customer, 1), Ok(vec![opened(Role::Customer)]));
    check(&[opened(Role::Customer)], open(Role::Customer, 1), Ok(vec![]));
    check(&[opened(Role::Customer)], open(Role::Customer, 2), Err(Rejection::AlreadyOpened));
    check(&[opened(Role::Customer)], open(Role::CostCentre, 1), Err(Rejection::AlreadyOpened));
    let closed = [opened(Role::Customer), Event::Closed {}];
    check(&closed, open(Role::Customer, 1), Err(Rejection::Closed));
}

#[test]
fn changes_name_and_contact_only_while_open() {
    let given = [opened(Role::Customer)];
    check(&[], change(2, None), Err(Rejection::NotOpened));
    check(&given, change(1, None), Ok(vec![]));
    check(&given, change(2, None), Ok(vec![changed(2, None)]));
    check(&given, change(1, Some(3)), Ok(vec![changed(1, Some(3))]));
    check(&[opened(Role::Customer), changed(2, Some(3))], change(2, Some(3)), Ok(vec![]));
    check(
        &[opened(Role::Customer), changed(2, Some(3))],
        change(2, None),
        Ok(vec![changed(2, None)]),
    );
    check(&[opened(Role::Customer), Event::Closed {}], change(2, None), Err(Rejection::Closed));
}

#[test]
fn is_closed_once_nothing_runs() {
    let close = |running| Command::Close { running };
    check(&[], close(0), Err(Rejection::NotOpened));
    check(&[opened(Role::CostCentre)], close(2), Err(Rejection::Running(2)));
    check(&[opened(Role::CostCentre)], close(0), Ok(vec![Event::Closed {}]));
    check(&[opened(Role::CostCentre), Event::Closed {}], close(0), Ok(vec![]));
}

#[test]
fn the_tenants_own_account_stays_open() {
    check(&[opened(Role::Itself)], Command::Close { running: 0 }, Err(Rejection::Itself));
    check(&[opened(Role::Itself)], change(2, None), Ok(vec![changed(2, None)]));
}

#[test]
fn others_learn_its_standing() {
    let after = |events: &[Event]| fold::<Customer>(events).standing();
    assert_eq!(after(&[]), Standing::NotOpened);
    assert_eq!(after(&[opened(Role::Customer)]), Standing::Open);
    assert_eq!(after(&[opened(Role::Customer), Event::Closed {}]), Standing::Closed);
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (1_u8..3).prop_map(|it| open(Role::Customer, it)),
        (1_u8..3, prop::option::of(1_u8..3)).prop_map(|(name, contact)| change(name, contact)),
        (0_usize..2).prop_map(|running| Command::Close { running }),
    ]
}

proptest! {
    #[test]
    fn repeating_a_command_changes_nothing(
        history in prop::collection::vec(any_command(), 0..12),
        command in any_command(),
    ) {
        let mut customer = Customer::default();
        for command in history.iter().chain([&command]) {
            let events = customer.decide(command, NOW).unwrap_or_default();
            events.iter().for_each(|it| customer.evolve(it));
        }
        prop_assert_eq!(customer.decide(&command, NOW).unwrap_or_default(), vec![]);
    }
}
