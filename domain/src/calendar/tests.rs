use chrono_tz::{America, Asia, Australia, Europe, Pacific, UTC};

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The boundaries of every `count` units from `anchor`, as wall times with their offset.
#[track_caller]
fn check(zone: Tz, (count, unit): (u16, Unit), anchor: &str, boundaries: &[(u32, &str)]) {
    let interval = Interval::new(unit, count).unwrap();
    for (k, expected) in boundaries {
        let boundary = boundary(at(anchor), zone, interval, *k);
        let found = boundary.with_timezone(&zone).to_rfc3339();
        assert_eq!(found, *expected, "boundary {k} from {anchor} in {zone}");
    }
}

#[test]
fn months_are_clamped_to_their_last_day_and_return_to_the_anchors_day() {
    check(
        UTC,
        (1, Unit::Month),
        "2026-01-31T00:00:00Z",
        &[
            (0, "2026-01-31T00:00:00+00:00"),
            (1, "2026-02-28T00:00:00+00:00"),
            (2, "2026-03-31T00:00:00+00:00"),
            (3, "2026-04-30T00:00:00+00:00"),
            (12, "2027-01-31T00:00:00+00:00"),
            (25, "2028-02-29T00:00:00+00:00"),
        ],
    );
    check(
        UTC,
        (3, Unit::Month),
        "2025-11-30T12:00:00Z",
        &[(1, "2026-02-28T12:00:00+00:00"), (2, "2026-05-30T12:00:00+00:00")],
    );
}

#[test]
fn a_year_from_a_leap_day_ends_in_february_and_the_fourth_on_a_leap_day() {
    check(
        UTC,
        (1, Unit::Year),
        "2024-02-29T08:00:00Z",
        &[
            (1, "2025-02-28T08:00:00+00:00"),
            (3, "2027-02-28T08:00:00+00:00"),
            (4, "2028-02-29T08:00:00+00:00"),
        ],
    );
}

#[test]
fn a_day_is_a_civil_day_of_23_24_or_25_hours() {
    check(
        Europe::Berlin,
        (1, Unit::Day),
        "2026-03-28T12:00:00+01:00",
        &[(1, "2026-03-29T12:00:00+02:00"), (2, "2026-03-30T12:00:00+02:00")],
    );
    check(
        America::New_York,
        (1, Unit::Week),
        "2026-10-28T00:00:00-04:00",
        &[(1, "2026-11-04T00:00:00-05:00"), (2, "2026-11-11T00:00:00-05:00")],
    );
}

#[test]
fn a_time_the_clocks_skip_is_moved_forward_by_the_gap() {
    check(
        Europe::Berlin,
        (1, Unit::Month),
        "2026-02-28T02:30:00+01:00",
        &[(1, "2026-03-28T02:30:00+01:00")],
    );
    check(
        Europe::Berlin,
        (1, Unit::Day),
        "2026-03-28T02:30:00+01:00",
        // The next boundary is from the anchor, so it knows nothing of the gap.
        &[(1, "2026-03-29T03:30:00+02:00"), (2, "2026-03-30T02:30:00+02:00")],
    );
    check(
        America::New_York,
        (1, Unit::Month),
        "2026-02-08T02:15:00-05:00",
        &[(1, "2026-03-08T03:15:00-04:00"), (2, "2026-04-08T02:15:00-04:00")],
    );
    // Half an hour, from 02:00 to 02:30.
    check(
        Australia::Lord_Howe,
        (1, Unit::Day),
        "2026-10-03T02:15:00+10:30",
        &[(1, "2026-10-04T02:45:00+11:00"), (2, "2026-10-05T02:15:00+11:00")],
    );
    // A whole day: Samoa had no 30 December 2011.
    check(
        Pacific::Apia,
        (1, Unit::Day),
        "2011-12-29T10:00:00-10:00",
        &[(1, "2011-12-31T10:00:00+14:00"), (2, "2011-12-31T10:00:00+14:00")],
    );
}

