use super::*;

#[test]
fn what_lies_beyond_every_count_is_asked_for_as_the_greatest() {
    let greatest = i64::MAX.unsigned_abs();
    for (asked, bound) in
        [(7, 7), (greatest, i64::MAX), (greatest + 1, i64::MAX), (u64::MAX, i64::MAX)]
    {
        assert_eq!(Value::from(asked), Value::Integer(bound));
    }
}
