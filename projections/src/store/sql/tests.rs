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

#[test]
fn a_list_is_padded_only_as_far_as_lists_go() {
    for (values, bound) in [(1, 1), (3, 4), (5_000, 8_192), (8_192, 8_192), (32_766, 32_766)] {
        let mut sql = Sql::default();
        sql.push("a IN ").bind_list((0..values).map(i64::from));
        assert_eq!(sql.for_sqlite().1.len(), bound, "{values}");
    }
}
