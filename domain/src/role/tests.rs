use proptest::prelude::*;

use super::*;
use crate::aggregate::fold;
use crate::principal::{Permission, Predicate};

const NOW: DateTime<Utc> = DateTime::from_timestamp(1_780_000_000, 0).unwrap();

/// The one place that knows how a decision is made.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "tests read as data")]
fn check(given: &[Event], when: Command, then: Result<Vec<Event>, Rejection>) {
    assert_eq!(fold::<Role>(given).decide(&when, NOW), then);
}

fn name() -> RoleName {
    "payments-team".parse().unwrap()
}

fn read() -> Vec<Permit> {
    vec![Permit::everywhere(Permission::EntityRead)]
}

fn read_own() -> Vec<Permit> {
    let condition = Predicate::OwnedBy("group:default/payments".to_owned());
    vec![Permit::only(Permission::EntityRead, condition)]
}

fn define(permits: Vec<Permit>) -> Command {
    Command::Define { name: name(), permits }
}

fn defined() -> Event {
    Event::Defined { name: name(), permits: read() }
}

#[test]
fn is_defined_under_a_name_that_nobody_has() {
    check(&[], define(read()), Ok(vec![defined()]));
    check(&[defined()], define(read()), Ok(vec![]));
    check(&[defined()], define(read_own()), Err(Rejection::AlreadyDefined(name())));
}

#[test]
fn permits_something_else_once_it_was_changed() {
    let change = Command::Change { permits: read_own() };
    let changed = Event::Changed { permits: read_own() };
    check(&[], change.clone(), Err(Rejection::NotDefined));
    check(&[defined()], change.clone(), Ok(vec![changed.clone()]));
    check(&[defined()], Command::Change { permits: read() }, Ok(vec![]));
    check(&[defined(), changed.clone()], change, Ok(vec![]));
    assert_eq!(fold::<Role>(&[defined(), changed]).permits(), read_own());
}

#[test]
fn permits_nothing_once_it_is_retired_and_keeps_its_name() {
    let retired = [defined(), Event::Retired {}];
    check(&[], Command::Retire, Err(Rejection::NotDefined));
    check(&[defined()], Command::Retire, Ok(vec![Event::Retired {}]));
    check(&retired, Command::Retire, Ok(vec![]));
    check(&retired, define(read()), Err(Rejection::Retired(name())));
    check(&retired, Command::Change { permits: read() }, Err(Rejection::Retired(name())));
    assert_eq!(fold::<Role>(&retired).permits(), []);
}

#[track_caller]
fn violates(permits: &[Permit], violations: &[&str]) {
    let rejection = match Role::default().decide(&define(permits.to_vec()), NOW) {
        Ok(_) => Vec::new(),
        Err(Rejection::Invalid(found)) => found,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(rejection.iter().map(Violation::to_string).collect::<Vec<_>>(), violations);
}

#[test]
fn a_built_in_role_is_not_defined_again() {
    let name = RoleName::from(BuiltIn::Owner);
    let refused = Role::default().decide(&Command::Define { name, permits: read() }, NOW);
    assert_eq!(refused.unwrap_err().to_string(), "role: `owner` is built in; take another name");
}

#[test]
fn a_condition_fits_what_reads_or_changes_entities_only() {
    let kind = || Predicate::Kind("api".to_owned());
    violates(&read_own(), &[]);
    violates(&[], &["permits: expected at least one, got none"]);
    violates(
        &[read(), read_own()].concat(),
        &["permits[1]: `entity.read` is there twice; merge both with `any`"],
    );
    violates(
        &[Permit::only(Permission::AuditRead, kind())],
        &["permits[0]: `audit.read` cannot be given for some entities only"],
    );
    violates(
        &[Permit::only(Permission::LocationWrite, kind())],
        &["permits[0]: `location.write` cannot be given for some entities only"],
    );
}

#[test]
fn a_reference_says_which_role_is_built_in() {
    for role in BuiltIn::ALL {
        let reference = RoleRef::BuiltIn(role);
        assert_eq!(reference.to_string().parse(), Ok(reference));
        assert_eq!(RoleName::from(role).built_in(), Some(role));
    }
    let own = RoleRef::Own(crate::id::RoleId::from_digest([7; 16]));
    assert_eq!(own.to_string().parse(), Ok(own));
    assert!("payments-team".parse::<RoleRef>().is_err());
    assert_eq!(name().built_in(), None);
    for text in ["", "Owner", "1st", "a b", &"r".repeat(65)] {
        assert!(text.parse::<RoleName>().is_err(), "{text} was accepted");
    }
}

#[test]
fn an_admin_may_all_but_change_the_tenant() {
    let missing = |it: BuiltIn| {
        let missing = |permission: &&Permission| !it.permissions().contains(permission);
        Permission::ALL.iter().filter(missing).map(|it| it.name()).collect::<Vec<_>>()
    };
    assert_eq!(missing(BuiltIn::Owner), [""; 0]);
    assert_eq!(missing(BuiltIn::Admin), ["tenant.write"]);
}

#[test]
fn who_reads_for_others_changes_nothing() {
    for role in [BuiltIn::Viewer, BuiltIn::Auditor] {
        assert!(role.permissions().iter().all(|it| it.name().ends_with(".read")), "{role:?}");
    }
}

fn any_permits() -> impl Strategy<Value = Vec<Permit>> {
    prop::sample::select(vec![read(), read_own()])
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        any_permits().prop_map(define),
        any_permits().prop_map(|permits| Command::Change { permits }),
        Just(Command::Retire),
    ]
}

proptest! {
    #[test]
    fn repeating_a_command_changes_nothing(
        history in prop::collection::vec(any_command(), 0..6),
        command in any_command(),
    ) {
        let mut role = Role::default();
        for command in history.iter().chain([&command]) {
            let events = role.decide(command, NOW).unwrap_or_default();
            events.iter().for_each(|it| role.evolve(it));
        }
        prop_assert_eq!(role.decide(&command, NOW).unwrap_or_default(), vec![]);
    }
}
