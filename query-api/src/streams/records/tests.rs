//! Followers at every place and pace: nothing is missed, nothing comes twice, nobody waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use commands::Lookup;
use domain::id::TenantId;
use event_log::{EventLog, LogError, Partition, Position};
use uuid::Uuid;

use super::{Records, Source};
use crate::streams::tail::Tails;
use crate::testing::soon;
use world::{Fault, World};

mod world;

const PARTITION: Partition = Partition(0);

const SECOND: Duration = Duration::from_secs(1);

/// Whose records are read, and where they are.
const PLACE: (TenantId, Partition) = (TenantId(Uuid::from_u128(1)), PARTITION);

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What a follower has seen, and how often it went from one source to another.
#[derive(Default)]
struct Seen {
    positions: Vec<Position>,
    into_tail: usize,
    out_of_tail: usize,
}

/// Reads until it has seen `last`, pausing now and then.
async fn follow(mut records: Records, last: Position, mut random: Random, pause: u64) -> Seen {
    let mut seen = Seen::default();
    while records.reached() <= last {
        let before = matches!(records.source, Source::Tail);
        let step = records.next().await.unwrap();
        seen.positions.extend(step.new_ones().map(|it| it.recorded.position));
        match (before, matches!(records.source, Source::Tail)) {
            (false, true) => seen.into_tail += 1,
            (true, false) => seen.out_of_tail += 1,
            _ => {}
        }
        for _ in 0..random.below(pause) {
            tokio::task::yield_now().await;
        }
    }
    seen
}

#[tokio::test]
async fn nothing_is_missed_and_nothing_comes_twice_at_any_seam() {
    let (mut into_tail, mut out_of_tail) = (0, 0);
    for seed in 0..100 {
        let mut random = Random(seed);
        let mut world = World::new().await;
        // Room for three records or so: whoever pauses falls out of it.
        let tails = Tails::keeping(4_000, usize::MAX);
        for _ in 0..random.below(20) {
            world.append(1 + random.below(4)).await;
        }
        let mut followers = Vec::new();
        let last = Position(10_000);
        let last = last.min(Position(world.positions.last().map_or(0, |it| it.0) + 120));
        for number in 0..6 {
            let index = random.below(world.positions.len() as u64 + 2);
            let index = usize::try_from(index).expect("it is below a length");
            let from = match world.positions.get(index) {
                Some(position) => Some(*position),
                None if index == world.positions.len() => Some(Position::START),
                None => None,
            };
            // Each of another tenant, so none waits for another's reader.
            let place = (TenantId(Uuid::from_u128(number.into())), PARTITION);
            let records = Records::open(world.lookups(), tails.clone(), place, from).await.unwrap();
            let begin = records.reached();
            let pace = Random(seed * 31 + number);
            let task = tokio::spawn(follow(records, last, pace, 1 + number * 8));
            followers.push((begin, task));
        }
        while world.positions.last().is_none_or(|it| *it <= last) {
            world.append(1 + random.below(4)).await;
            for _ in 0..random.below(6) {
                tokio::task::yield_now().await;
            }
        }
        for (begin, follower) in followers {
            let seen = soon(follower).await.unwrap();
            let end = *seen.positions.last().unwrap();
            let expected = world.positions.iter().filter(|it| (begin..=end).contains(it));
            assert_eq!(seen.positions, expected.copied().collect::<Vec<_>>(), "seed {seed}");
            into_tail += seen.into_tail;
            out_of_tail += seen.out_of_tail;
        }
    }
    assert!(into_tail > 500, "seams were crossed: {into_tail} times into the tail");
    assert!(out_of_tail > 100, "and {out_of_tail} times out of it");
}

#[tokio::test]
async fn however_many_follow_the_log_is_read_once() {
    let mut world = World::new().await;
    world.append(10).await;
    let tails = Tails::default();
    let mut all = Vec::new();
    for _ in 0..50 {
        let records = Records::open(world.lookups(), tails.clone(), PLACE, None).await.unwrap();
        all.push(records);
    }
    for round in 1..=3 {
        // They wait before anything is there.
        let last = Position(world.positions.last().unwrap().0 + 1);
        let following = all.into_iter().map(|mut records| {
            tokio::spawn(async move {
                while records.reached() <= last {
                    records.next().await.unwrap();
                }
                records
            })
        });
        let following: Vec<_> = following.collect();
        tokio::task::yield_now().await;
        world.append(1).await;
        all = Vec::new();
        for it in following {
            all.push(soon(it).await.unwrap());
        }
        assert_eq!(world.readers(), 1, "round {round}");
    }
    // The last to leave ends it; the next to come begins another.
    drop(all);
    let mut records = Records::open(world.lookups(), tails.clone(), PLACE, None).await.unwrap();
    let next = tokio::spawn(async move { records.next().await.map(drop) });
    tokio::task::yield_now().await;
    world.append(1).await;
    soon(next).await.unwrap().unwrap();
    assert_eq!(world.readers(), 2);
}

