use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::aggregate::fold;

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;
const HERE: LocationId = LocationId(Uuid::from_u128(1));
const THERE: LocationId = LocationId(Uuid::from_u128(2));

/// The one place that knows how a decision is made.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "rows of a table read best as values")]
fn check(given: &[Event], when: Command, then: Result<Vec<Event>, Rejection>) {
    assert_eq!(fold::<Entity>(given).decide(&when, NOW), then);
}

fn uid(number: u128) -> EntityUid {
    EntityUid(Uuid::from_u128(number))
}

/// A descriptor that says `text`, and what stands for it.
fn said(text: u8) -> (StoredDescriptor, Digest) {
    let (personal, large) = (Vec::new(), Vec::new());
    let public = json!({ "text": text }).into();
    (StoredDescriptor { public, personal, large }, Digest([text; 16]))
}

fn registered(number: u128, location: Option<LocationId>, text: u8) -> Event {
    let (descriptor, digest) = said(text);
    Event::Registered { uid: uid(number), location, descriptor, digest }
}

fn updated(location: Option<LocationId>, text: u8) -> Event {
    let (descriptor, digest) = said(text);
    Event::Updated { location, descriptor, digest }
}

fn deregistered(number: u128) -> Event {
    Event::Deregistered { uid: uid(number) }
}

fn put_with(number: u128, location: Option<LocationId>, text: u8, facts: Facts) -> Command {
    let (descriptor, digest) = said(text);
    Command::Put { uid: uid(number), location, descriptor, digest, facts }
}

fn put(number: u128, location: Option<LocationId>, text: u8) -> Command {
    put_with(number, location, text, room())
}

fn room() -> Facts {
    Facts { entities: 0, entities_max: None, location: Location::Registered }
}

fn full() -> Facts {
    Facts { entities: 7, entities_max: Some(7), ..room() }
}

#[test]
fn an_entity_is_registered_once_and_then_updated() {
    check(&[], put(1, None, 1), Ok(vec![registered(1, None, 1)]));
    check(&[registered(1, None, 1)], put(2, None, 1), Ok(vec![]));
    check(&[registered(1, None, 1)], put(2, None, 2), Ok(vec![updated(None, 2)]));
    check(&[registered(1, None, 1), updated(None, 2)], put(2, None, 2), Ok(vec![]));
}

#[test]
fn an_entity_that_comes_back_is_another_one() {
    let gone = [registered(1, None, 1), deregistered(1)];
    check(&gone, put(2, None, 1), Ok(vec![registered(2, None, 1)]));
    let back = [&gone[..], &[registered(2, None, 1)]].concat();
    check(&back, Command::Remove, Ok(vec![deregistered(2)]));
}

#[test]
fn removing_what_is_not_there_is_done_already() {
    check(&[], Command::Remove, Ok(vec![]));
    check(&[registered(1, Some(HERE), 1)], Command::Remove, Ok(vec![deregistered(1)]));
    check(&[registered(1, None, 1), deregistered(1)], Command::Remove, Ok(vec![]));
}

#[test]
fn an_entity_goes_with_the_location_it_follows_and_with_no_other() {
    let gone = Command::RemoveFollower { location: HERE };
    check(&[], gone.clone(), Ok(vec![]));
    check(&[registered(1, Some(HERE), 1)], gone.clone(), Ok(vec![deregistered(1)]));
    check(&[registered(1, Some(THERE), 1)], gone.clone(), Ok(vec![]));
    check(&[registered(1, None, 1)], gone.clone(), Ok(vec![]));
    check(&[registered(1, Some(HERE), 1), deregistered(1)], gone, Ok(vec![]));
}

#[test]
fn the_first_location_to_have_an_entity_owns_it() {
    let given = [registered(1, Some(HERE), 1)];
    let owned = Err(Rejection::OwnedByLocation { owner: HERE });
    check(&given, put(2, Some(HERE), 2), Ok(vec![updated(Some(HERE), 2)]));
    check(&given, put(2, Some(THERE), 2), owned.clone());
    check(&given, put(2, Some(THERE), 1), owned.clone());
    check(&given, put(2, None, 1), owned);
    let gone = [registered(1, Some(HERE), 1), deregistered(1)];
    check(&gone, put(2, Some(THERE), 1), Ok(vec![registered(2, Some(THERE), 1)]));
}

#[test]
fn a_location_may_take_over_what_was_put_by_hand() {
    check(&[registered(1, None, 1)], put(2, Some(HERE), 1), Ok(vec![updated(Some(HERE), 1)]));
    let taken = [registered(1, None, 1), updated(Some(HERE), 1)];
    check(&taken, put(2, None, 1), Err(Rejection::OwnedByLocation { owner: HERE }));
}

#[test]
fn a_location_must_be_registered_to_have_entities() {
    let unknown = Err(Rejection::UnknownLocation { location: HERE });
    for location in [Location::NotRegistered, Location::Deregistered] {
        let facts = Facts { location, ..room() };
        check(&[], put_with(1, Some(HERE), 1, facts.clone()), unknown.clone());
        let follower = [registered(1, Some(HERE), 1)];
        check(&follower, put_with(1, Some(HERE), 2, facts.clone()), unknown.clone());
        check(&[], put_with(1, None, 1, facts), Ok(vec![registered(1, None, 1)]));
    }
}

#[test]
fn a_full_catalog_takes_no_more_but_can_be_changed() {
    let exceeded = Err(Rejection::QuotaExceeded { limit: 7 });
    check(&[], put_with(1, None, 1, full()), exceeded.clone());
    check(&[registered(1, None, 1), deregistered(1)], put_with(2, None, 1, full()), exceeded);
    check(&[registered(1, None, 1)], put_with(1, None, 2, full()), Ok(vec![updated(None, 2)]));
    let last = Facts { entities: 6, ..full() };
    check(&[], put_with(1, None, 1, last), Ok(vec![registered(1, None, 1)]));
}

#[test]
fn a_million_entities_fit_in_memory() {
    assert!(size_of::<Entity>() <= 64, "{} bytes", size_of::<Entity>());
}

fn commands() -> impl Strategy<Value = Command> {
    let location = prop::sample::select(&[None, Some(HERE), Some(THERE)][..]);
    let facts = prop::sample::select(vec![room(), full()]);
    prop_oneof![
        (0..9u128, location, 0..3u8, facts)
            .prop_map(|(number, location, text, facts)| put_with(number, location, text, facts)),
        Just(Command::Remove),
        prop::sample::select(&[HERE, THERE][..])
            .prop_map(|location| Command::RemoveFollower { location }),
    ]
}

proptest! {
    #[test]
    fn after_any_history_repeating_a_command_changes_nothing(
        history in vec(commands(), 0..20),
        last in commands(),
    ) {
        let mut entity = Entity::default();
        for command in history.iter().chain([&last]) {
            for event in entity.decide(command, NOW).unwrap_or_default() {
                entity.evolve(&event);
            }
        }
        prop_assert_eq!(entity.decide(&last, NOW).unwrap_or_default(), vec![]);
    }
}
