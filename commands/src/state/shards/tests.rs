use domain::id::EntityId;
use domain::location::Location;
use uuid::Uuid;

use super::*;
use crate::state::Held;

fn stream(number: u128) -> Stream {
    Stream::Entity(EntityId(Uuid::from_u128(number)))
}

fn slot(revision: u64) -> Slot {
    Slot { revision, held: Held::Location(Location::Registered) }
}

fn filled(count: u128) -> Shards {
    let mut shards = Shards::default();
    for number in 0..count {
        assert_eq!(shards.insert(stream(number), slot(1)), None);
    }
    shards
}

#[test]
fn every_slot_is_found_however_often_shards_split() {
    let mut shards = filled(20_000);
    assert_eq!(shards.len(), 20_000);
    assert!(shards.shards.len() >= 8, "{} shards", shards.shards.len());
    assert!(shards.shards.values().all(|it| it.slots.len() < SLOTS_MAX));
    for number in 0..20_000 {
        assert_eq!(shards.get(&stream(number)), Some(&slot(1)));
    }
    assert_eq!(shards.get(&stream(20_000)), None);
    assert_eq!(shards.insert(stream(7), slot(2)), Some(slot(1)));
    assert_eq!((shards.len(), shards.iter().count()), (20_000, 20_000));
}

#[test]
fn a_frozen_shard_stays_as_it_was() {
    let mut shards = filled(10);
    let frozen = shards.take_dirty();
    shards.insert(stream(3), slot(9));
    assert_eq!(frozen[0].1.slots()[&stream(3)], slot(1));
    assert_eq!(shards.get(&stream(3)), Some(&slot(9)));
}

#[test]
fn only_changed_shards_are_dirty_and_taken_once() {
    let mut shards = filled(20_000);
    let all = shards.take_dirty();
    assert_eq!(all.len(), shards.shards.len());
    assert!(shards.take_dirty().is_empty());
    shards.insert(stream(3), slot(2));
    let one = shards.take_dirty();
    assert_eq!(one.len(), 1);
    shards.all_changed();
    assert_eq!(shards.take_dirty().len(), all.len());
}

#[test]
fn shards_come_back_in_any_order() {
    let mut shards = filled(20_000);
    let mut restored = Shards::default();
    for (start, shard) in shards.take_dirty().into_iter().rev() {
        restored.restore(start, shard.depth(), shard.slots().clone());
    }
    assert_eq!(restored.len(), 20_000);
    for number in 0..20_000 {
        assert_eq!(restored.get(&stream(number)), Some(&slot(1)));
    }
    assert!(restored.take_dirty().is_empty(), "what is in the snapshot need not be saved again");
}

#[test]
fn a_walk_in_parts_meets_everything_once_although_shards_split_meanwhile() {
    let mut shards = filled(20_000);
    let (mut seen, mut from, mut added) = (0, 0, 20_000);
    loop {
        let (next, shard) = shards.from(from).next().unwrap();
        seen += shard.slots().keys().filter(|it| is_below(it, 20_000)).count();
        for _ in 0..3_000 {
            shards.insert(stream(added), slot(1));
            added += 1;
        }
        match next {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!(seen, 20_000);
}

fn is_below(stream: &Stream, bound: u128) -> bool {
    matches!(stream, Stream::Entity(id) if id.0.as_u128() < bound)
}