#[tokio::test]
async fn who_joins_amid_what_was_read_together_gets_only_what_comes_after() {
    let mut world = World::new().await;
    let tails = Tails::default();
    let mut early = Records::open(world.lookups(), tails.clone(), PLACE, None).await.unwrap();
    let first = tokio::spawn(async move { early.next().await.map(|it| it.new_ones().count()) });
    tokio::task::yield_now().await;
    // The tail has no turn before all five are there.
    world.append(2).await;
    let mut late = Records::open(world.lookups(), tails.clone(), PLACE, None).await.unwrap();
    world.append(3).await;
    let step = soon(late.next()).await.unwrap();
    let seen: Vec<_> = step.new_ones().map(|it| it.recorded.position).collect();
    assert_eq!(seen, world.positions[2..], "of {} that were read together", step.records.len());
    assert_eq!(step.records.len(), 5);
    assert_eq!(soon(first).await.unwrap().unwrap(), 5);
}

#[tokio::test]
async fn who_only_reads_what_is_recorded_starts_no_tail() {
    let mut world = World::new().await;
    world.append(200).await;
    let tails = Tails::default();
    let from = Some(Position::START);
    let mut records = Records::open(world.lookups(), tails.clone(), PLACE, from).await.unwrap();
    let end = soon(records.end()).await.unwrap();
    let mut seen = 0;
    while records.reached() < end {
        seen += soon(records.next()).await.unwrap().new_ones().count();
    }
    assert_eq!((seen, world.readers()), (200, 1));
    assert!(matches!(records.source, Source::Log(_)));
}

#[tokio::test]
async fn a_follower_that_sleeps_holds_up_nobody_and_keeps_nothing() {
    let mut world = World::new().await;
    let tails = Tails::keeping(10_000, usize::MAX);
    let open = || Records::open(world.lookups(), tails.clone(), PLACE, None);
    let (mut asleep, mut awake) = (open().await.unwrap(), open().await.unwrap());
    for _ in 0..2 {
        world.append(1).await;
        for it in [&mut asleep, &mut awake] {
            assert_eq!(soon(it.next()).await.unwrap().new_ones().count(), 1);
        }
    }
    // The tail, and for each what came between opening it and asking for the first time.
    assert_eq!(world.readers(), 3);
    let mut seen = 2;
    for _ in 0..500 {
        world.append(1).await;
        while awake.reached() <= *world.positions.last().unwrap() {
            seen += soon(awake.next()).await.unwrap().new_ones().count();
        }
    }
    assert_eq!((seen, world.readers()), (502, 3), "the one that keeps up never reads the log");
    let tail = awake.tail.as_ref().expect("it follows the tail");
    assert!(tail.bytes() <= 10_000, "{} bytes are kept", tail.bytes());
    // It wakes up, reads what it missed from the log, and follows the tail again.
    let mut missed = 0;
    while missed < 500 {
        missed += soon(asleep.next()).await.unwrap().new_ones().count();
    }
    assert_eq!((missed, world.readers()), (500, 4));
    world.append(1).await;
    soon(asleep.next()).await.unwrap();
    assert!(matches!(asleep.source, Source::Tail));
}

#[tokio::test]
async fn who_followed_a_tail_that_failed_goes_on_with_another_and_then_alone() {
    for (fault, times) in [(Fault::Fails, 1), (Fault::Fails, 2), (Fault::Panics, 1)] {
        let mut world = World::new().await;
        world.append(3).await;
        let tails = Tails::default();
        let open = || Records::open(world.lookups(), tails.clone(), PLACE, None);
        let followers = [open().await.unwrap(), open().await.unwrap()];
        // The first reader is the tail's, and so is the next one.
        world.watched.faults.lock().unwrap().extend(vec![fault; times]);
        let following = followers.map(|mut records| {
            tokio::spawn(async move {
                let step = records.next().await.unwrap();
                (step.new_ones().map(|it| it.recorded.position).collect::<Vec<_>>(), records)
            })
        });
        tokio::task::yield_now().await;
        world.append(2).await;
        for it in following {
            let (seen, records) = soon(it).await.unwrap();
            assert_eq!(seen, world.positions[3..], "{fault:?}");
            let is_alone = matches!(records.source, Source::Alone(_));
            assert_eq!(is_alone, times == 2, "{fault:?}");
        }
        // Nobody who comes later is led to what has failed.
        let mut late = Records::open(world.lookups(), tails.clone(), PLACE, None).await.unwrap();
        world.append(1).await;
        assert_eq!(soon(late.next()).await.unwrap().new_ones().count(), 1);
        world.append(1).await;
        assert_eq!(soon(late.next()).await.unwrap().new_ones().count(), 1);
        assert!(matches!(late.source, Source::Tail), "{fault:?}");
    }
}

