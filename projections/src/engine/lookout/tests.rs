use super::*;

const MIN: Duration = Duration::from_secs(3);

fn seconds(from: Instant, seconds: u64) -> Instant {
    from + Duration::from_secs(seconds)
}

#[test]
fn what_does_not_move_is_looked_at_once_that_was_seen_for_long_enough() {
    let now = Instant::now();
    let watched = Watched::new((Position(7), Stage::Filled), MIN, now);
    assert!(!watched.is_due(now));
    assert!(!watched.is_due(now + MIN - Duration::from_millis(1)));
    assert!(watched.is_due(now + 2 * MIN));
}

#[test]
fn what_is_taken_up_in_vain_is_taken_up_ever_more_seldom() {
    let mut now = Instant::now();
    let mut watched = Watched::new((Position(7), Stage::Filled), MIN, now);
    let mut waited = Vec::new();
    for _ in 0..8 {
        let taken_up = now;
        while !watched.is_due(now) {
            now = seconds(now, 1);
        }
        waited.push((now - taken_up).as_secs());
        watched.taken_up(MIN, now);
    }
    assert!((3..=6).contains(&waited[0]), "{waited:?}");
    assert!(waited[1] > waited[0] && waited[2] > waited[1], "{waited:?}");
    assert_eq!(waited[6..], [48, 48], "{waited:?}");
}
