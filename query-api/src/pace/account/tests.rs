use super::*;

const HERE: Partition = Partition(0);

/// So little, however fast: 10 to 20 events.
const LEAD: Lead = Lead { time: Duration::from_millis(100), events: (10, 20) };

/// An account that has written so many events, each ending at the next position.
fn having_written(events: usize, now: Instant) -> Account {
    let mut account = Account::default();
    for position in 0..events {
        account.wrote(HERE, Position(position as u64), 1, now);
    }
    account
}

#[test]
fn a_request_goes_on_within_the_lead_or_if_nothing_is_unseen() {
    let now = Instant::now();
    let mut account = Account::default();
    assert!(account.admit(500, &LEAD), "however large it is");
    assert!(!account.admit(1, &LEAD));
    account.release(500);
    account.wrote(HERE, Position(7), 6, now);
    assert!(account.admit(4, &LEAD), "written and reserved are ten");
    assert!(!account.admit(1, &LEAD));
    assert_eq!(account.see(Position(7), now), 0, "what is before its end");
    assert!(!account.admit(1, &LEAD));
    assert_eq!(account.see(Position(8), now), 6);
    assert!(account.admit(6, &LEAD));
    assert_eq!(account.unseen, 10);
}

#[test]
fn what_was_reserved_by_who_hung_up_counts_for_a_while() {
    let (now, moment) = (Instant::now(), Duration::from_secs(1));
    let mut account = Account::default();
    account.reserve(10);
    account.abandon(10, now + moment);
    account.see(Position(99), now);
    assert!(!account.admit(1, &LEAD));
    account.see(Position(99), now + moment);
    assert!(account.admit(1, &LEAD));
}

#[test]
fn the_faster_events_are_shown_the_more_may_be_unseen_within_bounds() {
    // In a moment, in a while that is long enough, in less than that, and slowly.
    for (events, milliseconds, allowed) in [(5, 0, 10), (60, 350, 15), (99, 1, 20), (9, 350, 10)] {
        let begin = Instant::now();
        let mut account = having_written(events, begin);
        let now = begin + Duration::from_millis(milliseconds);
        assert_eq!(account.see(Position(events as u64), now), events);
        account.wrote(HERE, Position(events as u64), 1, now);
        assert!(!account.admit(allowed, &LEAD), "{events} in {milliseconds} ms");
        assert!(account.admit(allowed - 1, &LEAD), "{events} in {milliseconds} ms");
    }
}

#[test]
fn the_speed_is_measured_from_the_first_write_and_from_one_look_to_the_next() {
    let (begin, mut account) = (Instant::now(), Account::default());
    let at = |milliseconds| begin + Duration::from_millis(milliseconds);
    account.wrote(HERE, Position(0), 10, at(0));
    account.wrote(HERE, Position(1), 10, at(70));
    account.see(Position(1), at(100));
    account.see(Position(1), at(150));
    account.see(Position(2), at(200));
    assert_eq!((account.speed.events, account.speed.time), (20, at(250) - begin));
    account.wrote(HERE, Position(2), 10, at(900));
    account.see(Position(3), at(950));
    assert_eq!((account.speed.events, account.speed.time), (30, at(300) - begin));
}

#[test]
fn what_was_measured_long_ago_counts_little() {
    let (mut speed, half) = (Speed::default(), MEASURED_MAX / 2);
    speed.note(1_000, half);
    assert!(speed.events_in(half) > 800, "{speed:?}");
    for _ in 0..20 {
        speed.note(10, half);
    }
    assert!((10..20).contains(&speed.events_in(half)), "{speed:?}");
}

#[test]
fn nobody_waits_for_models_that_show_nothing_until_they_do() {
    let now = Instant::now();
    let mut account = having_written(30, now);
    assert!(!account.admit(1, &LEAD));
    account.stalled_at(Position(0));
    account.see(Position(0), now);
    assert!(account.admit(1, &LEAD) && account.admit(1, &LEAD));
    account.see(Position(1), now);
    assert!(!account.admit(1, &LEAD));
}

#[test]
fn what_is_told_apart_is_bounded_and_nothing_is_forgotten() {
    let now = Instant::now();
    let count = TOLD_APART_MAX + 10;
    let mut account = having_written(count, now);
    for _ in 0..count {
        account.reserve(1);
        account.abandon(1, now);
    }
    assert_eq!(
        (account.written.0.len(), account.abandoned.0.len()),
        (TOLD_APART_MAX, TOLD_APART_MAX)
    );
    assert_eq!(account.unseen, 2 * count);
    assert_eq!(account.see(Position(count as u64 - 1), now), TOLD_APART_MAX - 1);
    assert_eq!(account.see(Position(count as u64), now), 11);
    assert_eq!(account.unseen, 0);
}

#[test]
fn whoever_moves_to_another_partition_begins_anew_there() {
    let now = Instant::now();
    let mut account = having_written(30, now);
    account.wrote(Partition(1), Position(0), 2, now);
    assert_eq!((account.unseen, account.oldest()), (2, Some((Partition(1), Position(0)))));
}
