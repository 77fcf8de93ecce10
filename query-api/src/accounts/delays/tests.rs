use super::*;

const NOW: DateTime<Utc> = DateTime::from_timestamp(1_800_000_000, 0).unwrap();

/// Fails as soon as it may, so many times, and says how long each attempt had to wait and when the
/// last one was.
fn fail(pace: Pace, times: u32) -> (Vec<i64>, Attempts, DateTime<Utc>) {
    let (mut attempts, mut now) = (Attempts::default(), NOW);
    let mut waited = Vec::new();
    for _ in 0..times {
        let delay = attempts.delay(pace, now).unwrap_or_default();
        waited.push(delay.num_seconds());
        now += delay;
        assert_eq!(attempts.delay(pace, now), None, "a delay has an end");
        attempts = attempts.with_another(pace, now);
    }
    (waited, attempts, now)
}

#[test]
fn each_failure_makes_the_next_attempt_wait_twice_as_long_up_to_a_bound() {
    let (waited, ..) = fail(FROM_ADDRESS, 14);
    assert_eq!(waited, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
    let (waited, ..) = fail(ANYWHERE, 20);
    assert_eq!(waited[..11], [0; 11]);
    assert_eq!(waited[11..], [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

/// What a thousand tries cost, one after the other.
#[test]
fn a_thousand_tries_take_days_from_one_address_and_most_of_a_day_from_many() {
    let (.., ended) = fail(FROM_ADDRESS, 1_000);
    assert_eq!((ended - NOW).num_hours(), 247);
    let (.., ended) = fail(ANYWHERE, 1_000);
    assert_eq!((ended - NOW).num_hours(), 16);
}

#[test]
fn failures_are_forgotten_one_after_the_other() {
    let (_, attempts, now) = fail(FROM_ADDRESS, 5);
    let after = |minutes| {
        let now = now + TimeDelta::minutes(minutes);
        let again = attempts.with_another(FROM_ADDRESS, now);
        again.delay(FROM_ADDRESS, now).unwrap().num_seconds()
    };
    assert_eq!([29, 30, 61, 149, 150, 10_000].map(after), [32, 16, 8, 2, 1, 1]);
    assert_eq!(attempts.ends_at(FROM_ADDRESS), now + TimeDelta::minutes(150));
}

#[test]
fn whoever_has_signed_in_has_no_failures_and_is_known_there_for_a_month() {
    let (_, attempts, now) = fail(FROM_ADDRESS, 12);
    assert!(attempts.delay(FROM_ADDRESS, now).is_some() && !attempts.is_known(now));
    let mut attempts = Attempts::succeeded(now);
    assert_eq!(attempts.delay(FROM_ADDRESS, now), None);
    // Failing later does not change that it is known.
    for _ in 0..3 {
        attempts = attempts.with_another(FROM_ADDRESS, now);
    }
    let month = now + TimeDelta::days(30);
    assert!(attempts.is_known(month - TimeDelta::seconds(1)) && !attempts.is_known(month));
    assert_eq!(attempts.ends_at(FROM_ADDRESS), month);
}

#[test]
fn a_clock_that_is_set_back_delays_nobody_for_longer() {
    let (_, attempts, now) = fail(FROM_ADDRESS, 2);
    let earlier = now - TimeDelta::days(400);
    assert_eq!(attempts.delay(FROM_ADDRESS, earlier), Some(TimeDelta::minutes(15)));
    assert_eq!(attempts.with_another(FROM_ADDRESS, earlier).failures, 3);
}
