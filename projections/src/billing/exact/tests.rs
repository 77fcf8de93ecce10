use proptest::prelude::*;

use super::*;

fn sum(text: &str) -> Sum {
    text.parse().unwrap()
}

#[test]
fn sums_are_read_and_written_without_loss() {
    for text in ["0", "1", "-1", "0.5", "-0.5", "0.000000000001", "-12.000000000001"] {
        assert_eq!(sum(text).to_string(), text);
    }
    assert_eq!(sum("1.500").to_string(), "1.5");
    for text in ["", "-", ".5", "1.2.3", "+1", "1e3", "0.0000000000001", "--1"] {
        assert!(text.parse::<Sum>().is_err(), "{text}");
    }
}

#[test]
fn the_sum_of_more_than_a_decimal_holds_is_exact() {
    let most: Decimal = "999999999999999.999999999999".parse().unwrap();
    let mut total = Sum::default();
    for _ in 0..1_000 {
        total.add(Sum::of(most));
    }
    assert_eq!(total.to_string(), "999999999999999999.999999999");
}

#[test]
fn of_entries_with_the_same_time_the_later_recorded_is_the_latest() {
    let value = |it: i64| Decimal::from(it);
    let mut digest = Digest::of(value(1), 10);
    digest.append(&Digest::of(value(5), 20));
    digest.append(&Digest::of(value(3), 20));
    digest.append(&Digest::of(value(4), 15));
    assert_eq!((digest.count, digest.latest, digest.latest_at), (4, value(3), 20));
    assert_eq!((digest.min, digest.max, digest.sum), (value(1), value(5), sum("13")));
}

#[test]
fn what_is_no_digest_is_refused() {
    let digest = Digest::of("1.50".parse().unwrap(), -7);
    assert_eq!(digest.to_string(), "-7 1.50");
    for text in ["", "1", "1 ", "x 1", "1 x", "1 1 2", "1 1 2 2 1", "1 1 2 2 1 1 1", "1 1  2 2 1 1"]
    {
        assert!(text.parse::<Digest>().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn a_digest_survives_being_stored(values in prop::collection::vec((any::<i64>(), 0..=12_u32), 1..9)) {
        let mut digest = None;
        for (units, scale) in values {
            append(&mut digest, &Digest::of(Decimal::new(units, scale), units / 2));
            let digest = digest.unwrap();
            let read: Digest = digest.to_string().parse().unwrap();
            prop_assert_eq!(read, digest);
            prop_assert_eq!(read.latest.to_string(), digest.latest.to_string());
            prop_assert_eq!(read.min.to_string(), digest.min.to_string());
        }
    }

    #[test]
    fn a_sum_survives_being_stored(units in any::<i64>(), scale in 0..=12_u32) {
        let decimal = Decimal::new(units, scale).normalize();
        prop_assert_eq!(Sum::of(decimal).to_string(), decimal.to_string());
        prop_assert_eq!(sum(&decimal.to_string()), Sum::of(decimal));
    }
}
