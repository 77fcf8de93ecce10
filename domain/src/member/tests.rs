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
    assert_eq!(fold::<Member>(given).decide(&when, NOW), then);
}

fn roles(roles: &[BuiltIn]) -> BTreeSet<RoleRef> {
    roles.iter().copied().map(RoleRef::BuiltIn).collect()
}

fn name(mark: u8) -> Option<Personal> {
    let content = Content::Plain("Ada".to_owned());
    Some(Personal { subject: SubjectId::from_digest([1; 16]), digest: Digest([mark; 16]), content })
}

fn add(mark: u8, of: &[BuiltIn]) -> Command {
    Command::Add { name: name(mark), roles: roles(of) }
}

fn added(of: &[BuiltIn]) -> Event {
    Event::Added { name: name(1), roles: roles(of) }
}

fn change(of: &[BuiltIn], owners: u64) -> Command {
    Command::ChangeRoles { roles: roles(of), owners }
}

#[test]
fn is_added_once_and_may_come_back() {
    let viewer = [BuiltIn::Viewer];
    check(&[], add(1, &viewer), Ok(vec![added(&viewer)]));
    check(&[added(&viewer)], add(1, &viewer), Ok(vec![]));
    check(&[added(&viewer)], add(2, &viewer), Err(Rejection::AlreadyAdded));
    check(&[added(&viewer)], add(1, &[BuiltIn::Owner]), Err(Rejection::AlreadyAdded));
    check(&[added(&viewer), Event::Removed {}], add(1, &viewer), Ok(vec![added(&viewer)]));
}

#[test]
fn is_something_else_once_the_roles_were_changed() {
    let viewer = added(&[BuiltIn::Viewer]);
    let changed = Event::RolesChanged { roles: roles(&[BuiltIn::Admin]) };
    check(&[], change(&[BuiltIn::Admin], 1), Err(Rejection::NotAdded));
    let viewers = [viewer.clone()];
    check(&viewers, change(&[BuiltIn::Admin], 1), Ok(vec![changed.clone()]));
    check(&[viewer.clone(), changed], change(&[BuiltIn::Admin], 1), Ok(vec![]));
    check(&[viewer, Event::Removed {}], change(&[BuiltIn::Admin], 1), Err(Rejection::NotAdded));
}

#[test]
fn is_nothing_once_removed() {
    let viewer = [added(&[BuiltIn::Viewer])];
    check(&[], Command::Remove { owners: 1 }, Err(Rejection::NotAdded));
    check(&viewer, Command::Remove { owners: 1 }, Ok(vec![Event::Removed {}]));
    let gone = [added(&[BuiltIn::Viewer]), Event::Removed {}];
    check(&gone, Command::Remove { owners: 1 }, Ok(vec![]));
    assert_eq!(fold::<Member>(&gone).roles(), []);
}

#[test]
fn the_last_owner_stays_one() {
    let owner = [added(&[BuiltIn::Owner, BuiltIn::Billing])];
    check(&owner, Command::Remove { owners: 1 }, Err(Rejection::LastOwner));
    check(&owner, change(&[BuiltIn::Admin], 1), Err(Rejection::LastOwner));
    check(&owner, Command::Remove { owners: 2 }, Ok(vec![Event::Removed {}]));
    let still = Event::RolesChanged { roles: roles(&[BuiltIn::Owner]) };
    check(&owner, change(&[BuiltIn::Owner], 1), Ok(vec![still]));
}

fn any_roles() -> impl Strategy<Value = BTreeSet<RoleRef>> {
    prop::sample::subsequence(vec![BuiltIn::Owner, BuiltIn::Viewer], 1..3).prop_map(|it| roles(&it))
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (1_u8..3, any_roles()).prop_map(|(mark, roles)| Command::Add { name: name(mark), roles }),
        (any_roles(), 1_u64..3).prop_map(|(roles, owners)| Command::ChangeRoles { roles, owners }),
        (1_u64..3).prop_map(|owners| Command::Remove { owners }),
    ]
}

proptest! {
    #[test]
    fn repeating_a_command_changes_nothing(
        history in prop::collection::vec(any_command(), 0..6),
        command in any_command(),
    ) {
        let mut member = Member::default();
        for command in history.iter().chain([&command]) {
            let events = member.decide(command, NOW).unwrap_or_default();
            events.iter().for_each(|it| member.evolve(it));
        }
        prop_assert_eq!(member.decide(&command, NOW).unwrap_or_default(), vec![]);
    }
}