#[test]
fn of_a_time_that_comes_twice_the_earlier_is_meant() {
    check(
        Europe::Berlin,
        (1, Unit::Month),
        "2026-09-25T02:30:00+02:00",
        &[(1, "2026-10-25T02:30:00+02:00"), (2, "2026-11-25T02:30:00+01:00")],
    );
    check(
        America::New_York,
        (1, Unit::Week),
        "2026-10-25T01:30:00-04:00",
        &[(1, "2026-11-01T01:30:00-04:00"), (2, "2026-11-08T01:30:00-05:00")],
    );
    check(
        Australia::Lord_Howe,
        (1, Unit::Day),
        "2026-04-04T01:45:00+11:00",
        &[(1, "2026-04-05T01:45:00+11:00"), (2, "2026-04-06T01:45:00+10:30")],
    );
}

#[test]
fn the_day_is_that_of_the_zone_and_not_of_utc() {
    // 31 January in Kathmandu is still 30 January in UTC.
    check(
        Asia::Kathmandu,
        (1, Unit::Month),
        "2026-01-31T00:15:00+05:45",
        &[(1, "2026-02-28T00:15:00+05:45"), (2, "2026-03-31T00:15:00+05:45")],
    );
    // 1 February in Los Angeles is 2 February in UTC at the end of the day.
    check(
        America::Los_Angeles,
        (1, Unit::Month),
        "2026-01-31T20:00:00-08:00",
        &[(1, "2026-02-28T20:00:00-08:00"), (2, "2026-03-31T20:00:00-07:00")],
    );
}

#[test]
fn boundaries_beyond_the_calendar_are_its_end() {
    let interval = Interval::new(Unit::Year, 10).unwrap();
    for k in [100_000, u32::MAX] {
        assert_eq!(
            boundary(at("2026-01-01T00:00:00Z"), UTC, interval, k),
            DateTime::<Utc>::MAX_UTC
        );
    }
}

#[test]
fn an_interval_is_at_least_one_unit_and_at_most_ten_years() {
    for (unit, count_max) in
        [(Unit::Day, 3_650), (Unit::Week, 520), (Unit::Month, 120), (Unit::Year, 10)]
    {
        assert!(Interval::new(unit, 0).is_err());
        assert!(Interval::new(unit, count_max).is_ok());
        assert!(Interval::new(unit, count_max + 1).is_err());
    }
    let error = Interval::new(Unit::Month, 0).unwrap_err();
    assert_eq!(error.to_string(), "expected an interval of 1 day to 10 years, got 0 Month");
}

#[test]
fn an_instant_belongs_to_the_period_that_begins_with_it() {
    let (anchor, month) = (at("2026-01-31T00:00:00Z"), Interval::new(Unit::Month, 1).unwrap());
    let number = |text| period_containing(anchor, UTC, month, at(text)).map(|(number, _)| number);
    assert_eq!(number("2026-01-30T23:59:59.999Z"), None);
    assert_eq!(number("2026-01-31T00:00:00Z"), Some(0));
    assert_eq!(number("2026-02-27T23:59:59.999Z"), Some(0));
    assert_eq!(number("2026-02-28T00:00:00Z"), Some(1));
    assert_eq!(number("2036-01-31T00:00:00Z"), Some(120));
}

proptest::proptest! {
    #[test]
    fn every_instant_is_in_exactly_one_period(
        start in 0_i64..2_000_000_000,
        ahead in 0_i64..400_000_000,
        zone in proptest::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
        unit in proptest::sample::select(vec![Unit::Day, Unit::Week, Unit::Month, Unit::Year]),
        count in 1_u16..=10,
    ) {
        let anchor = DateTime::from_timestamp(start, 0).unwrap();
        let instant = DateTime::from_timestamp(start + ahead, 0).unwrap();
        let interval = Interval::new(unit, count).unwrap();
        let (number, period) = period_containing(anchor, zone, interval, instant).unwrap();
        proptest::prop_assert!(period.contains(instant));
        proptest::prop_assert_eq!(period.start, boundary(anchor, zone, interval, number));
        proptest::prop_assert_eq!(period.end, boundary(anchor, zone, interval, number + 1));
    }
}