#[tokio::test]
async fn who_keeps_up_does_not_read_the_log_for_steps_that_are_larger_than_what_is_kept() {
    let mut world = World::new().await;
    // Less than a single record.
    let tails = Tails::keeping(1_000, usize::MAX);
    let mut records = Records::open(world.lookups(), tails, PLACE, None).await.unwrap();
    world.append(1).await;
    assert_eq!(soon(records.next()).await.unwrap().new_ones().count(), 1);
    let before = world.readers();
    for _ in 0..20 {
        world.append(3).await;
        let mut seen = 0;
        while seen < 3 {
            seen += soon(records.next()).await.unwrap().new_ones().count();
        }
    }
    assert_eq!(world.readers(), before);
    let kept = records.tail.as_ref().unwrap().bytes();
    assert!((1_001..7_000).contains(&kept), "the last step alone is kept: {kept} bytes");
}

#[tokio::test]
async fn a_log_that_fails_for_all_says_so_to_each() {
    let mut world = World::new().await;
    world.append(1).await;
    let mut records = Records::open(world.lookups(), Tails::default(), PLACE, None).await.unwrap();
    world.watched.faults.lock().unwrap().extend([Fault::Fails; 3]);
    assert!(matches!(soon(records.next()).await.map(drop), Err(LogError::Closed)));
}

#[tokio::test]
async fn all_tails_of_a_node_together_keep_no_more_than_one_bound() {
    const EACH_MAX: usize = 10_000;
    const ALL_MAX: usize = 20_000;
    let tails = Tails::keeping(EACH_MAX, ALL_MAX);
    let mut following = Vec::new();
    for number in 0..8 {
        let mut world = World::of(8, Partition(number)).await;
        let place = (PLACE.0, Partition(number));
        let lookups = world.lookups();
        let mut records = Records::open(lookups, tails.clone(), place, None).await.unwrap();
        for _ in 0..20 {
            world.append(1).await;
            assert_eq!(soon(records.next()).await.unwrap().new_ones().count(), 1);
        }
        following.push((world, records));
        let kept: Vec<_> =
            following.iter().map(|(_, it)| it.tail.as_ref().unwrap().bytes()).collect();
        // The control: alone one keeps what it may, and only beside others less.
        assert!(number > 0 || kept[0] > EACH_MAX / 2, "{kept:?}");
        assert!(kept.iter().sum::<usize>() <= ALL_MAX, "{kept:?}");
        assert!(kept.iter().all(|it| *it > 0), "{kept:?}");
    }
    // Who is left has all of it again.
    let (mut world, mut records) = following.swap_remove(0);
    drop(following);
    for _ in 0..20 {
        world.append(1).await;
        soon(records.next()).await.unwrap();
    }
    assert!(records.tail.as_ref().unwrap().bytes() > EACH_MAX / 2);
}

#[tokio::test(start_paused = true)]
async fn followers_that_take_nothing_leave_readers_to_everybody_else() {
    let mut world = World::new().await;
    world.append(200).await;
    let tails = Tails::default();
    let (own, neighbour) = (PLACE.0, TenantId(Uuid::from_u128(2)));
    let behind = async |tenant| {
        let (lookups, place) = (world.lookups(), (tenant, PARTITION));
        let mut records =
            Records::open(lookups, tails.clone(), place, Some(Position::START)).await?;
        records.next().await.map(|_| records)
    };
    // Nobody takes what it has asked for beyond the first step.
    let mut slow = Vec::new();
    for number in 0..40 {
        // Three tenants, and all of them want more than there is.
        let tenant = TenantId(Uuid::from_u128(10 + number % 3));
        match behind(tenant).await {
            Ok(records) => slow.push(records),
            Err(LogError::Busy { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(slow.len() > 8, "more than there are readers: {}", slow.len());
    // A remembered outcome, a neighbour's streams, and whoever is caught up.
    world.lookups().read(own, PARTITION, Position::START, Lookup::Brief).await.unwrap();
    behind(neighbour).await.unwrap();
    let mut live = Records::open(world.lookups(), tails.clone(), PLACE, None).await.unwrap();
    let waiting = tokio::time::timeout(SECOND, live.next()).await;
    assert!(waiting.is_err(), "it waits for what is new");
    world.append(1).await;
    let new = tokio::time::timeout(SECOND, live.next()).await.expect("it waits for no reader");
    assert_eq!(new.unwrap().new_ones().count(), 1);
    // Whoever was interrupted goes on where it was.
    let mut first = slow.remove(0);
    drop(slow);
    let mut seen = 64;
    while seen < 201 {
        seen += first.next().await.unwrap().new_ones().count();
    }
    assert_eq!((seen, first.reached()), (201, world.positions.last().unwrap().next()));
}

#[tokio::test]
async fn followers_who_come_together_make_one_tail() {
    let world = World::new().await;
    let tails = Tails::default();
    let log: Arc<dyn EventLog> = world.watched.clone();
    world.watched.is_slow.store(true, Ordering::Relaxed);
    let made = futures::future::join_all((0..40).map(|_| tails.of(&log, PARTITION))).await;
    assert!(made.iter().all(Result::is_ok));
    assert_eq!(world.readers(), 1);
}
